"""The night's texts in batches, at half the price, through kills and answers that fail."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from processors.database.queries import load
from processors.texts.model.batch_api import Batcher
from processors.texts.model.budgets import Budgets
from processors.texts.stage import CaughtUp, Parts, Stage
from processors.texts.stage_config import batch_terms
from tests.fix_enrichment import (
    PROBE_COST,
    TERMS,
    Texts,
    ask,
    caught_up,
    cities,
    configure,
    counted,
    settled,
    states,
)
from tests.fix_stack import Site, eventually
from tests.openai_server import BatchScript, Call, Reply, ScriptedOpenAI, good

ACCOUNT = "gpt-4o-mini by batch"
BATCHED = batch_terms(replace(TERMS, limits=replace(TERMS.limits, window=60.0), batched=True))


@pytest.fixture
def night(shop: Site) -> Site:
    """A site whose workers send the night's requests in batches."""
    configure(shop, batch="true", batch_seconds="0.3")
    return shop


def asked_by_night(site: Site, count: int) -> list[UUID]:
    """Requests that have all come in, so that one batch has them."""
    ids = cities(site, count)
    ask(site, "VILLE", ids, "missing")
    site.execute("UPDATE ingest.enrichment SET state = 'pending', sent_at = now()")
    return ids


def written(site: Site) -> int:
    [(count,)] = site.query(
        "SELECT count(*)::int FROM location_ville WHERE texte_description_ia <> ''"
    )
    return int(count)


def test_a_night_in_one_batch(night: Site, model: ScriptedOpenAI) -> None:
    """One file, one batch, half the price; what people ask for is still asked at once."""
    model.batch_status = "in_progress"
    ids = asked_by_night(night, 120)
    ask(night, "VILLE", ids[:1], "missing")  # the very same once more
    night.execute("UPDATE ingest.enrichment SET state = 'pending', sent_at = now()")
    night.worker("enrichment")
    eventually(lambda: len(model.batches) == 1)
    night.execute("UPDATE ingest.enrichment SET not_before = now() WHERE state = 'pending'")
    ask(night, "VILLE", ids[:1])
    night.execute(
        "INSERT INTO location_ville SELECT md5('other')::uuid, created_at, updated_at, 'Autre', 'autre', "
        "code_postal_principal, codes_postaux, departement, region, lat, lng, 0 FROM location_ville LIMIT 1"
    )
    [(other,)] = night.query("SELECT id FROM location_ville WHERE slug = 'autre'")
    ask(night, "VILLE", [other])
    eventually(lambda: len(model.paid) == 1)
    assert model.calls[0].data["nom"] == "Autre"
    model.batch_status = "completed"

    eventually(lambda: written(night) == 121, 30)  # far below the default of FOX_AI_BATCH_SECONDS
    night.execute("UPDATE ingest.enrichment SET not_before = now() WHERE state = 'pending'")
    assert settled(night, 123) == {"done": 123}
    assert (len(model.batches), len(model.batched), len(model.calls)) == (1, 120, 1)
    assert night.query(
        "SELECT model, state, sum(cost)::float FROM ingest.ai_calls "
        "WHERE prompt_hash NOT LIKE 'probe%%' GROUP BY 1, 2 ORDER BY 1"
    ) == [
        ("gpt-4o-mini", "answered", pytest.approx(0.00012)),
        ("gpt-4o-mini by batch", "answered", pytest.approx(120 * 0.00006)),
    ]
    spent = "SELECT spent::float FROM ingest.ai_budgets WHERE scope LIKE 'day%%'"
    assert night.query(spent) == [(pytest.approx(PROBE_COST + 0.00012 + 120 * 0.00006),)]
    assert night.query("SELECT DISTINCT model FROM ingest.enrichment_texts") == [("gpt-4o-mini",)]
    assert night.query("SELECT count(*)::int FROM ingest.ai_batch_items") == [(0,)]


def test_a_batch_outlives_its_workers(night: Site, model: ScriptedOpenAI) -> None:
    """A kill when it was made and nobody told, one while it is answered: no second batch, nothing twice."""
    model.batch_status = "in_progress"
    # The provider makes the batch, and the answer does not come.
    model.batch_trouble = lambda asked, done: 0 if done and asked == "POST /v1/batches" else None
    asked_by_night(night, 60)
    first = night.worker("enrichment")
    eventually(lambda: model.batches)
    first.kill()
    model.batch_trouble = lambda *_: None
    night.execute("UPDATE ingest.ai_batches SET leased_until = now()")
    second = night.worker("enrichment")
    eventually(lambda: night.query("SELECT FROM ingest.ai_batches WHERE provider_id IS NOT NULL"))
    second.stop()
    model.batch_status = "completed"
    configure(night, batch="false")  # what is open is read all the same
    night.execute("UPDATE ingest.ai_batches SET leased_until = now()")
    night.worker("enrichment")
    night.worker("enrichment")

    assert settled(night, 60) == {"done": 60}
    assert len(model.batches) == 1
    assert not model.repeats()
    assert written(night) == 60


@pytest.fixture
async def batcher(texts: Texts) -> Batcher:
    return await texts.batcher(BATCHED)


async def sent(texts: Texts, batcher: Batcher, model: ScriptedOpenAI, count: int) -> None:
    """A batch of so many requests, which the provider has not answered yet."""
    model.batch_status = "in_progress"
    texts.ask(cities(texts.site, count), "missing")
    await batcher.step()
    assert len(model.batches) == 1


def failing(status: int) -> BatchScript:
    """Each request about a batch fails so."""
    return lambda asked, done: status if asked.startswith("GET /v1/batches/") and not done else None


def working(_: str, __: bool) -> None:
    """None does."""


def account(site: Site) -> dict[str, Any]:
    [(found,)] = site.query("SELECT to_jsonb(m) FROM ingest.ai_models m WHERE model = %s", ACCOUNT)
    return dict(found)


async def test_what_a_batch_does_not_answer(
    texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """Bad answers are asked again in the next batch, refused prompts fail, the unanswered come again."""

    def script(call: Call) -> Reply:
        replies = {
            "Ville 1": Reply(content=good("VILLE", call.data).replace("Chacun", "TODO Chacun")),
            "Ville 2": Reply(400, error={"code": "content_filter", "message": "filtered"}),
            "Ville 3": Reply(500),
            "Ville 4": Reply(hang=1),
        }
        first = len(call.body["messages"]) == 2 and call.repeated == 0
        return replies.get(call.data["nom"], Reply()) if first else Reply()

    model.script = script
    texts.ask(cities(texts.site, 5), "missing")
    while states(texts.site) != {"done": 4, "failed": 1}:
        await batcher.step()

    assert texts.site.query("SELECT code FROM ingest.enrichment WHERE state = 'failed'") == [
        ("content-filter",)
    ]
    again = [call for call in model.batched if len(call.body["messages"]) == 4]
    assert [call.data["nom"] for call in again] == ["Ville 1"]
    # Ville 1 twice, Ville 5, and 3 and 4 when they came again: what was refused costs nothing.
    [(cost,)] = texts.site.query("SELECT sum(cost)::float FROM ingest.ai_calls")
    assert cost == pytest.approx(5 * 0.00006)


async def test_batches_keep_to_the_budget(texts: Texts, model: ScriptedOpenAI) -> None:
    """What there is no money for waits; what was reserved and not used is there for the next batch."""
    budgets = {"day": Decimal("0.0017")}
    terms = replace(BATCHED, limits=replace(BATCHED.limits, budgets=budgets))
    batcher = Batcher(texts.pool, texts.provider, terms, caught_up)
    await sent(texts, batcher, model, 20)
    spent = "SELECT spent::float FROM ingest.ai_budgets WHERE scope LIKE 'day%%'"
    assert 0 < texts.site.query(spent)[0][0] <= 0.0017
    [(items,)] = texts.site.query("SELECT count(*)::int FROM ingest.ai_batch_items")
    assert 0 < items < 20
    assert texts.site.query(
        "SELECT state, message, count(*)::int FROM ingest.enrichment WHERE code = 'budget' GROUP BY 1, 2"
    ) == [("pending", "budget day", 20 - items)]
    model.batch_status = "completed"
    for _ in range(40):
        texts.site.execute(
            "UPDATE ingest.enrichment SET not_before = now() WHERE state = 'pending'"
        )
        await batcher.step()

    assert states(texts.site) == {"done": 20}
    assert texts.site.query(spent) == [(pytest.approx(20 * 0.00006),)]
    assert not model.repeats()


async def test_failures_with_successes_in_between(
    texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """The breaker opens after failures one after the other: a poll that works ends their row."""
    await sent(texts, batcher, model, 1)
    for _ in range(TERMS.limits.failures):
        model.batch_trouble = failing(503)
        await batcher.step()
        model.batch_trouble = working
        await batcher.step()

    assert (account(texts.site)["failures"], account(texts.site)["open_until"]) == (0, None)


async def test_nothing_is_asked_while_the_breaker_is_open(
    texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """After its time one poll probes, and closes it if it works."""
    await sent(texts, batcher, model, 1)
    model.batch_trouble = failing(503)
    for _ in range(TERMS.limits.failures):
        await batcher.step()
    asks = len(model.batch_asks)
    assert account(texts.site)["open_reason"] == "http-503"
    model.batch_trouble = working
    await batcher.step()
    assert len(model.batch_asks) == asks
    texts.site.execute("UPDATE ingest.ai_models SET open_until = now()")
    await batcher.step()

    assert len(model.batch_asks) == asks + 1
    assert (account(texts.site)["failures"], account(texts.site)["open_until"]) == (0, None)


@pytest.mark.parametrize(("status", "why"), [(429, "blocked_until"), (401, "halted")])
async def test_who_is_to_be_left_alone_is_not_asked(
    status: int, why: str, texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """Too many requests, or a key that is refused: as for calls."""
    await sent(texts, batcher, model, 1)
    model.batch_trouble = failing(status)
    await batcher.step()
    asks = len(model.batch_asks)
    await batcher.step()

    assert account(texts.site)[why] is not None
    assert len(model.batch_asks) == asks


@pytest.mark.parametrize(("reply", "code"), [(Reply(500), "http-500"), (Reply(hang=1), "batch")])
async def test_a_batch_that_failed_is_no_outage(
    reply: Reply, code: str, texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """Each request loses a try; that the provider can be asked, the poll has shown."""
    patient = Batcher(texts.pool, texts.provider, replace(BATCHED, retry_seconds=1e6), caught_up)
    model.script = lambda _: reply
    count = TERMS.limits.failures + 1
    texts.ask(cities(texts.site, count), "missing")
    await patient.step()

    assert texts.site.query("SELECT DISTINCT state, tries::int, code FROM ingest.enrichment") == [
        ("pending", 1, code)
    ]
    assert (account(texts.site)["failures"], account(texts.site)["open_until"]) == (0, None)


async def test_calls_of_a_batch_are_counted_when_it_is_known_to_be_sent(
    texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """Not before, and once, though the provider took it without a word."""
    model.batch_trouble = lambda asked, done: 0 if done and asked == "POST /v1/batches" else None
    before = counted().get("calls made", 0)
    await sent(texts, batcher, model, 3)
    assert counted().get("calls made", 0) == before
    model.batch_trouble = working
    await batcher.step()
    await batcher.step()

    assert counted()["calls made"] == before + 3
    assert len(model.batches) == 1


async def test_what_somebody_is_asking_is_not_asked_in_a_batch(
    texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """It waits for the answer that comes."""
    ids = cities(texts.site, 1)
    texts.ask(ids)
    await texts.call()
    texts.ask(ids, "missing")
    await batcher.step()

    assert model.batches == {}
    assert states(texts.site) == {"running": 1, "pending": 1}


async def test_a_model_that_is_gone_is_logged_once(
    texts: Texts, batcher: Batcher, model: ScriptedOpenAI
) -> None:
    """Though each line of the batch says so; no request fails."""
    model.script = lambda _: Reply(404, error={"code": "model_not_found"})
    texts.ask(cities(texts.site, 3), "missing")
    with capture_logs() as logs:
        await batcher.step()

    assert [log["action"] for log in logs if log["log_level"] == "error"] == ["ai_halted"]
    assert texts.site.query("SELECT DISTINCT state, code, tries::int FROM ingest.enrichment") == [
        ("pending", "halted", 1)
    ]


def stage(texts: Texts, *, batched: bool) -> Stage:
    """A stage that publishes nothing."""

    async def ends() -> dict[int, int]:
        return {}

    nothing: Any = None
    terms = replace(TERMS, batched=batched)
    results = CaughtUp("results", ends)
    return Stage(Parts(texts.pool, None, terms, nothing, results, BATCHED, 60.0, Budgets({})))


async def test_what_dies_and_fails_in_batches_is_seen(texts: Texts, batcher: Batcher) -> None:
    """Calls that a batch never answered are lost, and its breaker is one to look at."""
    texts.site.execute(
        "INSERT INTO ingest.ai_calls (model, at, until, request_id, prompt_hash, ask, tokens, cost) "
        "VALUES (%s, now(), now() - interval '1 s', gen_random_uuid(), 'h', 0, 1, 0)", ACCOUNT,
    )  # fmt: skip
    before = counted().get("calls lost", 0)
    await stage(texts, batched=True)._look()
    assert texts.site.query("SELECT state FROM ingest.ai_calls") == [("lost",)]
    assert counted()["calls lost"] == before + 1
    assert REGISTRY.get_sample_value("fox_ai_breaker_open") == 0
    texts.site.execute("UPDATE ingest.ai_models SET open_until = now() WHERE model = %s", ACCOUNT)
    await stage(texts, batched=True)._look()

    assert REGISTRY.get_sample_value("fox_ai_breaker_open") == 1


async def test_batches_that_are_switched_off_are_no_outage(texts: Texts, batcher: Batcher) -> None:
    """Else the overview would say for ever what no poll will take back."""
    texts.site.execute(
        "UPDATE ingest.ai_models SET open_until = now(), open_reason = 'http-503', halted = 'x' "
        "WHERE model = %s", ACCOUNT,
    )  # fmt: skip
    trouble = load("processors.monitoring", "overview_counts.sql")["trouble"]
    await stage(texts, batched=True)._begin()
    assert texts.site.query(trouble) == [(f"{ACCOUNT} : http-503",)]
    await stage(texts, batched=False)._begin()

    assert texts.site.query(trouble) == [(None,)]
