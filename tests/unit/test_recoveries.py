"""The table of failures and recoveries in docs/operations.md, and what it was measured of."""

import json
from pathlib import Path

import yaml

from tests.faults.recoveries import FAILURES, RESULTS, SWITCH_OVER

ROOT = Path(__file__).parents[2]
INCIDENTS = [*(failure.incident for failure in FAILURES), SWITCH_OVER]


def test_what_was_measured() -> None:
    """Every failure; no row was lost, and an alert that the table names fired."""
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    known = {each.name: each for each in INCIDENTS}

    assert measured.keys() == known.keys()
    for name, found in measured.items():
        assert found["rows_lost"] == 0
        assert (found["alert_seconds"] is None) == (known[name].alert is None)


def test_each_failure_names_a_test_and_an_alert_that_exist() -> None:
    """A row of the table leads to its test and to its runbook."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules/alerts.yml").read_text("utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}

    assert {each.alert for each in INCIDENTS if each.alert} <= alerts
    assert [each.test for each in INCIDENTS if not (ROOT / each.test).is_file()] == []
