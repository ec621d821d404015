"""Money: a budget that is used up costs nothing, bad answers stop, and failures are not for ever."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from processors.database.pool import transaction
from processors.imports.facts import read_facts
from processors.imports.state import state_of
from processors.texts import report
from processors.texts.model import call_limits, halts
from processors.texts.model.answer_handling import Terms
from processors.texts.model.batch_api import Batcher
from processors.texts.model.call_limits import LAST_ANSWERS, scopes
from processors.texts.model.known_answers import KnownAnswers
from processors.texts.stage_config import batch_terms
from tests.fix_enrichment import TERMS, Texts, cities, page, soon, standing, states
from tests.fix_stack import Site
from tests.openai_server import Reply, ScriptedOpenAI, good

AT_ONCE = replace(TERMS, retry_seconds=0.0)
BATCHED = batch_terms(replace(AT_ONCE, batched=True))
POOR = Reply(content=good("VILLE", {"nom": "Ville 1"}).replace("Chacun", "TODO Chacun"))


async def work(texts: Texts, terms: Terms = AT_ONCE) -> None:
    """Deals with all that is due."""
    caller = texts.caller(terms)
    while await caller._next():
        pass


def limited(**budgets: str) -> Terms:
    found = {kind: Decimal(limit) for kind, limit in budgets.items()}
    return replace(AT_ONCE, limits=replace(AT_ONCE.limits, budgets=found))


def of_import(texts: Texts, ids: list[UUID]) -> UUID:
    """Requests of an import."""
    import_id = uuid4()
    texts.site.execute(
        "INSERT INTO ingest.imports (id, partition, import_type, file_name, file_sha256, "
        "generate_ai_content, header, options, created_at) "
        "VALUES (%s, 0, 'VILLE', 'v.csv', '', true, '[]', '{}', now())", import_id,
    )  # fmt: skip
    texts.site.execute(
        "INSERT INTO ingest.enrichment (id, kind, entity_id, import_id, reason, priority, state) "
        "SELECT gen_random_uuid(), 'VILLE', e, %s, 'import', 0, 'pending' FROM unnest(%s::uuid[]) e",
        import_id, ids,
    )  # fmt: skip
    return import_id


VERSIONS = "SELECT sum(xmin::text::bigint)::text, min(not_before)::text FROM ingest.enrichment"


async def test_a_used_up_budget_leaves_its_requests_alone(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """After one look nothing is written while they wait; a higher limit goes on by itself."""
    texts.ask(cities(texts.site, 20))
    await work(texts, limited(day="0.0005"))
    assert states(texts.site) == {"pending": 20}
    texts.site.execute("UPDATE ingest.enrichment SET not_before = now() WHERE code = 'budget'")
    before = texts.site.query(VERSIONS)
    for _ in range(5):
        await work(texts, limited(day="0.0005"))
    assert texts.site.query(VERSIONS) == before
    assert model.calls == []
    await work(texts, limited(day="1"))

    assert states(texts.site) == {"done": 20}


@pytest.mark.parametrize("stopped", ["day", "import", "pause"])
async def test_what_is_known_does_not_wait_for_money(
    stopped: str, texts: Texts, model: ScriptedOpenAI
) -> None:
    """A text that was paid for is used while nothing may be asked; nothing else is written or asked."""
    ids = cities(texts.site, 3)
    texts.ask(ids[1:2])
    await work(texts)
    texts.site.execute("UPDATE location_ville SET texte_description_ia = '', meta_description = ''")
    texts.site.execute("DELETE FROM ingest.enrichment")
    import_id = of_import(texts, ids)
    terms = AT_ONCE if stopped == "pause" else limited(**{stopped: "0.0005"})
    if stopped == "pause":
        texts.site.execute("INSERT INTO ingest.ai_pauses DEFAULT VALUES")
    else:
        scope = scopes(import_id, datetime.now(UTC))[stopped]
        texts.site.execute(
            "INSERT INTO ingest.ai_budgets (scope, denied) VALUES (%s, 1) "
            "ON CONFLICT (scope) DO UPDATE SET denied = 1", scope,
        )  # fmt: skip
    versions = "SELECT entity_id, xmin::text FROM ingest.enrichment"
    before = dict(texts.site.query(versions))
    await KnownAnswers(texts.pool, terms).step()
    await work(texts, terms)

    written = "SELECT id FROM location_ville WHERE texte_description_ia <> ''"
    assert texts.site.query(written) == [(ids[1],)]
    assert states(texts.site) == {"done": 1, "pending": 2}
    changed = set(before.items()) ^ set(texts.site.query(versions))
    assert {entity for entity, _ in changed} == {ids[1]}
    assert len(model.calls) == 1
    assert texts.site.query("SELECT ai_until FROM ingest.imports WHERE id = %s", import_id) == [
        (None,)
    ]


async def test_what_may_be_asked_is_left_to_callers(texts: Texts, model: ScriptedOpenAI) -> None:
    """While calls may be made nothing is looked up beside them."""
    texts.ask(cities(texts.site, 3))
    await work(texts)
    texts.site.execute("UPDATE ingest.enrichment SET state = 'pending'")
    await KnownAnswers(texts.pool, AT_ONCE).step()

    assert states(texts.site) == {"pending": 3}
    assert len(model.calls) == 3


async def test_an_import_without_budget_holds_up_no_other(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """Its requests are not looked at, its time does not run; those behind it are asked."""
    ids = cities(texts.site, 20)
    import_id = of_import(texts, ids[:10])
    texts.ask(ids[10:])
    terms = limited(**{"import": "0.0005"})
    await work(texts, terms)
    assert states(texts.site) == {"done": 10, "pending": 10}
    texts.site.execute("UPDATE ingest.enrichment SET not_before = now() WHERE code = 'budget'")
    before = texts.site.query(VERSIONS)
    await work(texts, terms)
    assert texts.site.query(VERSIONS) == before
    assert texts.site.query("SELECT ai_until FROM ingest.imports WHERE id = %s", import_id) == [
        (None,)
    ]
    await work(texts, limited(**{"import": "1"}))

    assert states(texts.site) == {"done": 20}


async def test_what_an_import_costs_by_kind_and_day(texts: Texts, model: ScriptedOpenAI) -> None:
    """All that its budget says: what was answered, and what may be paid; nothing for what failed."""
    first, *ids, other = cities(texts.site, 4)
    import_id = of_import(texts, [first])
    texts.ask([other])
    await work(texts)
    texts.site.execute("UPDATE ingest.ai_import_costs SET day = day - 1")
    mine = "UPDATE ingest.enrichment SET import_id = %s WHERE state = 'pending'"
    texts.ask(ids)
    texts.ask([page(texts.site)])
    texts.site.execute("UPDATE ingest.enrichment SET kind = 'PROLOCALISATION' WHERE entity_id IN "
                       "(SELECT id FROM enterprise_prolocalisation)")  # fmt: skip
    texts.site.execute(mine, import_id)
    bad = [Reply(raw=b"{}"), Reply(500)]
    model.script = lambda call: bad.pop() if call.kind == "VILLE" else Reply()
    await work(texts, replace(AT_ONCE, retries=0))

    async with transaction(texts.pool) as connection:
        parameters = {"reader_gone": timedelta(seconds=9), "topics": Jsonb({})}
        [facts] = await read_facts(connection, [import_id], parameters)
    state = state_of(facts)
    newest, lost, oldest = state["ai_costs"]
    assert [each["kind"] for each in (newest, lost, oldest)] == [
        "PROLOCALISATION",
        "VILLE",
        "VILLE",
    ]
    assert newest["day"] == lost["day"] > oldest["day"]
    assert newest["cost"] == oldest["cost"] == pytest.approx(0.00012)
    assert lost["cost"] > oldest["cost"]
    assert state["ai_cost"] == pytest.approx(newest["cost"] + lost["cost"] + oldest["cost"])


def test_the_report_says_which_budget_has_no_room() -> None:
    """With its limit, and that requests wait for it."""
    budget = {"scope": "day 2026-11-30", "spent": 0.9, "wanted": 1.1}

    assert "no room" in report._budget_line(budget, {"day": 1.0})
    assert "no room" not in report._budget_line(budget, {"day": 2.0})
    assert "no room" not in report._budget_line({**budget, "wanted": None}, {"day": 1.0})


async def test_what_comes_back_of_a_reservation_is_there_for_others(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """The flag of a budget ends with what it was about: it is never exceeded, and used as far as it goes."""
    texts.ask(cities(texts.site, 20))
    terms = limited(day="0.002")
    async with texts.working(terms, 4):
        await soon_idle(texts)
    [(spent,)] = texts.site.query("SELECT spent FROM ingest.ai_budgets WHERE scope LIKE 'day%%'")
    paid = len(model.paid)

    assert spent == Decimal("0.00012") * paid <= Decimal("0.002")
    assert paid >= 8


async def soon_idle(texts: Texts) -> None:
    seen: list[int] = []

    def idle() -> bool:
        [(calls,)] = texts.site.query("SELECT count(*)::int FROM ingest.ai_calls")
        seen.append(calls)
        return len(seen) > 60 and seen[-60] == calls

    await soon(idle)


async def test_bad_answers_to_many_prompts_stop(texts: Texts, model: ScriptedOpenAI) -> None:
    """After forty of which most are of no use the breaker opens, and the report says why."""
    model.script = lambda _: POOR
    texts.ask(cities(texts.site, 16))
    async with texts.working(AT_ONCE):
        await soon_open(texts)
    assert len(model.calls) == call_limits.LAST_ANSWERS
    assert standing(texts.site, "open_reason") == "useless-answers"
    message = str(standing(texts.site, "open_message"))
    assert message.startswith("40 of the last 40 answers cannot be used; quality: ")
    [line] = [
        line
        for row in texts.site.query("SELECT to_jsonb(m) FROM ingest.ai_models m")
        for line in report._breaker_lines(row[0])
    ]
    assert "useless-answers" in line
    assert "TODO" in line
    model.script = lambda _: Reply()
    texts.site.execute("UPDATE ingest.ai_models SET open_until = now()")
    texts.site.execute("UPDATE ingest.enrichment SET leased_until = now() WHERE state = 'running'")
    assert await texts.caller(AT_ONCE)._next()

    assert standing(texts.site, "open_until") is None


async def test_a_filter_that_refuses_everything_stops(texts: Texts, model: ScriptedOpenAI) -> None:
    """A filter that is set wrongly does not fail all that waits."""
    model.script = lambda _: Reply(400, error={"code": "content_filter", "message": "filtered"})
    texts.ask(cities(texts.site, 60))
    async with texts.working(AT_ONCE):
        await soon_open(texts)

    assert states(texts.site)["failed"] == LAST_ANSWERS
    assert standing(texts.site, "open_reason") == "useless-answers"
    assert "content-filter: filtered" in standing(texts.site, "open_message")


async def soon_open(texts: Texts) -> None:
    await soon(lambda: standing(texts.site, "open_until"))


async def test_a_bad_answer_keeps_the_breaker_open(texts: Texts, model: ScriptedOpenAI) -> None:
    """One that tries whether answers are better, and is not, opens it for twice as long."""
    model.script = lambda _: POOR
    texts.ask(cities(texts.site, 16))
    async with texts.working(AT_ONCE):
        await soon_open(texts)
        texts.site.execute("UPDATE ingest.ai_models SET open_until = now()")
        await soon(lambda: standing(texts.site, "opened_for") == 120)

    assert len(model.calls) == call_limits.LAST_ANSWERS + 1


async def test_some_bad_answers_stop_nothing(texts: Texts, model: ScriptedOpenAI) -> None:
    """Half of them may be of no use."""
    model.script = lambda call: POOR if call.number % 2 else Reply()
    texts.ask(cities(texts.site, 21))
    await work(texts)

    assert standing(texts.site, "open_until") is None
    assert states(texts.site) == {"done": 21}


async def test_a_failure_answers_for_its_prompt_for_some_days(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """Then, or with other settings, it is asked again; its reason is the provider's."""
    city = cities(texts.site, 1)
    filtered = Reply(400, error={"code": "content_filter", "message": "Filtered: violence"})
    model.script = lambda _: filtered

    async def ask(terms: Terms = AT_ONCE) -> int:
        texts.ask(city, "missing")
        await work(texts, terms)
        return len(model.calls)

    assert [await ask(), await ask()] == [1, 1]
    assert texts.site.query("SELECT DISTINCT state, code, message FROM ingest.enrichment") == [
        ("failed", "content-filter", "Filtered: violence")
    ]
    texts.site.execute("UPDATE ingest.ai_results SET answered_at = now() - interval '73 h'")
    assert [await ask(), await ask()] == [2, 2]
    others = replace(AT_ONCE, limits=replace(AT_ONCE.limits, settings="others"))
    async with transaction(texts.pool) as connection:
        await halts.prove(connection, TERMS.limits.model, "others")
    model.script = lambda _: Reply()
    assert await ask(others) == 3

    assert texts.site.query("SELECT state FROM ingest.ai_results") == [("done",)]


@pytest.fixture
async def batcher(texts: Texts) -> Batcher:
    return await texts.batcher(BATCHED)


def due(site: Site) -> None:
    site.execute("UPDATE ingest.enrichment SET not_before = now() WHERE state = 'pending'")


async def test_a_batch_that_is_too_large_for_the_account(
    texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """It is asked in smaller pieces, one after the other; no request loses a try, no money stays spent."""
    limit = {
        "code": "token_limit_exceeded",
        "message": "Enqueued token limit reached for gpt-4o-mini in organization. Limit: 90,000",
    }
    model.batch_refusal = lambda lines: limit if lines > 15 else None
    texts.ask(cities(texts.site, 40), "missing")
    for _ in range(8):
        await batcher.step()
        due(texts.site)
    assert states(texts.site) == {"done": 40}
    assert texts.site.query("SELECT outcome, requests FROM ingest.ai_batches ORDER BY made_at") == [
        ("too-large", 40),
        ("too-large", 20),
        *[("completed", 10)] * 4,
    ]
    assert texts.site.query(
        "SELECT DISTINCT reason FROM ingest.ai_batches WHERE outcome = 'too-large'"
    ) == [(limit["message"],)]
    assert texts.site.query("SELECT max(tries)::int FROM ingest.enrichment") == [(0,)]
    [(spent,)] = texts.site.query("SELECT spent FROM ingest.ai_budgets WHERE scope LIKE 'day%%'")

    assert spent == BATCHED.price.cost(400, 100) * 40


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ({"code": "model_not_found", "message": "The provided model 'x' is not supported"}, "model_not_found: The provided"),
        ({"code": None, "message": "This endpoint is not allowed"}, "batch-failed: This endpoint"),
    ],
)  # fmt: skip
async def test_a_batch_that_is_refused_as_a_whole(
    error: Mapping[str, Any], shown: str, texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """Its account halts with the reason, its requests wait without a failure, and are sent later."""
    model.batch_refusal = lambda _: error
    texts.ask(cities(texts.site, 3), "missing")
    await batcher.step()
    due(texts.site)
    await batcher.step()
    assert len(model.batches) == 1
    assert shown in str(standing(texts.site, "max(halted)"))
    assert texts.site.query("SELECT DISTINCT state, tries::int FROM ingest.enrichment") == [
        ("pending", 0)
    ]
    model.batch_refusal = lambda _: None
    texts.site.execute("UPDATE ingest.ai_models SET halted_until = now() WHERE halted IS NOT NULL")
    await batcher.step()

    assert states(texts.site) == {"done": 3}
    assert standing(texts.site, "max(halted)") is None


@pytest.mark.parametrize("status", [400, 404, 413])
async def test_a_batch_that_cannot_be_made(
    status: int, texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """The file that was uploaded for it is deleted, and nothing of it stays reserved."""
    model.batch_trouble = lambda asked, _: status if asked == "POST /v1/batches" else None
    texts.ask(cities(texts.site, 3), "missing")
    await batcher.step()

    assert standing(texts.site, "max(halted)") is not None
    assert texts.site.query("SELECT DISTINCT state, tries::int FROM ingest.enrichment") == [
        ("pending", 0)
    ]
    assert texts.site.query("SELECT sum(spent)::float FROM ingest.ai_budgets") == [(0,)]
    assert status == 413 or model.files == {}


async def test_files_of_a_batch_are_deleted_once_they_are_read(
    texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """What the provider does not delete now is tried again, and holds up nothing."""
    model.batch_trouble = lambda asked, _: 503 if asked.startswith("DELETE") else None
    texts.ask(cities(texts.site, 2), "missing")
    await batcher.step()
    assert states(texts.site) == {"done": 2}
    assert len(model.files) == 2
    model.batch_trouble = lambda *_: None
    await batcher.step()
    assert model.files == {}
    asks = len(model.batch_asks)
    await batcher.step()
    assert len(model.batch_asks) == asks


async def test_a_provider_that_deletes_no_files(
    texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """It is asked once for each."""
    model.batch_trouble = lambda asked, _: 405 if asked.startswith("DELETE") else None
    texts.ask(cities(texts.site, 2), "missing")
    await batcher.step()
    await batcher.step()

    assert len([asked for asked in model.batch_asks if asked.startswith("DELETE")]) == 2
