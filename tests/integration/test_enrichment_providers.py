"""How the model's server is asked, what it says of its models, and what operators change meanwhile."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from processors.database.pool import transaction
from processors.database.queries import load
from processors.settings import Settings
from processors.texts import control, report
from processors.texts.model import call_limits
from processors.texts.model.batch_api import Batcher
from processors.texts.model.budgets import Budgets
from processors.texts.requests import store
from processors.texts.server import model_list
from tests.fix_enrichment import TERMS, Texts, caught_up, cities, soon, states
from tests.openai_server import Call, Reply, ScriptedOpenAI

_SQL = load("processors.texts.requests", "store.sql")


def plain(call: Call) -> Reply:
    """A server that knows neither max_completion_tokens nor a response format."""
    for name in ("max_completion_tokens", "response_format"):
        if name in call.body:
            error = {"message": f"Unrecognized request argument supplied: {name}"}
            return Reply(400, error=error)
    return Reply()


async def test_a_server_that_knows_less(texts: Texts, model: ScriptedOpenAI) -> None:
    """Every text is written, none has lost a try, and only the first calls were refused."""
    texts.ask(cities(texts.site, 4))
    model.script = plain
    async with texts.working(callers=1):
        await soon(lambda: states(texts.site) == {"done": 4})

    assert texts.site.query("SELECT DISTINCT tries FROM ingest.enrichment") == [(0,)]
    assert len(model.calls) == 3 + 4
    codes = texts.site.query(
        "SELECT code, sum(cost) FROM ingest.ai_calls WHERE state = 'failed' GROUP BY 1"
    )
    assert codes == [("parameter", 0)]
    assert texts.site.query("SELECT failures FROM ingest.ai_models") == [(0,)]


async def test_a_batch_that_is_refused_is_made_otherwise(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """What calls or a batch have learned, the next batch knows."""
    texts.ask(cities(texts.site, 3), "missing")
    model.script = plain
    terms = replace(TERMS, batched=True)
    batcher = Batcher(texts.pool, texts.provider, terms, caught_up)
    for _ in range(8):
        await batcher.step()

    assert states(texts.site) == {"done": 3}
    assert [len(call.body) for call in model.batched] == [4] * 3 + [4] * 3 + [4] * 3 + [3] * 3


LIST = b'{"data": [{"id": "gpt-4o-mini", "shutdown_date": "2027-01-14"}]}'


@pytest.mark.parametrize(
    ("answer", "listed", "line"),
    [
        (LIST, True, "gpt-4o-mini ends on 2027-01-14: choose another (FOX_AI_MODEL)"),
        (LIST.replace(b"4o", b"6"), False, "gpt-4o-mini is not among the models that the provider lists"),
        (None, None, "gpt-4o-mini ends on 2027-01-14: choose another (FOX_AI_MODEL)"),
    ],
)  # fmt: skip
async def test_what_the_provider_says_of_the_model(
    answer: bytes | None, listed: bool | None, line: str, texts: Texts, model: ScriptedOpenAI
) -> None:
    """The report has it; a server without a list is fine."""
    model.models = answer
    await model_list.note(texts.pool, texts.provider, "gpt-4o-mini")

    found = report.report(Settings(database_url=SecretStr(texts.site.database_url)), 1)
    [noted] = found["models"]
    assert (noted["listed"], noted["ends_on"]) == (listed, "2027-01-14")
    assert line in report.lines(found)


async def test_a_pause_and_a_halt_end_without_a_restart(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """No call is made meanwhile; afterwards they are, by the same callers."""
    settings = Settings(database_url=SecretStr(texts.site.database_url))
    control.pause(settings, "anne", "essai des prix")
    texts.ask(cities(texts.site, 2))
    async with transaction(texts.pool) as connection:
        standing = await call_limits.standing(connection, "gpt-4o-mini")
    caller = texts.caller()

    assert (standing["halted"], standing["paused"], standing["shut"]) == ("paused", True, True)
    assert not await caller._next()
    control.pause(settings, "bruno", None)
    found = report.report(settings, 1)
    assert (found["paused_by"], found["paused_for"]) == ("anne", "essai des prix")
    [line] = [each for each in report.lines(found) if each.startswith("paused since 20")]
    assert line.endswith(" by anne (essai des prix): enrichment resume")
    [(trouble,)] = texts.site.query(load("processors.monitoring", "overview_counts.sql")["trouble"])
    assert "suspendu leur rédaction le " in trouble
    assert trouble.endswith(" (anne : essai des prix)")
    control.resume(settings)
    assert await caller._next()
    texts.site.execute("UPDATE ingest.ai_models SET halted = 'http-401: key'")
    assert not await caller._next()
    control.resume(settings)
    assert await caller._next()
    assert len(model.calls) == 2


async def test_a_budget_that_is_set_meanwhile(texts: Texts) -> None:
    """It holds in place of the setting, for calls and for the report, until it is set back."""
    settings = Settings(database_url=SecretStr(texts.site.database_url), ai_budget_day=Decimal(1))
    budgets = Budgets(settings.ai_budgets())

    async def current() -> Decimal | None:
        async with transaction(texts.pool) as connection:
            await budgets.look(connection)
        assert report.report(settings, 1)["limits"]["day"] == budgets["day"]
        return budgets["day"]

    assert await current() == 1
    control.set_budget(settings, "day", Decimal("2.5"))
    assert await current() == Decimal("2.5")
    control.set_budget(settings, "day", None)
    assert await current() is None
    control.reset_budget(settings, "day")
    assert await current() == 1
    assert budgets["month"] is None


def received(
    import_id: UUID | None, entities: list[UUID], priority: int = 1
) -> list[dict[str, Any]]:
    """Requests as the topic has them."""
    return [
        {
            "place": place, "id": str(uuid4()), "kind": "VILLE", "entity": str(entity), "reason": "import",
            "entity_id": str(entity), "import_id": import_id and str(import_id), "priority": priority,
        }
        for place, entity in enumerate(entities)
    ]  # fmt: skip


async def receive(texts: Texts, *args: Any) -> None:
    async with transaction(texts.pool) as connection:
        await connection.execute(_SQL["receive"], {"requests": Jsonb(received(*args))})


async def lease(texts: Texts) -> UUID | None:
    """The import of the next request."""
    async with transaction(texts.pool) as connection:
        request = await store.lease(connection, uuid4(), 60, 60, None, batched=False)
    assert request is not None
    return request.import_id


async def test_imports_take_turns(texts: Texts) -> None:
    """A small import does not wait behind a large one, nor one that comes later behind or before it."""
    ids = cities(texts.site, 60)
    large, small, late, sponsored = (uuid4() for _ in range(4))
    await receive(texts, large, ids[:30])
    await receive(texts, large, ids[30:])
    for _ in range(10):
        await lease(texts)
    await receive(texts, small, ids[:2])
    assert Counter([await lease(texts) for _ in range(4)]) == {large: 2, small: 2}

    await receive(texts, late, ids[:20])
    await receive(texts, None, ids[:5])
    await receive(texts, sponsored, ids[:1], 0)
    assert await lease(texts) == sponsored
    assert Counter([await lease(texts) for _ in range(15)]) == {large: 5, late: 5, None: 5}
    assert Counter([await lease(texts) for _ in range(20)]) == {large: 10, late: 10}
