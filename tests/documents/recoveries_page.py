"""docs/operations.md: what becomes of failures, made of what tests/faults/recoveries.py has measured."""

import json

from tests.documents.markdown import table, with_part
from tests.faults.recoveries import FAILURES, RESULTS, SWITCH_OVER, Incident


def filled(text: str) -> str:
    """The page with its generated part anew."""
    return with_part(text, "recoveries", _recoveries())


def _recoveries() -> str:
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    header = (
        "failure", "what users notice", "alert", "command", "recovered", "rows lost", "test",
    )  # fmt: skip
    incidents = [*(failure.incident for failure in FAILURES), SWITCH_OVER]
    return table(
        header, (_row(each, measured[each.name]) for each in incidents if each.name in measured)
    )


def _row(incident: Incident, measured: dict[str, float]) -> tuple[str, ...]:
    alert = f"`{incident.alert}` after {measured['alert_seconds']} s" if incident.alert else "none"
    return (
        incident.name,
        incident.noticed,
        alert,
        incident.command,
        f"after {measured['recovered_seconds']:g} s",
        str(measured["rows_lost"]),
        f"`{incident.test}`",
    )
