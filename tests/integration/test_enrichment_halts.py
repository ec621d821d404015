"""Whether a prompt is to blame for a refusal or the settings are: judged by what others come to."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import SecretStr

from processors.database.pool import transaction
from processors.settings import Settings
from processors.texts import control, report
from processors.texts.model import call_limits
from processors.texts.model.answer_handling import Terms
from processors.texts.model.probe import Probe
from processors.texts.stage_config import batch_terms
from tests.fix_enrichment import TERMS, Texts, cities, standing, states
from tests.fix_stack import Site
from tests.openai_server import CUT, Call, Reply, ScriptedOpenAI

# What is refused waits until the others were asked.
AT_ONCE = replace(TERMS, retry_seconds=1e6)
NEW = replace(AT_ONCE, limits=replace(TERMS.limits, settings="others"))
BATCHED = batch_terms(replace(TERMS, retry_seconds=0.0, batched=True))
WRONG = Reply(400, error={"message": "Unknown parameter: 'seed'", "code": "unknown_parameter"})
SETTINGS = [
    WRONG,
    Reply(404, error={"message": "The model `gpt-9` does not exist", "code": "model_not_found"}),
    Reply(403, error={"message": "Project does not have access to model"}),
    Reply(422, raw=b'{"detail": [{"msg": "extra fields not permitted"}]}'),
]


async def work(texts: Texts, terms: Terms = AT_ONCE) -> None:
    """Deals with all that is due, then twice with what was refused."""
    caller = texts.caller(terms)
    for _ in range(3):
        while await caller._next():
            pass
        texts.site.execute(
            "UPDATE ingest.enrichment SET not_before = now() "
            "WHERE state = 'pending' AND code LIKE 'http-%%'"
        )


def probe(texts: Texts, terms: Terms = AT_ONCE) -> Probe:
    return Probe(texts.pool, texts.provider, terms)


def halted_lines(site: Site) -> list[str]:
    """What the report says of it."""
    found = [
        dict(zip(("model", "halted", "halted_until", "unlimited", "open_until"), row, strict=True))
        for row in site.query(
            "SELECT model, halted, halted_until::text, unlimited, open_until FROM ingest.ai_models"
        )
    ]
    return [line for model in found for line in report._breaker_lines(model)]


def wait_is_over(site: Site) -> None:
    """The halt has lasted as long as it was to, and so have the waits of requests."""
    site.execute("UPDATE ingest.ai_models SET halted_until = now()")
    site.execute("UPDATE ingest.enrichment SET not_before = now() WHERE state = 'pending'")


@pytest.mark.parametrize("refusal", SETTINGS)
async def test_settings_that_are_refused_fail_no_request(
    refusal: Reply, texts: Texts, model: ScriptedOpenAI
) -> None:
    """A few different prompts are refused: the stage halts and says why, until the probe is answered."""
    model.script = model.probe = lambda _: refusal
    texts.ask(cities(texts.site, 12))
    await work(texts)

    assert states(texts.site) == {"pending": 12}
    assert len(model.calls) == 3
    [line] = halted_lines(texts.site)
    message = refusal.error["message"] if refusal.error else "extra fields not permitted"
    assert f"http-{refusal.status}: {message}" in line
    assert texts.site.query(
        "SELECT code, tries::int, count(*)::int FROM ingest.enrichment WHERE code IS NOT NULL GROUP BY 1, 2"
    ) == [("halted", 1, 3)]
    await probe(texts).step()
    assert model.probes == []  # not at once
    wait_is_over(texts.site)
    await probe(texts).step()
    await work(texts)
    assert (len(model.probes), len(model.calls)) == (1, 3)
    assert standing(texts.site, "halted_for") == 120
    model.script = lambda _: Reply()
    model.probe = lambda _: CUT
    wait_is_over(texts.site)
    await probe(texts).step()
    await work(texts)

    assert states(texts.site) == {"done": 12}
    assert not model.repeats()


def refusing(*names: str, status: int = 400) -> Callable[[Call], Reply]:
    return lambda call: (
        Reply(status, error={"message": "no"}) if call.data["nom"] in names else Reply()
    )


@pytest.mark.parametrize("status", [400, 402, 403, 404, 413, 422, 451])
async def test_a_refusal_amid_answers_is_about_its_prompt(
    status: int, texts: Texts, model: ScriptedOpenAI
) -> None:
    """It fails with the provider's reason, and the others go on."""
    model.script = refusing("Ville 2", "Ville 4", status=status)
    cities(texts.site, 6)
    # In this order: after each refusal another one is answered.
    for (city,) in texts.site.query("SELECT id FROM location_ville ORDER BY nom"):
        texts.ask([city])
    await work(texts)

    assert states(texts.site) == {"done": 4, "failed": 2}
    assert texts.site.query("SELECT DISTINCT code, message FROM ingest.ai_results WHERE code <> ''") == [
        (f"http-{status}", "no")
    ]  # fmt: skip
    assert standing(texts.site, "halted") is None
    assert len(model.calls) == 4 + 2 * 2


async def test_a_prompt_that_is_alone(texts: Texts, model: ScriptedOpenAI) -> None:
    """Nothing else shows what its refusal is about: the probe does."""
    model.script = lambda _: WRONG
    texts.ask(cities(texts.site, 1))
    await work(texts)
    assert states(texts.site) == {"pending": 1}
    assert len(model.calls) == 2
    await probe(texts).step()
    await work(texts)

    assert states(texts.site) == {"failed": 1}
    assert (len(model.calls), len(model.probes)) == (3, 1)


async def test_a_prompt_that_is_alone_with_wrong_settings(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """It waits for others."""
    model.script = model.probe = lambda _: WRONG
    texts.ask(cities(texts.site, 1))
    await work(texts)
    await probe(texts).step()
    await work(texts)

    assert states(texts.site) == {"pending": 1}
    assert "Unknown parameter" in str(standing(texts.site, "halted"))


async def test_prompts_that_are_refused_whenever_the_stage_goes_on(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """Others are asked before them, and in the end they fail: the probe is answered each time."""
    model.script = refusing("Ville 1", "Ville 2", "Ville 3")
    texts.ask(cities(texts.site, 3))
    await work(texts)
    assert states(texts.site) == {"pending": 3}
    texts.site.execute("UPDATE ingest.ai_models SET halted_until = now()")
    texts.site.execute("UPDATE location_ville SET nom = 'Ville 9' WHERE nom = 'Ville 8'")
    await probe(texts).step()
    await work(texts)
    assert len(model.calls) == 3  # they wait behind requests that arrive now
    for _ in range(6):
        wait_is_over(texts.site)
        await probe(texts).step()
        await work(texts)

    assert states(texts.site) == {"failed": 3}


async def test_new_settings_are_tried_first(texts: Texts, model: ScriptedOpenAI) -> None:
    """One small call for all workers and restarts; if it is refused, no request is asked."""
    model.probe = lambda _: WRONG
    texts.ask(cities(texts.site, 5))
    await work(texts, NEW)
    assert model.calls == []
    await probe(texts, NEW).step()
    await work(texts, NEW)
    assert (len(model.calls), len(model.probes)) == (0, 1)
    assert states(texts.site) == {"pending": 5}
    [line] = halted_lines(texts.site)
    assert "Unknown parameter: 'seed'" in line
    async with transaction(texts.pool) as connection:  # a worker starts
        await call_limits.begin(connection, TERMS.limits.model)
    model.probe = lambda _: CUT
    await asyncio.gather(*(probe(texts, NEW).step() for _ in range(4)))
    await probe(texts, NEW).step()
    await work(texts, NEW)

    assert states(texts.site) == {"done": 5}
    assert len(model.probes) == 2
    assert texts.site.query(
        "SELECT state, count(*)::int FROM ingest.ai_calls WHERE prompt_hash LIKE 'probe%%' GROUP BY 1 "
        "ORDER BY 1"
    ) == [("answered", 1), ("failed", 1)]


async def test_the_probe_keeps_to_the_budget(texts: Texts, model: ScriptedOpenAI) -> None:
    """Without room for it nothing is asked."""
    broke = replace(NEW, limits=replace(NEW.limits, budgets={"day": Decimal("0.0001")}))
    await probe(texts, broke).step()

    assert model.probes == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, error={"message": "Could not finish the message because max_tokens or model "
                          "output limit was reached."}),
        Reply(400, error={"code": "json_validate_failed", "message": "max completion tokens reached"}),
        Reply(400, error={"code": "content_filter"}),
        Reply(content="", finish="length", tokens=(300, 256)),
    ],
)  # fmt: skip
async def test_a_probe_that_was_cut_or_filtered(
    reply: Reply, texts: Texts, model: ScriptedOpenAI
) -> None:
    """Requests of this shape are taken: that is what it was to show."""
    model.probe = lambda _: reply
    texts.ask(cities(texts.site, 1))
    await probe(texts, NEW).step()
    await work(texts, NEW)

    assert states(texts.site) == {"done": 1}


IGNORED = [
    Reply(tokens=(300, 2000)),
    Reply(content="un, deux, trois, " * 500, usage={}),
]


@pytest.mark.parametrize("reply", IGNORED)
async def test_a_server_that_ignores_the_limit_of_an_answer(
    reply: Reply, texts: Texts, model: ScriptedOpenAI
) -> None:
    """With a budget the stage does not start, and no probe pays for it again; without one it warns."""
    model.probe = lambda _: reply
    texts.ask(cities(texts.site, 1))
    limited = replace(NEW, limits=replace(NEW.limits, budgets={"day": Decimal(1)}))
    await probe(texts, limited).step()
    texts.site.execute("UPDATE ingest.ai_models SET halted_for = 0")
    await probe(texts, limited).step()
    await work(texts, limited)
    assert (len(model.calls), len(model.probes)) == (0, 1)
    assert "unlimited: the server ignores" in str(standing(texts.site, "halted"))
    async with transaction(texts.pool) as connection:
        await call_limits.begin(connection, TERMS.limits.model)
    await probe(texts, NEW).step()
    await work(texts, NEW)

    assert states(texts.site) == {"done": 1}
    assert halted_lines(texts.site) == ["gpt-4o-mini ignores the limit of an answer"]


async def test_a_budget_that_is_set_meanwhile_asks_for_the_limit_of_answers(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """A server that ignores it was good enough without one; now nothing more is asked of it."""
    model.probe = lambda _: IGNORED[0]
    budgets: dict[str, Decimal | None] = {"day": None}
    terms = replace(NEW, limits=replace(NEW.limits, budgets=budgets))
    await probe(texts, terms).step()
    texts.ask(cities(texts.site, 1))
    await work(texts, terms)
    assert states(texts.site) == {"done": 1}
    budgets["day"] = Decimal(1)
    texts.ask(cities(texts.site, 2, first=2))
    await work(texts, terms)
    await probe(texts, terms).step()
    await work(texts, terms)

    assert (len(model.calls), len(model.probes)) == (1, 2)
    assert "unlimited" in str(standing(texts.site, "halted"))


async def test_nothing_is_asked_in_a_pause_and_the_probe_at_once_after_it(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """Nor need anybody wait for the end of a halt once an operator says that it is over."""
    settings = Settings(database_url=SecretStr(texts.site.database_url))
    control.pause(settings, None, None)
    await probe(texts, NEW).step()
    assert model.probes == []
    control.resume(settings)
    model.probe = lambda _: WRONG
    await probe(texts, NEW).step()
    await probe(texts, NEW).step()
    assert len(model.probes) == 1
    assert standing(texts.site, "halted")
    model.probe = lambda _: CUT
    control.resume(settings)
    await probe(texts, NEW).step()
    texts.ask(cities(texts.site, 1))
    await work(texts, NEW)

    assert states(texts.site) == {"done": 1}
    assert len(model.probes) == 2


async def test_a_probe_with_a_parameter_that_is_refused(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """It is asked again at once, without it."""
    refused = Reply(400, error={"message": "Unrecognized argument: max_completion_tokens"})
    model.probe = lambda call: refused if "max_completion_tokens" in call.body else CUT
    await probe(texts, NEW).step()
    await probe(texts, NEW).step()
    texts.ask(cities(texts.site, 1))
    await work(texts, NEW)

    assert states(texts.site) == {"done": 1}
    assert (len(model.probes), len(model.calls)) == (2, 1)


async def test_a_batch_that_is_gone_halts_nothing(texts: Texts, model: ScriptedOpenAI) -> None:
    """A 404 for one batch: its requests come again, and what it may have cost stays spent."""
    batcher = await texts.batcher(BATCHED)
    model.batch_status = "in_progress"
    texts.ask(cities(texts.site, 2), "missing")
    await batcher.step()
    gone = model.batches.pop("batch-0")
    assert gone
    model.batch_trouble = lambda asked, _: 404 if asked == "GET /v1/batches/batch-0" else None
    await batcher.step()
    assert standing(texts.site, "max(halted)") is None
    assert (
        texts.site.query("SELECT state, code, tries::int FROM ingest.enrichment")
        == [("pending", "batch-lost", 1)] * 2
    )
    assert texts.site.query("SELECT DISTINCT state, cost > 0 FROM ingest.ai_calls") == [
        ("lost", True)
    ]
    model.batches["none"] = {"id": "none"}  # so that the next is not batch-0
    model.batch_status = "completed"
    await batcher.step()

    assert states(texts.site) == {"done": 2}


async def test_batches_that_cannot_be_asked_after_halt_and_go_on(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """If the provider knows nothing of batches at all, their account halts, and is tried again."""
    batcher = await texts.batcher(BATCHED)
    model.batch_status = "in_progress"
    texts.ask(cities(texts.site, 1), "missing")
    await batcher.step()
    model.batch_trouble = lambda asked, _: 404 if asked.startswith("GET /v1/batches") else None
    await batcher.step()
    asks = len(model.batch_asks)
    await batcher.step()
    assert len(model.batch_asks) == asks
    assert any("gpt-4o-mini by batch is halted" in line for line in halted_lines(texts.site))
    model.batch_trouble = lambda *_: None
    model.batch_status = "completed"
    wait_is_over(texts.site)
    await batcher.step()

    assert states(texts.site) == {"done": 1}
    assert halted_lines(texts.site) == []


def unblock(site: Site) -> None:
    """Nothing waits for the provider's time any more."""
    site.execute("UPDATE ingest.ai_models SET blocked_until = now()")
    site.execute("UPDATE ingest.enrichment SET not_before = now()")


async def test_a_429_neither_opens_nor_closes_the_breaker(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """It says that calls are too many, not that the provider works; the breaker is tried again."""
    busy = Reply(429, error={"code": "rate_limit_exceeded"}, headers={"Retry-After": "0.01"})
    model.script = lambda _: busy
    texts.ask(cities(texts.site, 1))
    texts.site.execute(
        "UPDATE ingest.ai_models SET failures = 9, open_until = now(), open_reason = 'http-503'"
    )
    caller = texts.caller(AT_ONCE)
    assert await caller._next()
    assert standing(texts.site, "open_reason") == "http-503"
    assert standing(texts.site, "failures") == 9
    unblock(texts.site)
    assert await caller._next()  # at once, not when a call that never ended would be over
    assert len(model.calls) == 2
    texts.site.execute("UPDATE ingest.ai_models SET failures = 4, open_until = NULL")
    unblock(texts.site)
    assert await caller._next()

    assert standing(texts.site, "open_until") is None
    assert standing(texts.site, "failures") == 4
