"""The stage of texts: its callers of the model, its publisher, and its periodic checks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import structlog

from processors import metrics
from processors.database.pool import Connection, Pool, transaction
from processors.database.queries import load
from processors.rows.accounting.sqlstate import is_transient
from processors.texts.model import call_limits
from processors.texts.model.answer_handling import Terms
from processors.texts.model.batch_api import Batcher
from processors.texts.model.budgets import Budgets
from processors.texts.model.known_answers import KnownAnswers
from processors.texts.model.model_caller import ModelCaller, Turn
from processors.texts.model.probe import Probe
from processors.texts.requests.publisher import StoredPublisher
from processors.texts.server import model_list
from processors.texts.server.provider import Provider

log = structlog.get_logger(__name__)

_SQL = load("processors.texts.requests", "store.sql")

PUBLISH_SECONDS = 0.5
LOOK_SECONDS = 2.0
PROBE_SECONDS = 1.0

Ends = Callable[[], Awaitable[Mapping[int, int]]]
"""The end of each partition of the topic of results."""


class CaughtUp:
    """Whether PostgreSQL has read the topic of results as far as this process knows it.

    After a restore it has not until it has read again what it lost: the model is not called before.
    """

    def __init__(self, topic: str, ends: Ends) -> None:
        self._topic = topic
        self._ask = ends
        self._ends: dict[int, int] | None = None

    def published(self, partition: int, end: int) -> None:
        """Notes the end of a partition after a record was published."""
        if self._ends is not None:
            self._ends[partition] = max(end, self._ends.get(partition, 0))

    async def look(self) -> None:
        """Reads the ends of the partitions from Kafka."""
        ends = await self._ask()
        if self._ends is None:
            self._ends = {}
        for partition, end in ends.items():
            self.published(partition, end)

    async def __call__(self, connection: Connection) -> bool:
        if self._ends is None:
            return False
        cursor = await connection.execute(_SQL["read_so_far"], {"topic": self._topic})
        read: dict[int, int] = dict(await cursor.fetchall())
        return all(read.get(partition, 0) >= end for partition, end in self._ends.items())


class Parts(NamedTuple):
    """Parts of a stage; without a provider it stores requests and calls no model.

    `batches` are the terms of batches, whose status is read every `batch_seconds`.
    """

    pool: Pool
    provider: Provider | None
    terms: Terms
    publisher: StoredPublisher
    caught_up: CaughtUp
    batches: Terms
    batch_seconds: float
    budgets: Budgets


class Stage:
    """Runs in one process; several share the work."""

    def __init__(self, parts: Parts) -> None:
        self._pool = parts.pool
        self._provider = parts.provider
        self._terms = parts.terms
        self._publisher = parts.publisher
        self._caught_up = parts.caught_up
        self._batches = parts.batches
        self._batch_seconds = parts.batch_seconds
        self._budgets = parts.budgets

    async def run(self) -> None:
        """Works until it is cancelled."""
        await self._begin()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._steadily(self._publish, PUBLISH_SECONDS))
            tasks.create_task(self._steadily(self._look, LOOK_SECONDS))
            if self._provider is None:
                log.warning("no model is configured: requests wait", action="ai_unconfigured")
                return
            probe = Probe(self._pool, self._provider, self._terms)
            tasks.create_task(self._steadily(probe.step, PROBE_SECONDS))
            tasks.create_task(self._attempt(self._note_model))
            turn = Turn()
            for _ in range(self._terms.limits.concurrency):
                caller = ModelCaller(self._pool, self._provider, self._terms, self._caught_up, turn)
                tasks.create_task(caller.run())
            known = KnownAnswers(self._pool, self._terms)
            tasks.create_task(self._steadily(known.step, LOOK_SECONDS))
            # Also if batches are off: one may be open.
            batcher = Batcher(self._pool, self._provider, self._batches, self._caught_up)
            tasks.create_task(self._steadily(batcher.step, self._batch_seconds))

    async def _begin(self) -> None:
        async def begin_all() -> None:
            async with transaction(self._pool) as connection:
                await self._budgets.look(connection)
                await call_limits.begin(connection, self._terms.limits.model)
                # Also if batches are off: one may be open, and the cause of its failure may be fixed.
                begin = call_limits.begin if self._terms.batched else call_limits.retire
                await begin(connection, self._batches.limits.model)

        while not await self._attempt(begin_all):
            await asyncio.sleep(LOOK_SECONDS)

    async def _note_model(self) -> None:
        if self._provider is not None:
            await model_list.note(self._pool, self._provider, self._terms.asked_model)

    async def _steadily(self, step: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            await self._attempt(step)
            await asyncio.sleep(seconds)

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except Exception as error:  # the next look tries again; the other parts go on meanwhile
            if is_transient(error):
                log.warning("the stage is late", action="stage_late", reason=repr(error))
            else:
                log.exception("the stage failed", action="stage_failed")
            return False
        return True

    async def _publish(self) -> None:
        while await self._publisher.publish():
            pass

    async def _look(self) -> None:
        await self._caught_up.look()
        accounts = (self._terms.limits.model, self._batches.limits.model)
        async with transaction(self._pool) as connection:
            await connection.execute(_SQL["dead"])
            lost = sum([await call_limits.lost(connection, model) for model in accounts])
            cursor = await connection.execute(_SQL["leave"])
            left = await cursor.fetchone()
            await self._budgets.look(connection)
            standings = [await call_limits.standing(connection, model) for model in accounts]
            used = await call_limits.used(connection, self._terms.limits)
            cursor = await connection.execute(_SQL["pending"])
            pending = await cursor.fetchone() or (0, 0.0)
            cursor = await connection.execute(_SQL["dearest"], {})
            dearest: list[tuple[str, float]] = await cursor.fetchall()
        if lost:
            metrics.AI_CALLS.labels("lost").inc(lost)
            log.warning("calls of dead workers", action="ai_calls_lost", calls=lost)
        if left and left[0]:
            metrics.ENRICHMENT_REQUESTS.labels("left").inc(left[0])
        metrics.ENRICHMENT_PENDING.set(pending[0])
        metrics.ENRICHMENT_OLDEST.set(pending[1])
        metrics.AI_IMPORT_COST.clear()
        for import_id, spent in dearest:
            metrics.AI_IMPORT_COST.labels(import_id).set(spent)
        metrics.AI_BREAKER.set(
            any(each["open"] or (each["halted"] and not each["paused"]) for each in standings)
        )
        for period, share in used.items():
            metrics.AI_BUDGET_USED.labels(period).set(share)
