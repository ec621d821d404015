"""What foxstream does with everything that providers answer: the table of docs/enrichment.md, tried."""

from collections import Counter
from collections.abc import Sequence

import pytest

from processors.database.pool import transaction
from processors.texts.model import halts
from processors.texts.server.bounded import MOST_BYTES
from processors.texts.server.provider import Provider
from tests.fix_enrichment import Texts, cities, empty, states
from tests.integration.test_enrichment_answers import PATIENT, Path, at_once, in_batches
from tests.model_outcomes import Outcome, Then, outcome
from tests.openai_server import Call, Reply, Script, ScriptedOpenAI
from tests.provider_behaviours import BEHAVIOURS, BY_PROVIDER, Behaviour

JUDGED = [each for each in BEHAVIOURS if each.outcome.then is Then.JUDGED]
BY_STATUS = {each.reply.status: each for each in JUDGED}


def script(behaviour: Behaviour) -> Script:
    return lambda call: behaviour.reply if behaviour.refuses in str(call.body) else Reply()


async def afresh(texts: Texts) -> None:
    """Nothing was ever asked, and the settings are proven."""
    empty(texts.site)
    async with transaction(texts.pool) as connection:
        await halts.prove(connection, PATIENT.limits.model, PATIENT.limits.settings)


async def came_to(behaviour: Behaviour, path: Path, texts: Texts, model: ScriptedOpenAI) -> Outcome:
    """What a request comes to whose model answers so, time and again."""
    await afresh(texts)
    model.script = script(behaviour)
    shared = texts.provider
    if behaviour.reply.hang or behaviour.refuses:  # which a provider remembers
        seconds = 1.0 if behaviour.reply.hang else 20.0
        texts.provider = Provider(lambda: "sk-test", model.url, seconds)
    try:
        texts.ask(cities(texts.site, 1), "missing")
        await path(texts, PATIENT)
    finally:
        if texts.provider is not shared:
            await texts.provider.close()
            texts.provider = shared
    return outcome(texts.site, sum(behaviour.reply.tokens))


async def all_come_to(
    behaviours: Sequence[Behaviour], path: Path, texts: Texts, model: ScriptedOpenAI
) -> None:
    """Each behaviour has the outcome that the table says."""
    came = {each.name: await came_to(each, path, texts, model) for each in behaviours}
    assert came == {each.name: each.outcome for each in behaviours}


@pytest.mark.parametrize("provider", BY_PROVIDER)
async def test_by_a_call(provider: str, texts: Texts, model: ScriptedOpenAI) -> None:
    """Whatever a provider answers to a call has the outcome that the table says."""
    await all_come_to([b for b in BEHAVIOURS if b.provider == provider], at_once, texts, model)
    # Not even of a gigabyte all is read; what stands in buffers between the two is streamed as well.
    streams = sum(
        b.provider == provider and bool(b.reply.stream) and not b.reply.hang for b in BEHAVIOURS
    )
    assert model.streamed < max(streams, 1) * (MOST_BYTES + (16 << 20))


@pytest.mark.parametrize("provider", BY_PROVIDER)
async def test_in_a_batch(provider: str, texts: Texts, model: ScriptedOpenAI) -> None:
    """What a line of a batch says means the same."""
    behaviours = [b for b in BEHAVIOURS if b.provider == provider and b.in_batch]
    await all_come_to(behaviours, in_batches, texts, model)


def test_the_table_is_large() -> None:
    """Each behaviour stands in it once, with a source, and no outcome is missing."""
    assert len(BEHAVIOURS) > 100
    assert {
        name for name, times in Counter(b.name for b in BEHAVIOURS).items() if times > 1
    } == set()
    assert all("/" in each.source for each in BEHAVIOURS)
    assert {each.outcome.then for each in BEHAVIOURS} == set(Then)
    assert {each.outcome.then for each in BEHAVIOURS if each.refuses} == {Then.OTHERWISE}


@pytest.mark.parametrize("path", [at_once, in_batches])
async def test_a_reason_is_kept(path: Path, texts: Texts, model: ScriptedOpenAI) -> None:
    """Whatever shape the error has, the request says what the provider said; by call and in a batch."""
    final = (Then.FAILED, Then.JUDGED)
    shapes = [
        b for b in BEHAVIOURS if b.outcome.then in final and b.reply.raw and b.reply.status >= 400
    ]
    for each in shapes:
        if path is in_batches and not each.in_batch:
            continue
        await came_to(each, path, texts, model)
        [(message,)] = texts.site.query("SELECT message FROM ingest.enrichment")
        assert message not in (None, "", f"HTTP {each.reply.status}"), each.name


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
        return behaviour.reply if call.data["nom"] == "Ville 1" else Reply()

    model.script = one
    texts.ask(cities(texts.site, 2))
    await at_once(texts, PATIENT)
    due(texts)
    await at_once(texts, PATIENT)
    found = "SELECT code FROM ingest.enrichment WHERE state = 'failed'"
    assert (states(texts.site), texts.site.query(found)) == ({"done": 1, "failed": 1}, [(code,)])
    assert len(model.paid) == 1

    await afresh(texts)
    model.script = script(behaviour)
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
