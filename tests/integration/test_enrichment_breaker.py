"""A provider that is down, has no more money for us, or refuses the key."""

from dataclasses import replace

from tests.fix_enrichment import (
    TERMS,
    Texts,
    ask,
    cities,
    configure,
    settled,
    soon,
    standing,
    states,
)
from tests.fix_stack import Site, eventually
from tests.openai_server import Reply, ScriptedOpenAI


def test_b42_a_provider_that_is_down(shop: Site, model: ScriptedOpenAI) -> None:
    """B42: the breaker opens and one call probes; no request is used up; everything drains after."""
    configure(shop, breaker_failures=3)
    up = [False]
    model.script = lambda _: Reply() if up[0] else Reply(503)
    ask(shop, "VILLE", cities(shop, 40))
    shop.worker("enrichment")
    eventually(lambda: standing(shop, "open_until"))
    before = len(model.calls)
    eventually(lambda: len(model.calls) > before + 1)  # it is probed

    assert len(model.calls) < 20
    assert states(shop).get("failed", 0) == 0
    up[0] = True
    assert settled(shop, 40) == {"done": 40}


async def test_calls_that_fail_together_open_the_breaker_once(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """What was under way when it opened is no probe: texts wait no longer than after one failure."""
    model.script = lambda _: Reply(503, hang=3)
    texts.ask(cities(texts.site, 4))
    failed = "SELECT count(*)::int FROM ingest.ai_calls WHERE state = 'failed'"
    async with texts.working(replace(TERMS, limits=replace(TERMS.limits, failures=1)), 4):
        await soon(lambda: texts.site.query(failed) == [(4,)])

    assert sum(states(texts.site).get(state, 0) for state in ("pending", "running")) == 4
    assert model.most_running == 4
    assert standing(texts.site, "opened_for") == 60
    assert texts.site.query("SELECT max(tries)::int FROM ingest.enrichment") == [(0,)]


async def test_a_used_up_quota_opens_the_breaker_at_once(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """One call is enough; no request loses a try."""
    quota = Reply(429, error={"code": "insufficient_quota", "message": "pay"})
    model.script = lambda _: quota
    texts.ask(cities(texts.site, 3))
    async with texts.working(replace(TERMS, limits=replace(TERMS.limits, concurrency=1))):
        await soon(lambda: standing(texts.site, "open_reason") == "quota")
        assert len(model.calls) == 1
        assert texts.site.query("SELECT max(tries)::int FROM ingest.enrichment") == [(0,)]
        model.script = lambda _: Reply()
        texts.site.execute("UPDATE ingest.ai_models SET open_until = now()")
        await soon(lambda: states(texts.site) == {"done": 3})


def test_a_refused_key_halts_the_stage(shop: Site, model: ScriptedOpenAI) -> None:
    """Nothing is lost and nothing is tried until somebody fixes it and starts a worker."""
    configure(shop, concurrency=1)
    model.script = lambda _: Reply(
        401, error={"code": "invalid_api_key", "message": "Bad sk-live-1"}
    )
    ask(shop, "VILLE", cities(shop, 3))
    worker = shop.worker("enrichment")
    halted = eventually(lambda: standing(shop, "halted"))
    assert "sk-live" not in str(halted)
    assert states(shop).keys() <= {"pending", "running", "noted"}
    assert len(model.calls) == 1
    model.script = lambda _: Reply()
    worker.kill()
    shop.worker("enrichment")

    assert settled(shop, 3) == {"done": 3}
