"""Statistics of texts for operators: requests, failures, cost and repeated calls."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from processors.database.connection import query
from processors.database.queries import load
from processors.settings import Settings
from processors.texts import control

_SQL = load("processors.texts", "report.sql")

Document = dict[str, Any]


def report(settings: Settings, days: int) -> Document:
    """Requests, failures, the calls of the last `days`, budgets and breaker, as JSON values."""
    names = ("requests", "failures", "calls", "budgets", "models", "runs", "replaced")
    found: Document = {name: _ask(settings, name, {"days": days}) for name in names}
    [found["repeated"]] = _ask(settings, "repeated", {})
    [found["probes"]] = _ask(settings, "probes", {"days": days})
    found["limits"] = {
        kind: None if limit is None else float(limit)
        for kind, limit in control.budgets(settings).items()
    }
    paused = next(iter(_ask(settings, "paused", {})), {})
    return {
        **found,
        **{name: paused.get(name) for name in ("paused_at", "paused_by", "paused_for")},
    }


def failed(settings: Settings, limit: int) -> list[Document]:
    """Requests that failed permanently, the newest first."""
    return _ask(settings, "failed", {"limit": limit})


def retry(settings: Settings, ids: Sequence[UUID] | None) -> int:
    """Requests these again, or all that failed or were left; returns how many."""
    return len(_ask(settings, "retry", {"ids": None if ids is None else list(ids)}))


def lines(found: Document) -> list[str]:
    """The report for people."""
    repeated = found["repeated"]
    report_lines = [] if found["paused_at"] is None else [_paused_line(found)]
    report_lines += [f"{r['kind']}: {r['requests']} {r['state']}" for r in found["requests"]]
    report_lines += [f"failed for {f['code']}: {f['requests']}" for f in found["failures"]]
    report_lines += [
        f"calls {c['state']}: {c['calls']}, {c['tokens']} tokens, {c['cost']:.4f} USD"
        for c in found["calls"]
    ]
    report_lines += [
        f"replaced for {r['reason']}: {r['texts']} texts, {r['edited']} of them by people"
        for r in found["replaced"]
    ]
    probes = found["probes"]
    report_lines.append(f"probes of the settings: {probes['calls']}, {probes['cost']:.4f} USD")
    report_lines += [_budget_line(b, found["limits"]) for b in found["budgets"]]
    report_lines.append(
        f"calls of which nobody knows whether they are paid: {repeated['lost_calls']}; prompts asked "
        f"once more for that: {repeated['after_a_loss']}; answered twice: {repeated['answered_twice']}"
    )
    for model in found["models"]:
        report_lines += _breaker_lines(model) + _notices(model)
    return report_lines


def _paused_line(found: Document) -> str:
    by = f" by {found['paused_by']}" if found["paused_by"] else ""
    why = f" ({found['paused_for']})" if found["paused_for"] else ""
    return f"paused since {found['paused_at']}{by}{why}: enrichment resume"


def _notices(model: Document) -> list[str]:
    """What the provider says of a model."""
    found = []
    if model["listed"] is False:
        found.append(f"{model['model']} is not among the models that the provider lists")
    if model["ends_on"] is not None:
        found.append(f"{model['model']} ends on {model['ends_on']}: choose another (FOX_AI_MODEL)")
    return found


def _budget_line(budget: Document, limits: Mapping[str, float | None]) -> str:
    limit = limits[budget["scope"].split()[0]]
    used_up = limit is not None and budget["wanted"] is not None and budget["wanted"] > limit
    room = f" of {limit}, no room for the next call: requests wait" if used_up else ""
    return f"spent, {budget['scope']}: {budget['spent']:.4f} USD{room}"


def _breaker_lines(model: Document) -> list[str]:
    name = model["model"]
    unlimited = [f"{name} ignores the limit of an answer"] if model["unlimited"] else []
    if model["halted"]:
        then = model["halted_until"] or "a worker starts, or enrichment resume"
        return [f"{name} is halted until {then}: {model['halted']}", *unlimited]
    if model["open_until"]:
        why = ": ".join(filter(None, (model["open_reason"], model["open_message"])))
        return [f"{name}: breaker open until {model['open_until']} ({why})", *unlimited]
    return unlimited


def _ask(settings: Settings, name: str, parameters: Mapping[str, object]) -> list[Document]:
    rows: list[Document] = query(settings.database_url, dict, _SQL[name], parameters)
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
