"""What the admin pages make of states and counts."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest

from processors.settings import Settings as WorkerSettings
from producers.gateway.access.accounts import Account
from producers.gateway.api import actions, text_wait
from producers.gateway.pages import admin_pages, page_rendering
from producers.gateway.pages.import_view import ai_badge, import_view
from producers.gateway.pages.page_rendering import dollars, render
from producers.kafka.import_state import new_state
from producers.settings import Settings
from producers.terminal.screen import summary, writing_line
from schemas.records import ImportState


def state(**known: Any) -> ImportState:
    """An import of two new rows that has ended, asked to have texts."""
    given = {"import_type": "CATEGORIE", "status": "SUCCESS", "inserted": 2}
    return new_state(id="i", **{"generate_ai_content": True, **given, **known})


STARTED = {"ai_generation_started": True, "ai_requested": 2}
COMPLETED = {**STARTED, "ai_generation_completed": True}


@pytest.mark.parametrize(
    ("badge", "known"),
    [
        ("Non demandés", {"generate_ai_content": False}),
        ("En attente", {}),
        ("En cours", {**STARTED, "ai_done": 1}),
        ("Terminés", {**COMPLETED, "ai_done": 2}),
        ("En partie échoués", {**COMPLETED, "ai_done": 1, "ai_failed": 1}),
        ("Échoués", {**COMPLETED, "ai_failed": 2}),
        ("En partie remis", {**COMPLETED, "ai_done": 1, "ai_left": 1}),
        ("Abandonnés", {"status": "ERROR"}),
    ],
)
def test_ai_badge(badge: str, known: dict[str, Any]) -> None:
    """Not asked, waiting, running, finished, failed in part, and what else there is."""
    assert ai_badge(state(**known))[1] == badge


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        (3, {"generate_ai_content": False, "updated": 1, "unchanged": 9}),
        (0, {"generate_ai_content": False, "inserted": 0, "unchanged": 9}),
        (0, {}),
        (0, {**COMPLETED, "ai_done": 2}),
        (2, {**COMPLETED, "ai_failed": 1, "ai_left": 1}),
    ],
)
def test_texts_that_are_left(texts: int, known: dict[str, Any]) -> None:
    """The button is there where somebody who presses it gets something."""
    assert actions.texts_left(state(**known)) == texts
    assert ("generate_ai" in actions.allowed(state(**known))) is (texts > 0)


@pytest.mark.parametrize(
    "known",
    [
        {"status": "PROCESSING"},
        {"status": "ERROR"},
        {"import_type": "VILLE"},
        {"import_type": "DEPARTEMENT"},
    ],
)
def test_where_no_texts_can_be_asked_for(known: dict[str, Any]) -> None:
    """Nothing to write about, or not yet."""
    assert "generate_ai" not in actions.allowed(state(generate_ai_content=False, **known))


@pytest.mark.parametrize(("cost", "shown"), [(1.5, True), (0.0, False)])
def test_what_the_texts_of_an_import_cost(cost: float, shown: bool) -> None:
    """Beside how many there are; nothing where nothing was spent."""
    facts: dict[str, Any] = {
        "row": import_view(state(**COMPLETED, ai_done=2, ai_cost=cost)),
        "related": [], "actions": [], "estimate": None,
    }  # fmt: skip
    page = str(render("_import.html", Account("a", "read", "t"), 200, **facts).body, "utf-8")

    assert ("<dt>Dépensé</dt><dd>1,50 $</dd>" in page) is shown
    assert "Jour (UTC)" not in page


def test_what_the_texts_of_an_import_cost_by_day_and_kind() -> None:
    """The latest day first, as the state has them."""
    costs = [
        {"kind": "AVIS", "day": "2026-12-02", "cost": 1.25},
        {"kind": "PROLOCALISATION", "day": "2026-12-01", "cost": 0.001},
    ]
    facts: dict[str, Any] = {
        "row": import_view(state(**COMPLETED, ai_done=2, ai_cost=1.251, ai_costs=costs)),
        "related": [], "actions": [], "estimate": None,
    }  # fmt: skip
    page = str(render("_import.html", Account("a", "read", "t"), 200, **facts).body, "utf-8")

    rows = re.findall("<tr><td>(.*)</td><td>(.*)</td><td>(.*)</td></tr>", page)
    assert [[unescape(cell) for cell in row] for row in rows] == [
        ["02/12/2026", "Synthèses d'avis", "1,25 $"],
        ["01/12/2026", "Pages d'entreprises", "moins de 0,01 $"],
    ]


@pytest.mark.parametrize(
    ("rejected", "dropped", "link", "sentence"),
    [
        (0, 0, None, None),
        (1, 0, "Lignes rejetées (Excel)", None),
        (0, 1, "Lignes à corriger (Excel)", "Une ligne est importée sans une de ses valeurs"),
        (1, 2, "Lignes à corriger (Excel)", "2 lignes sont importées sans une de leurs valeurs"),
    ],
)
def test_rows_that_lack_values(
    rejected: int, dropped: int, link: str | None, sentence: str | None
) -> None:
    """The page shows how many there are and links to the file for correcting them; they do not count as errors."""
    known = state(rejected=rejected, error_rows=rejected, success_rows=2, dropped_rows=dropped)
    facts: dict[str, Any] = {
        "row": import_view(known),
        "related": [], "actions": [], "estimate": None,
    }  # fmt: skip
    page = str(render("_import.html", Account("a", "read", "t"), 200, **facts).body, "utf-8")

    assert ("errors.xlsx" in page) == (link is not None)
    assert link is None or link in page
    assert ("sans une de" in page) == (sentence is not None)
    assert sentence is None or sentence in page
    assert ("valeurs : foxstream errors i" in "\n".join(summary(known))) == bool(dropped)
    assert "Tout est importé." in page


@pytest.mark.parametrize(
    ("code", "scope", "shown"),
    [
        ("overwrite-unconfirmed", "import", True),
        ("overwrite-unconfirmed", "read", False),
        ("time-limit", "import", False),
    ],
)
def test_an_import_that_waits_for_a_confirmation(code: str, scope: str, shown: bool) -> None:
    """Its page offers the confirmation only for this error, and only to accounts that may import."""
    failed = state(status="ERROR", error={"code": code, "message": "Une cellule."})
    facts = {"row": import_view(failed), "actions": (), "related": (), "estimate": None}

    page = str(render("_import.html", Account("a", scope, "t"), 200, **facts).body, "utf-8")

    assert ('data-action="confirm_overwrite"' in page) is shown


def test_dropped_values_on_a_page() -> None:
    """With line, column, value and reason, whatever somebody wrote into the cell."""
    value = {"line": 3, "sheet": None, "column": "Courriel", "code": "malformed", "value": "<b>x@", "message": "Pas valide."}  # fmt: skip
    found = {"by_code": {}, "first": [], "dropped": [value]}

    page = str(render("_errors.html", Account("a", "read", "t"), 200, found=found).body, "utf-8")

    for part in (
        "Premières valeurs non enregistrées",
        "3</td>",
        "Courriel",
        "&lt;b&gt;x@",
        "Pas valide.",
    ):
        assert part in page
    assert "Premières erreurs" not in page


def test_an_estimate() -> None:
    """By one's own prices where both are given; a model without a price has none."""
    own = Settings(ai_model="local", ai_price_input=Decimal(2), ai_price_output=Decimal(10))

    assert (own.ai_estimate("CATEGORIE", 1000) or {})["cost"] == 2 * 0.7 + 10 * 0.35
    assert (Settings(ai_model="local").ai_estimate("CATEGORIE", 1) or {})["cost"] is None
    assert own.ai_estimate("DEPARTEMENT", 1) is None


def test_dollars() -> None:
    """As French people write them; a small amount is not shown as nothing."""
    amounts = (0.0, 0.004, 0.716, 1234.5)

    assert [dollars(amount) for amount in amounts] == [
        "0,00 $", "moins de 0,01 $", "0,72 $", "1\N{NO-BREAK SPACE}234,50 $",
    ]  # fmt: skip


def test_old_counts_are_seen() -> None:
    """Workers tell them once a minute: after three nobody does."""
    now = datetime.now(UTC)

    assert admin_pages.counted({"site": {"at": now}, "ai": {"at": now - timedelta(hours=1)}}) == {
        "at": now,
        "stale": False,
    }
    assert admin_pages.counted({"site": {"at": now - timedelta(minutes=4)}})["stale"]
    assert admin_pages.counted({})["stale"]


@pytest.mark.parametrize(
    ("done", "ended", "percent"),
    [
        (0, False, 0),
        (99_000, False, 99),
        (99_999, False, 99),
        (100_000, False, 99),
        (100_000, True, 100),
    ],
)
def test_percentages(done: int, ended: bool, percent: int) -> None:
    """100 % is shown of what is done, and of nothing that still has a row or its end to come."""
    status = "SUCCESS" if ended else "PROCESSING"
    known = state(status=status, total_rows=100_000, success_rows=done, file_name="c.csv")

    assert import_view(known)["percent"] == percent
    assert ("(100 %)" in writing_line(known)) is (done == 100_000)


@pytest.mark.parametrize(
    ("ai", "texts", "expected"),
    [
        (None, 10, None),
        ({"trouble": "m : http-401", "counts": {"running": 0, "per_hour": 300}}, 10, None),
        ({"trouble": None, "counts": {"waiting": 9, "running": 1}}, 10, None),
        ({"trouble": None, "counts": {"urgent": 0, "running": 0, "per_hour": 300}}, 10, 2),
        ({"trouble": None, "counts": {"urgent": 10_000, "running": 4, "per_hour": 300}}, 2, 2002),
    ],
)
def test_how_long_texts_wait(ai: Any, texts: int, expected: int | None) -> None:
    """What waits already and what is asked for, at the pace of the limits; unknown where nothing moves."""
    assert text_wait.minutes({} if ai is None else {"ai": ai}, texts) == expected


@pytest.mark.parametrize(
    ("given", "pace"),
    [
        ({}, 300),
        ({"ai_requests_per_minute": 1000}, 1440),
        ({"ai_requests_per_minute": 10_000, "ai_concurrency": 1000}, 5000),
        ({"ai_requests_per_minute": 10_000, "ai_concurrency": 1000, "ai_tokens_per_minute": 10**9}, 360_000),
        ({"ai_window_seconds": 30.0}, 600),
    ],
)  # fmt: skip
def test_the_pace_of_texts(given: dict[str, Any], pace: int) -> None:
    """The narrowest of calls, tokens and calls at a time."""
    assert WorkerSettings(**given).ai_texts_per_hour() == pace


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (None, "La durée n'est pas connue"),
        (1, "tout est écrit en 1 minute environ"),
        (119, "en 119 minutes environ"),
        (120, "en 2 heures environ"),
        (2880, "en 2 jours environ"),
    ],
)
def test_the_wait_in_words(minutes: int | None, words: str) -> None:
    """Minutes, hours or days."""
    found = page_rendering._environment().get_template("_badges.html").module.wait(minutes)  # type: ignore[attr-defined]
    assert words in found.replace("&#39;", "'")
