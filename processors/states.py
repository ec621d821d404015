"""The state of an import: what its events and its progress make of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

State = dict[str, Any]

SUCCESSES = ("inserted", "updated", "unchanged", "duplicate", "stale")
ERRORS = ("rejected", "parked")
OUTCOMES = (*SUCCESSES, *ERRORS, "cancelled")

# The site's list knows five states.
SITE_STATUS = {"CANCELLED": "ERROR", "PAUSED": "PROCESSING"}


def state_of(facts: Mapping[str, Any]) -> State:
    """The state that schemas/avro/import_state.avsc describes, of a row of the query `facts`.

    An import is finished when each row that was read has an outcome, never before.
    """
    counts: dict[str, int] = {name: facts[f"now_{name}"] for name in OUTCOMES}
    success = sum(counts[name] for name in SUCCESSES)
    accounted = sum(counts.values())
    status = _status(facts, accounted, success)
    ended = status not in ("PENDING", "PROCESSING")
    completed_at = (facts["completed_at"] or facts["now"]) if ended else None
    started_at = facts["started_at"] or facts["began"]
    total = facts["total_rows"]
    return {
        "id": str(facts["id"]),
        "version": facts["version"],
        "import_type": facts["import_type"],
        "status": status,
        "file_name": facts["file_name"],
        "file_sha256": facts["file_sha256"],
        "uploaded_by": facts["uploaded_by"],
        "header": facts["header"],
        "options": facts["options"],
        "total_rows": total,
        "success_rows": success,
        "error_rows": sum(counts[name] for name in ERRORS),
        "success_rate": _rate_of(success, total),
        **counts,
        "warnings_by_code": facts["warnings_by_code"],
        "rows_per_second": _rate(accounted, started_at, facts["moved"]),
        "released": facts["now_released"],
        "waiting_for": _waiting_for(ended=ended, halted=facts["halted"], parked=counts["parked"]),
        "generate_ai_content": facts["generate_ai_content"],
        "ai_generation_started": False,
        "ai_generation_completed": False,
        "created_at": facts["created_at"],
        "started_at": started_at,
        "completed_at": completed_at,
        "duration": (
            (completed_at - started_at).total_seconds() if completed_at and started_at else None
        ),
        "error": facts["error"],
    }


def _status(facts: Mapping[str, Any], accounted: int, success: int) -> str:
    if facts["error"] is not None:
        return "ERROR"
    total = facts["total_rows"]
    if total is None or accounted < total:
        return "PROCESSING" if accounted else "PENDING"
    if facts["now_parked"]:
        return "PARTIAL"
    if success == 0:
        return "ERROR"
    return "SUCCESS" if success == total else "PARTIAL"


def _waiting_for(*, ended: bool, halted: str | None, parked: int) -> str | None:
    """An import that has ended says that its last rows wait; before, they are no reason to wait."""
    if ended:
        return "parent" if parked else None
    return "operator" if halted else None


def _rate_of(success: int, total: int | None) -> float | None:
    """In percent, two decimals; 100 only where nothing is missing."""
    if not total:
        return None
    return 100.0 if success == total else min(round(100 * success / total, 2), 99.99)


def _rate(rows: int, since: datetime | None, until: datetime | None) -> float | None:
    seconds = (until - since).total_seconds() if since and until else 0.0
    return round(rows / seconds, 1) if seconds > 0 else None
