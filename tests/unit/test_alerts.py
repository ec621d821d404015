"""Metrics, rules, runbooks and dashboards name the same things, and each alert is tried out."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

import processors.metrics
import producers.gateway.monitoring.gateway_metrics
from deploy.grafana import overview
from deploy.prometheus import catalogue

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks.md"


def loaded(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in loaded(name)["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("rules/alerts.yml")}
RECORDED = {rule["record"]: rule for rule in rules("rules/recording.yml")}


def test_the_catalogue_is_current() -> None:
    """docs/metrics.md is what the code makes of it: python -m deploy.prometheus.catalogue."""
    assert catalogue.FILE.read_text(encoding="utf-8") == catalogue.text()


def test_the_dashboard_is_current() -> None:
    """Its JSON is what the code makes of it: python -m deploy.grafana."""
    assert overview.FILE.read_text(encoding="utf-8") == overview.text()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_runbook_and_both_cases(name: str) -> None:
    """A section that says what it means and what to do, a case that fires and one that does not."""
    annotations = ALERTS[name]["annotations"]
    assert annotations["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    assert annotations["summary"]
    assert ALERTS[name]["labels"]["severity"] in ("warning", "critical")
    section = sections().get(name, "")
    assert "**Means.**" in section
    assert re.search(r"\*\*(Look at, do|Do)\.\*\*", section)
    cases = dict(cases_of(name))
    assert cases == {f"{name} fires": True, f"{name} is quiet": False}


def sections() -> dict[str, str]:
    parts = re.split(r"^### (\w+)$", RUNBOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def cases_of(alert: str) -> Iterator[tuple[str, bool]]:
    """The cases that look at an alert, and whether it has to fire."""
    for case in loaded("rules_test.yml")["tests"]:
        for asked in case["promql_expr_test"]:
            if asked["expr"] == f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})':
                yield case["name"], bool(asked["exp_samples"])


def test_a_runbook_has_no_section_without_an_alert() -> None:
    assert sections().keys() == ALERTS.keys()


def test_links_of_the_runbooks_lead_somewhere() -> None:
    """Files, and headings in them."""
    text = RUNBOOKS.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text)
    assert len(links) > 20
    for file, heading in links:
        target = (RUNBOOKS.parent / file) if file else RUNBOOKS
        assert target.is_file(), file
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {anchor(each) for each in headings}, (file, heading)


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


FOREIGN = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"}


def test_rules_and_panels_name_metrics_that_there_are() -> None:
    """Of the catalogue, with a histogram's suffixes, or recorded by a rule."""
    known = FOREIGN | set(RECORDED)
    for module in (processors.metrics, producers.gateway.monitoring.gateway_metrics):
        for entry in catalogue.entries(module):
            names = [entry.name]
            if entry.kind == "histogram":
                names = [entry.name + suffix for suffix in ("_bucket", "_sum", "_count")]
            known.update(names)
    queries = [rule["expr"] for rule in (*ALERTS.values(), *RECORDED.values())]
    queries += [query for _, query in panel_queries()]
    named = {name for query in queries for name in re.findall(r"\bfox[_:][\w:]+", query)}
    assert len(named) > 40
    assert named - known == set()


def panel_queries() -> list[tuple[str, str]]:
    """Title and query of every panel of the dashboard."""
    document = json.loads(overview.FILE.read_text(encoding="utf-8"))
    return [
        (panel["title"], target["expr"])
        for panel in document["panels"]
        for target in panel.get("targets", ())
    ]


def test_lines_of_the_dashboard_are_full() -> None:
    """Widths add up to lines of 24: nothing hangs over, no hole is left."""
    for title, panels in overview.ROWS.items():
        filled = 0
        for panel in panels:
            filled += panel.width
            assert filled <= 24, (title, panel.title)
            filled %= 24
        assert filled == 0, title


@pytest.mark.skipif(
    which("promtool") is None,
    reason="PROMTOOL IS MISSING: no alert is tried out. apt install prometheus",
)
@pytest.mark.parametrize(
    "command",
    [["check", "config", "prometheus.yml"], ["test", "rules", "rules_test.yml"]],
    ids=["config", "rules"],
)
def test_promtool(command: list[str]) -> None:
    """The configuration is one, and each alert fires where it has to and nowhere else."""
    done = subprocess.run(
        ["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
