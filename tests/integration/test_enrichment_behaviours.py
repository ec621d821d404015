"""What foxstream does with everything that providers answer: the table of docs/enrichment.md, tried."""

from collections import Counter

import pytest

from processors.texts.server.bounded import MOST_BYTES
from processors.texts.server.provider import Provider
from tests.fix_enrichment import Texts, cities
from tests.integration.test_enrichment_answers import PATIENT, Path, at_once, in_batches
from tests.model_outcomes import Outcome, Then, outcome
from tests.openai_server import Reply, ScriptedOpenAI
from tests.provider_behaviours import BEHAVIOURS, Behaviour

BY_CALL = [pytest.param(each, id=each.name) for each in BEHAVIOURS]
IN_BATCH = [pytest.param(each, id=each.name) for each in BEHAVIOURS if each.in_batch]


async def came_to(behaviour: Behaviour, path: Path, texts: Texts, model: ScriptedOpenAI) -> Outcome:
    """What a request comes to whose model answers so, time and again."""
    model.script = lambda _: behaviour.reply
    if behaviour.reply.hang:
        await texts.provider.close()
        texts.provider = Provider(lambda: "sk-test", model.url, 1.0)
    texts.ask(cities(texts.site, 1), "missing")
    await path(texts, PATIENT)
    return outcome(texts.site, sum(behaviour.reply.tokens))


@pytest.mark.parametrize("behaviour", BY_CALL)
async def test_by_a_call(behaviour: Behaviour, texts: Texts, model: ScriptedOpenAI) -> None:
    """Each behaviour has the outcome that the table says, however often it is looked at."""
    assert await came_to(behaviour, at_once, texts, model) == behaviour.outcome
    # Not even a gigabyte is read to its end; what stands in buffers between the two is.
    assert model.streamed < MOST_BYTES + (16 << 20)


@pytest.mark.parametrize("behaviour", IN_BATCH)
async def test_in_a_batch(behaviour: Behaviour, texts: Texts, model: ScriptedOpenAI) -> None:
    """What a line of a batch says means the same."""
    assert await came_to(behaviour, in_batches, texts, model) == behaviour.outcome


def test_the_table_is_large() -> None:
    """Each behaviour stands in it once, with a source, and no outcome is missing."""
    assert len(BEHAVIOURS) > 100
    assert {
        name for name, times in Counter(b.name for b in BEHAVIOURS).items() if times > 1
    } == set()
    assert all("/" in each.source for each in BEHAVIOURS)
    assert {each.outcome.then for each in BEHAVIOURS} == set(Then)


async def test_a_reason_is_kept(texts: Texts, model: ScriptedOpenAI) -> None:
    """Whatever shape the error has, the request says what the provider said; by call and in a batch."""
    shapes = [each for each in BEHAVIOURS if each.outcome.then is Then.FAILED and each.reply.raw]
    for path in (at_once, in_batches):
        for each in shapes:
            if each.reply.status < 400 or len(each.reply.raw or b"") == 0:
                continue
            texts.site.execute("DELETE FROM ingest.enrichment; DELETE FROM ingest.ai_results")
            texts.site.execute("DELETE FROM ingest.ai_batches; DELETE FROM location_ville")
            await came_to(each, path, texts, model)
            [(message,)] = texts.site.query("SELECT message FROM ingest.enrichment")
            assert message != f"HTTP {each.reply.status}", each.name


async def test_nobody_else_is_asked(texts: Texts, model: ScriptedOpenAI) -> None:
    """A redirect takes neither the key nor the prompt to another address."""
    with ScriptedOpenAI() as other:
        where = {"Location": f"{other.url}/chat/completions"}
        left = [301, 302, 303, 307, 308]
        model.script = lambda _: Reply(left.pop(), raw=b"", headers=where)
        texts.ask(cities(texts.site, 5))
        while left:
            texts.site.execute("UPDATE ingest.ai_models SET halted = NULL")
            await at_once(texts, PATIENT)
    assert len(model.calls) == 5
    assert other.calls == []
    assert other.batch_asks == []
