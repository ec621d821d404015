"""Rates, budgets and what a provider asks for: they hold for all workers together."""

from dataclasses import replace
from uuid import uuid4

import pytest

from tests.fix_enrichment import (
    PROBE_COST,
    TERMS,
    Texts,
    ask,
    cities,
    configure,
    settled,
    soon,
    states,
)
from tests.fix_stack import Site, eventually
from tests.openai_server import Reply, ScriptedOpenAI


def test_the_rate_holds_for_workers_that_start_at_once(shop: Site, model: ScriptedOpenAI) -> None:
    """No window holds more calls than the limit, failed ones counted, whoever makes them."""
    configure(shop, requests_per_minute=5, concurrency=20)
    model.script = lambda call: Reply(500) if call.number % 4 == 0 else Reply()
    ask(shop, "VILLE", cities(shop, 12))
    for _ in range(3):
        shop.worker("enrichment")

    settled(shop, 12, 180)
    assert model.most_in(3) <= 5
    assert len(model.calls) >= 12 + 4


async def test_tokens_are_limited_too(texts: Texts, model: ScriptedOpenAI) -> None:
    """Calls wait for room in the window of tokens; a call larger than it is made alone."""
    texts.ask(cities(texts.site, 3))
    async with texts.working(replace(TERMS, limits=replace(TERMS.limits, tokens=10)), 4):
        await soon(lambda: states(texts.site) == {"done": 3})

    assert model.most_in(TERMS.limits.window) == 1


def test_the_budget_stops_and_goes_on(shop: Site, model: ScriptedOpenAI) -> None:
    """It is never exceeded, what waits is not lost, and it goes on where the budget is raised."""
    # A call reserves some 0.0007 and uses 0.00012 US dollars.
    configure(shop, budget_day="0.0015", concurrency=4)
    ask(shop, "VILLE", cities(shop, 30))
    first = shop.worker("enrichment")
    eventually(lambda: shop.query("SELECT 1 FROM ingest.enrichment WHERE code = 'budget' LIMIT 1"))
    spent = "SELECT spent::float FROM ingest.ai_budgets WHERE scope LIKE 'day%%'"
    eventually(
        lambda: shop.query(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM ingest.ai_calls WHERE state = 'started')"
        )
    )
    assert shop.query(spent)[0][0] <= 0.0015
    assert 0 < len(model.paid) < 30
    first.kill()
    configure(shop, budget_day="1")
    shop.worker("enrichment")

    assert settled(shop, 30) == {"done": 30}
    # What was in flight at the kill may have been paid: it counts as it was reserved.
    costs = dict(shop.query("SELECT state, sum(cost)::float FROM ingest.ai_calls GROUP BY state"))
    assert costs["answered"] == pytest.approx(30 * 0.00012 + PROBE_COST)
    assert shop.query(spent) == [(pytest.approx(sum(costs.values())),)]


def test_budgets_of_an_import_and_of_the_month(shop: Site, model: ScriptedOpenAI) -> None:
    """Each stops what it is for, without a failure, and it goes on when raised; other days count."""
    configure(shop, budget_import="0.0009", budget_day="1", budget_month="10", concurrency=1)
    shop.execute(
        "INSERT INTO ingest.ai_budgets "
        "VALUES ('month ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'), 9.9985)"
    )
    ids, import_id = cities(shop, 18), uuid4()
    shop.execute(
        "INSERT INTO ingest.imports (id, partition, import_type, file_name, file_sha256, "
        "generate_ai_content, header, options, created_at) "
        "VALUES (%s, 0, 'VILLE', 'v.csv', '', true, '[]', '{}', now())",
        import_id,
    )
    shop.execute(
        "INSERT INTO ingest.enrichment (id, kind, entity_id, import_id, reason, priority) "
        "SELECT gen_random_uuid(), 'VILLE', e, %s, 'import', 0 FROM unnest(%s::uuid[]) e",
        import_id,
        ids[:6],
    )
    ask(shop, "VILLE", ids[6:])
    first = shop.worker("enrichment")
    why = "SELECT DISTINCT import_id IS NOT NULL, message FROM ingest.enrichment WHERE code = 'budget'"
    eventually(lambda: set(shop.query(why)) >= {(True, "budget import"), (False, "budget month")})
    spent = dict(
        shop.query("SELECT split_part(scope, ' ', 1), spent::float FROM ingest.ai_budgets")
    )
    assert 0 < spent["import"] <= 0.0009
    assert 9.9985 + spent["import"] < spent["month"] <= 10
    assert states(shop).get("failed", 0) == 0
    assert 0 < len(model.paid) < 18
    first.stop()
    configure(shop, budget_import="1", budget_month="11")
    shop.worker("enrichment")

    assert settled(shop, 18) == {"done": 18}
    assert not model.repeats()


ONE_AT_A_TIME = replace(TERMS, limits=replace(TERMS.limits, concurrency=1))


async def test_a_provider_without_room_is_left_alone(texts: Texts, model: ScriptedOpenAI) -> None:
    """An answer that says that it was the last one for now holds for all workers."""
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h0m0s"}
    model.script = lambda call: Reply(headers=headers) if call.number == 0 else Reply()
    texts.ask(cities(texts.site, 3))
    async with texts.working(ONE_AT_A_TIME, 2):
        await soon(lambda: states(texts.site) == {"done": 1, "running": 2})
        assert texts.site.query(
            "SELECT blocked_until > now() + interval '50 minutes' FROM ingest.ai_models"
        ) == [(True,)]
        assert len(model.calls) == 1
        texts.site.execute("UPDATE ingest.ai_models SET blocked_until = now()")
        await soon(lambda: states(texts.site) == {"done": 3})


async def test_retry_after_makes_everybody_wait(texts: Texts, model: ScriptedOpenAI) -> None:
    """What one call is told holds for all workers."""
    model.script = lambda call: (
        Reply(429, headers={"Retry-After": "3"}) if call.number == 0 else Reply()
    )
    texts.ask(cities(texts.site, 3))
    async with texts.working(ONE_AT_A_TIME, 2):
        await soon(lambda: states(texts.site) == {"done": 3})

    assert model.calls[1].at - model.calls[0].at >= 3
