"""What foxstream does with everything that providers answer: the table of docs/enrichment.md, tried."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from processors.database.pool import transaction
from processors.texts.model import halts
from processors.texts.server.bounded import MOST_BYTES
from processors.texts.server.dialect import Dialect
from processors.texts.server.provider import Provider
from tests.fix_enrichment import Texts, cities, empty, states
from tests.integration.test_enrichment_answers import PATIENT, Path, at_once, in_batches
from tests.model_outcomes import Outcome, Then, outcome
from tests.openai_server import Call, Reply, ScriptedOpenAI
from tests.provider_behaviours import BEHAVIOURS, BY_PROVIDER, Behaviour

MANY = replace(PATIENT, limits=replace(PATIENT.limits, failures=1000))
"""Failures of many requests do not open the breaker."""

BY_ITSELF = (Then.STORED, Then.ASKED_AGAIN, Then.AGAIN, Then.FAILED)
"""These concern one request alone, so that many are tried together."""

BY_STATUS = {each.reply.status: each for each in BEHAVIOURS if each.outcome.then is Then.JUDGED}


def is_alone(behaviour: Behaviour) -> bool:
    """Whether other requests would wait for what this one comes to."""
    waits = behaviour.reply.hang or "x-ratelimit" in str(behaviour.reply.headers)
    return bool(waits) or behaviour.outcome.then not in BY_ITSELF


async def afresh(texts: Texts) -> None:
    """Nothing was ever asked or refused, and the settings are proven."""
    empty(texts.site)
    texts.provider._dialect = Dialect()
    async with transaction(texts.pool) as connection:
        await halts.prove(connection, PATIENT.limits.model, PATIENT.limits.settings)


@asynccontextmanager
async def impatient_provider(texts: Texts, url: str) -> AsyncIterator[None]:
    shared, texts.provider = texts.provider, Provider(lambda: "sk-test", url, 1.0)
    try:
        yield
    finally:
        await texts.provider.close()
        texts.provider = shared


async def come_to(
    behaviours: Sequence[Behaviour], path: Path, texts: Texts, model: ScriptedOpenAI
) -> dict[str, Outcome]:
    """What requests come to whose model answers so, time and again; with reasons, where there are any."""
    await afresh(texts)
    about = {f"Ville {number}": each for number, each in enumerate(behaviours, 1)}

    def script(call: Call) -> Reply:
        each = about[call.data["nom"]]
        return each.reply if each.refuses in str(call.body) else Reply()

    model.script = script
    texts.ask(cities(texts.site, len(about)), "missing")
    await path(texts, MANY)
    rows = texts.site.query(
        "SELECT nom, entity_id, message FROM ingest.enrichment JOIN location_ville v ON v.id = entity_id"
    )
    for name, _, message in rows:
        reply, then = about[name].reply, about[name].outcome.then
        if then in (Then.FAILED, Then.JUDGED) and reply.status >= 400 and reply.raw:
            # Whatever shape the error has, the request says what the provider said.
            assert message not in (None, "", f"HTTP {reply.status}"), about[name].name
    return {
        about[name].name: outcome(texts.site, sum(about[name].reply.tokens), city)
        for name, city, _ in rows
    }


async def all_come_to(
    behaviours: Sequence[Behaviour], path: Path, texts: Texts, model: ScriptedOpenAI
) -> None:
    """Each behaviour has the outcome that the table says."""
    came = await come_to([each for each in behaviours if not is_alone(each)], path, texts, model)
    for each in filter(is_alone, behaviours):
        if each.reply.hang:
            async with impatient_provider(texts, model.url):
                came |= await come_to([each], path, texts, model)
        else:
            came |= await come_to([each], path, texts, model)
    assert came == {each.name: each.outcome for each in behaviours}


@pytest.mark.parametrize("provider", BY_PROVIDER)
async def test_by_a_call(provider: str, texts: Texts, model: ScriptedOpenAI) -> None:
    """Whatever a provider answers to a call has the outcome that the table says."""
    behaviours = [each for each in BEHAVIOURS if each.provider == provider]
    await all_come_to(behaviours, at_once, texts, model)
    # A gigabyte is not read to its end; buffers between the two count as streamed too.
    streams = sum(each.reply.stream is not None for each in behaviours)
    assert model.streamed <= streams * (MOST_BYTES + (16 << 20))


@pytest.mark.parametrize("provider", BY_PROVIDER)
async def test_in_a_batch(provider: str, texts: Texts, model: ScriptedOpenAI) -> None:
    """What a line of a batch says means the same."""
    behaviours = [each for each in BEHAVIOURS if each.provider == provider and each.in_batch]
    await all_come_to(behaviours, in_batches, texts, model)


def test_the_table_is_large() -> None:
    """It lists each behaviour once, with a source, and has every outcome."""
    assert len(BEHAVIOURS) > 100
    assert {
        name for name, times in Counter(b.name for b in BEHAVIOURS).items() if times > 1
    } == set()
    assert all("/" in each.source for each in BEHAVIOURS)
    assert {each.outcome.then for each in BEHAVIOURS} == set(Then)
    assert {each.outcome.then for each in BEHAVIOURS if each.refuses} == {Then.OTHERWISE}


def due(texts: Texts) -> None:
    """What was refused has waited."""
    texts.site.execute("UPDATE ingest.enrichment SET not_before = now() WHERE state = 'pending'")


@pytest.mark.parametrize("status", sorted(BY_STATUS))
async def test_what_is_refused_is_judged_by_others(
    status: int, texts: Texts, model: ScriptedOpenAI
) -> None:
    """Where another prompt is answered, the refused one fails; where none is, the stage halts and no
    request fails. None of it costs money."""
    behaviour = BY_STATUS[status]
    code = behaviour.outcome.code

    def one(call: Call) -> Reply:
        return behaviour.reply if call.data["nom"] == refused else Reply()

    model.script = one
    first, *others = cities(texts.site, 2)
    [(refused,)] = texts.site.query("SELECT nom FROM location_ville WHERE id = %s", first)
    texts.ask([first])
    await at_once(texts, PATIENT)
    texts.ask(others)
    await at_once(texts, PATIENT)
    due(texts)
    await at_once(texts, PATIENT)
    found = "SELECT code FROM ingest.enrichment WHERE state = 'failed'"
    assert (states(texts.site), texts.site.query(found)) == ({"done": 1, "failed": 1}, [(code,)])
    assert len(model.paid) == 1

    await afresh(texts)
    model.script = lambda _: behaviour.reply
    texts.ask(cities(texts.site, 5))
    await at_once(texts, PATIENT)
    due(texts)
    await at_once(texts, PATIENT)
    [(halted,)] = texts.site.query("SELECT halted FROM ingest.ai_models")
    assert halted.startswith(f"{code}: ")
    assert states(texts.site) == {"pending": 5}
    assert len(model.paid) == 1
    assert texts.site.query("SELECT sum(cost) FROM ingest.ai_calls") == [(0,)]


async def test_nobody_else_is_asked(texts: Texts, model: ScriptedOpenAI) -> None:
    """A redirect takes neither the key nor the prompt to another address."""
    with ScriptedOpenAI() as other:
        where = {"Location": f"{other.url}/chat/completions"}
        left = [301, 302, 303, 307, 308]
        model.script = lambda _: Reply(left.pop(), raw=b"", headers=where)
        texts.ask(cities(texts.site, 5))
        await at_once(texts, PATIENT)
    assert left == []
    assert len(model.calls) == 5
    assert other.calls == []
    assert other.probes == []
    assert other.batch_asks == []
