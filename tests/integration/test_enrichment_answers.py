"""What becomes of a request once its call is over: the same by a call of its own as in a batch.

Workers and batchers run in the test, with the real client, on a real database.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from processors.texts.model.answer_handling import Terms, handling
from processors.texts.model.batch_api import Batcher
from processors.texts.server.failures import CallError, Trouble
from processors.texts.server.replies import Reply as Got
from tests.fix_enrichment import TERMS, Texts, caught_up, cities, counted, empty, standing
from tests.fix_stack import Site
from tests.openai_server import Call, Reply, ScriptedOpenAI, good

# Whatever waits for a retry, the breaker or money waits for longer than a test takes.
PATIENT = replace(TERMS, retry_seconds=1e6, limits=replace(TERMS.limits, window=60.0))


async def at_once(texts: Texts, terms: Terms) -> None:
    """Deals with all that is due, as a caller does."""
    caller = texts.caller(terms)
    while await caller._next():
        pass


async def in_batches(texts: Texts, terms: Terms) -> None:
    """The same in batches: four are more than any case needs."""
    batcher = Batcher(texts.pool, texts.provider, replace(terms, batched=True), caught_up)
    for _ in range(4):
        await batcher.step()


Path = Callable[[Texts, Terms], Awaitable[None]]

POOR = Reply(content=good("VILLE", {"nom": "Ville 1"}).replace("Chacun", "TODO Chacun"))
GOOD = good("VILLE", {"nom": "Ville 1"})
OTHER = good("VILLE", {"nom": "Ville 1"}).replace("plusieurs", "tous les")
BY_OTHERS = (
    "UPDATE ingest.ai_results SET state = 'done', lease = NULL, leased_until = NULL, "
    f"content = '{OTHER}', tokens_in = 1, tokens_out = 1, answered_at = now()"
)
TAKEN = (
    "UPDATE ingest.enrichment SET lease = gen_random_uuid(), leased_until = now() + interval '1 h'"
)


@dataclass(frozen=True)
class Case:
    """What the model replies, one call after the other, the last to all that follow; what comes of it.

    `known`: its reply to an earlier request for the same. SQL `before` the request is looked at, and
    `meanwhile`, during the first call. `counted`: what is added to the metrics, but tokens and cost.
    """

    replies: Sequence[Reply]
    state: str
    code: str | None
    counted: Mapping[str, float]
    known: Reply | None = None
    before: str = ""
    meanwhile: str = ""
    tries: int = 0
    budget: Decimal | None = None


MADE = {"calls made": 1}
LOST_TRY = {**MADE, "calls failed": 1, "requests retried": 1}
DONE = {**MADE, "requests done": 1}
DEAD = {**MADE, "calls failed": 1, "requests failed": 1}
THREE = {"calls made": 3, "rejected asked-again": 2, "requests failed": 1}
CASES = {
    "a text": Case([Reply()], "done", None, DONE),
    "a text in blocks": Case(
        [Reply(content=[{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": GOOD}])],
        "done", None, DONE,
    ),
    "characters that cannot be stored": Case(
        [Reply(content=GOOD.replace("Chacun", "Chacun\\u0000\\ud83d"))], "done", None, DONE
    ),
    "thoughts and words around it": Case(
        [Reply(content=f"<think>{{Ville ?}}</think>Voici :\n```json\n{GOOD}\n```\nBien à vous")],
        "done", None, DONE,
    ),
    "a meta description that is too long": Case(
        [Reply(content=GOOD.replace("leur commune", "leur commune" + ", près de chez eux" * 9))],
        "done", None, DONE,
    ),
    "a refusal of nothing": Case([Reply(content=GOOD, refusal="")], "done", None, DONE),
    "an error with status 200": Case(
        [Reply(raw=b'{"error": {"code": 503, "message": "upstream"}}')], "pending", "http-503", LOST_TRY
    ),
    "moderated": Case(
        [Reply(403, error={"code": 403, "metadata": {"reasons": ["x"], "flagged_input": "y"}})],
        "failed", "content-filter", DEAD,
    ),
    "unpaid, and nothing is known": Case(
        [Reply(402, error={"message": "credits"})], "pending", "http-402", LOST_TRY, tries=2
    ),
    "larger than the account allows": Case(
        [Reply(429, error={"code": "rate_limit_exceeded", "message": "Request too large for m"})],
        "failed", "too-large", DEAD,
    ),
    "JSON that the provider refuses": Case(
        [Reply(400, error={"code": "json_validate_failed"})], "pending", "bad-json", LOST_TRY
    ),
    "no capacity": Case([Reply(498)], "pending", "http-498", LOST_TRY),
    "thought until the end": Case(
        [Reply(content="", finish="length")], "failed", "length",
        {**MADE, "rejected length": 1, "requests failed": 1},
    ),
    "poor, then good": Case(
        [POOR, Reply()], "done", None,
        {"calls made": 2, "rejected asked-again": 1, "requests done": 1},
    ),
    "cut, then good": Case(
        [Reply(finish="length"), Reply()], "done", None,
        {"calls made": 2, "rejected asked-again": 1, "requests done": 1},
    ),
    "poor three times": Case([POOR], "failed", "quality", {**THREE, "rejected quality": 1}),
    "no JSON": Case([Reply(content="{")], "failed", "schema", {**THREE, "rejected schema": 1}),
    "refused by the model": Case(
        [Reply(refusal="Je refuse.")], "failed", "refusal",
        {**MADE, "rejected refusal": 1, "requests failed": 1},
    ),
    "cut by a filter": Case(
        [Reply(finish="content_filter")], "failed", "content-filter",
        {**MADE, "rejected content-filter": 1, "requests failed": 1},
    ),
    "refused, and nothing is known": Case(
        [Reply(400, error={"message": "bad"})], "pending", "http-400", LOST_TRY, tries=2
    ),
    "forbidden, and nothing is known": Case([Reply(403)], "pending", "http-403", LOST_TRY, tries=2),
    "stopped by a filter": Case(
        [Reply(400, error={"code": "content_filter"})], "failed", "content-filter", DEAD
    ),
    "trouble that passes": Case([Reply(500)], "pending", "http-500", LOST_TRY),
    "trouble too often": Case([Reply(500)], "failed", "http-500", DEAD, tries=2),
    "garbage that may be paid": Case([Reply(raw=b"{}")], "pending", "garbage", LOST_TRY),
    "too many calls": Case(
        [Reply(429, error={"code": "rate_limit_exceeded"})], "pending", "rate", LOST_TRY, tries=2
    ),
    "a quota that is used up": Case(
        [Reply(429, error={"code": "insufficient_quota"})], "pending", "quota", LOST_TRY, tries=2
    ),
    "a model that is gone": Case(
        [Reply(404, error={"code": "model_not_found"})], "pending", "http-404", LOST_TRY, tries=2
    ),
    "answered before": Case([Reply()], "done", None, {"requests cached": 1}, known=Reply()),
    "refused before": Case(
        [Reply()], "failed", "refusal", {"requests failed": 1}, known=Reply(refusal="Je refuse.")
    ),
    "nothing to tell": Case(
        [Reply()], "failed", "no-input", {"requests failed": 1}, before="DELETE FROM location_ville"
    ),
    "changed meanwhile": Case(
        [Reply()], "done", None, {"calls made": 2, "requests changed": 1, "requests done": 1},
        meanwhile="UPDATE location_ville SET nom = 'Autre'",
    ),
    "gone meanwhile": Case(
        [Reply()], "failed", "no-input", {**MADE, "requests changed": 1, "requests failed": 1},
        meanwhile="DELETE FROM location_ville",
    ),
    "answered meanwhile": Case(
        [Reply()], "done", None, {**MADE, "requests cached": 1}, meanwhile=BY_OTHERS
    ),
    "answered meanwhile, and refused here": Case(
        [Reply(refusal="Je refuse.")], "done", None,
        {**MADE, "rejected refusal": 1, "requests cached": 1}, meanwhile=BY_OTHERS,
    ),
    "somebody else's meanwhile": Case([Reply()], "running", None, MADE, meanwhile=TAKEN),
    "failed, and somebody else's meanwhile": Case(
        [Reply(500)], "running", None, {**MADE, "calls failed": 1}, meanwhile=TAKEN
    ),
    "no money": Case([Reply()], "pending", "budget", {}, budget=Decimal(0)),
}  # fmt: skip


async def came_to(
    case: Case, path: Path, texts: Texts, model: ScriptedOpenAI
) -> tuple[dict[str, list[Any]], dict[str, float]]:
    """The rows that are left, and what was counted, where one request is asked by `path`."""
    empty(texts.site)
    city = cities(texts.site, 1)
    if case.known is not None:
        texts.ask(city, "missing")
        play(model, texts.site, [case.known])
        await path(texts, PATIENT)
    texts.ask(city, "missing", case.tries)
    texts.site.execute(case.before or "SELECT")
    play(model, texts.site, case.replies, case.meanwhile)
    before = counted()
    budgets = {"day": case.budget}
    await path(texts, replace(PATIENT, limits=replace(PATIENT.limits, budgets=budgets)))
    added = {name: value - before.get(name, 0) for name, value in counted().items()}
    return rows(texts.site), {name: round(value, 9) for name, value in added.items() if value}


def play(model: ScriptedOpenAI, site: Site, replies: Sequence[Reply], meanwhile: str = "") -> None:
    """Has the model reply so."""
    left = list(replies)
    happens = [meanwhile] if meanwhile else []

    def script(_: Call) -> Reply:
        while happens:
            site.execute(happens.pop())
        return left.pop(0) if len(left) > 1 else left[0]

    model.script = script


TABLES = (
    "ingest.enrichment", "ingest.enrichment_texts", "ingest.ai_results", "ingest.ai_rejected",
    "ingest.ai_calls", "ingest.ai_budgets", "ingest.ai_models", "location_ville",
)  # fmt: skip
ROWS = " UNION ALL ".join(f"SELECT '{table}', to_jsonb(t) FROM {table} t" for table in TABLES)
PASSING = {"id", "request_id", "lease", "at", "until", "not_before", "population", "refused"}
"""Columns of which it counts whether they are empty, beside those that are named as times are."""


def rows(site: Site) -> dict[str, list[Any]]:
    """All that stands in the tables of texts, and on the site; nothing waits in a batch."""
    assert site.query("SELECT FROM ingest.ai_batch_items") == []
    found: dict[str, list[Any]] = {table: [] for table in TABLES}
    for table, row in site.query(ROWS):
        found[table].append(lasting(row))
    return {table: sorted(held, key=repr) for table, held in found.items()}


def lasting(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value is not None if name in PASSING or name.endswith(("_at", "_until")) else value
        for name, value in row.items()
        if not name.endswith(("prompt_hash", "input_hash", "entity_id"))
    }


PAST = {"trouble that passes", "trouble too often", "garbage that may be paid", "no capacity",
        "an error with status 200", "JSON that the provider refuses",
        "failed, and somebody else's meanwhile"}  # fmt: skip
"""What a call tells of the provider as it is now, and a line of a batch that is over does not."""


@pytest.mark.parametrize("name", CASES)
async def test_both_ways_come_to_the_same(name: str, texts: Texts, model: ScriptedOpenAI) -> None:
    """The same rows are left and the same is counted, whatever the answer is."""
    case = CASES[name]
    by_call, counts = await came_to(case, at_once, texts, model)
    by_batch, batch_counts = await came_to(case, in_batches, texts, model)

    last = [(row["state"], row["code"]) for row in by_call["ingest.enrichment"]][-1]
    assert last == (case.state, case.code)
    used = ("tokens", "cost")
    assert {name: n for name, n in counts.items() if not name.startswith(used)} == case.counted
    assert batch_counts == counts
    if name in PAST:
        assert by_call.pop("ingest.ai_models")[0]["failures"] == 1
        assert by_batch.pop("ingest.ai_models")[0]["failures"] == 0
    assert by_batch == by_call


@pytest.mark.parametrize(
    ("reply", "state", "stays"), [(Reply(500), "failed", False), (Reply(raw=b"{}"), "lost", True)]
)
async def test_what_may_be_paid_keeps_its_reservation(
    reply: Reply, state: str, stays: bool, texts: Texts, model: ScriptedOpenAI
) -> None:
    """What is not paid for sure is there for others."""
    model.script = lambda _: reply
    texts.ask(cities(texts.site, 1))
    await at_once(texts, PATIENT)

    assert texts.site.query("SELECT state, cost > 0 FROM ingest.ai_calls") == [(state, stays)]
    assert texts.site.query("SELECT DISTINCT spent > 0 FROM ingest.ai_budgets") == [(stays,)]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({}, None),
        ({"prompt_tokens": None, "completion_tokens": 100}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": -1, "completion_tokens": 100}, None),
        ({"prompt_tokens": 400, "completion_tokens": 100}, 500),
        ({"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 4700}, 4700),
    ],
)
@pytest.mark.parametrize("path", [at_once, in_batches])
async def test_what_an_answer_costs(
    path: Path, usage: Mapping[str, Any], tokens: int | None, texts: Texts, model: ScriptedOpenAI
) -> None:
    """If the provider does not say what was used, it is all that was reserved. Thoughts are paid for."""
    reserved = "SELECT tokens, cost FROM ingest.ai_calls"
    before: list[Any] = []

    def script(_: Call) -> Reply:
        before.extend(texts.site.query(reserved))
        return Reply(usage=usage)

    model.script = script
    texts.ask(cities(texts.site, 1), "missing")
    await path(texts, PATIENT)

    [(most, cost)] = before
    [(used, spent)] = texts.site.query(reserved)
    assert used == (most if tokens is None else tokens)
    assert spent == cost if tokens is None else spent <= TERMS.price.cost(0, tokens)
    assert texts.site.query("SELECT DISTINCT spent FROM ingest.ai_budgets") == [(spent,)]
    assert texts.site.query("SELECT state FROM ingest.enrichment") == [("done",)]


async def test_an_answer_that_cannot_be_written(texts: Texts, model: ScriptedOpenAI) -> None:
    """It is paid for once: its prompt has failed, and says why."""
    model.script = lambda _: Reply()
    texts.ask(cities(texts.site, 1))
    texts.site.execute("ALTER TABLE ingest.ai_results ADD CONSTRAINT none CHECK (content IS NULL)")
    try:
        await at_once(texts, PATIENT)
    finally:
        texts.site.execute("ALTER TABLE ingest.ai_results DROP CONSTRAINT none")

    assert texts.site.query("SELECT state, code FROM ingest.enrichment") == [
        ("failed", "unwritable")
    ]
    assert texts.site.query("SELECT state, cost > 0 FROM ingest.ai_calls") == [("lost", True)]
    assert len(model.calls) == 1


async def test_an_answer_ends_a_row_of_failures(texts: Texts, model: ScriptedOpenAI) -> None:
    """Whether it is taken or not: the provider works."""
    model.script = lambda _: POOR
    texts.ask(cities(texts.site, 1))
    texts.site.execute("UPDATE ingest.ai_models SET failures = 4")
    await at_once(texts, PATIENT)

    assert standing(texts.site, "failures") == 0


@pytest.mark.parametrize(
    "came",
    [
        Got(str(POOR.content), None, "stop", 400, 100),
        CallError(Trouble.TRANSIENT, "http-500", ""),
        CallError(Trouble.TRANSIENT, "timeout", "", unsure=True),
    ],
    ids=["a poor answer", "a failure", "a failure that may be paid"],
)
async def test_a_call_is_accounted_for_once(came: Got | CallError, texts: Texts) -> None:
    """Again it comes where the answer to a COMMIT was lost, or to two processes with the same batch."""
    texts.ask(cities(texts.site, 1))
    call = await texts.call()
    async with handling(texts.pool, PATIENT) as handle:
        await handle.finish(call, came)
    left, counts = rows(texts.site), counted()
    async with handling(texts.pool, PATIENT) as handle:
        assert not await handle.finish(call, came)

    assert rows(texts.site) == left
    assert counted() == counts


async def test_what_is_not_committed_is_not_counted(texts: Texts) -> None:
    """It is done again, and counts then."""
    texts.ask(cities(texts.site, 1))
    call, counts = await texts.call(), counted()
    with suppress(ZeroDivisionError):
        async with handling(texts.pool, PATIENT) as handle:
            await handle.finish(call, Got(str(POOR.content), None, "stop", 400, 100))
            raise ZeroDivisionError

    assert counted() == counts
