"""Counts for the overview of users who have no account of the database.

One worker publishes them: the one to which the first partition of `imports.events` is assigned. If
two do so during a rebalance, they publish the same. No count reads more than SAMPLE_BYTES of a table:
of larger tables the count is an estimate, and is marked as such. A slow count is made less often.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from time import monotonic
from typing import Any, LiteralString, NamedTuple

import structlog
from faust.types import TP

from processors.database.pool import Pool, transaction
from processors.database.queries import load
from processors.database.site_tables import REQUIRED, TABLES, added
from processors.rows.accounting.sqlstate import is_transient
from schemas.codec.framing import Encoder

log = structlog.get_logger(__name__)

_SQL = load("processors.monitoring", "overview_counts.sql")

LOOK_SECONDS = 5.0
"""Interval between counts of a subject, unless a count takes long."""

PATIENCE = 20
"""A count is repeated after this multiple of its duration, REPEAT_SECONDS at most."""

REPEAT_SECONDS = 60.0
"""Interval of publishing unchanged counts again: readers see that counting goes on."""

SAMPLE_BYTES = 128 << 20

_TABLES = {
    "entreprises": "enterprise_entreprise",
    "villes": "location_ville",
    "categories": "category_categorie",
    "sous_categories": "subcategory_souscategorie",
    "pages": "enterprise_prolocalisation",
    "rejects": "ingest.rejects",
}


@dataclass
class Counts:
    """As schemas/avro/stats.avsc."""

    counts: dict[str, int] = field(default_factory=dict)
    amounts: dict[str, float] = field(default_factory=dict)
    estimated: list[str] = field(default_factory=list)
    trouble: str | None = None
    notice: str | None = None


class Topics(NamedTuple):
    """The row topics: their names by import type, their numbers of partitions, and their ends."""

    names: Mapping[str, tuple[str, ...]]
    partitions: Mapping[str, int]
    ends: Callable[..., Awaitable[Mapping[TP, int]]]


class Counting:
    """Counts while `mine` returns true. `limits` of the budgets are published with what was spent, and
    how many texts the limits of calls allow with what waits."""

    def __init__(
        self,
        pool: Pool,
        topics: Topics,
        encoder: Encoder,
        publish: Callable[[bytes, bytes], Awaitable[None]],
        mine: Callable[[], bool],
        limits: Mapping[str, Decimal | None],
        texts_per_hour: int,
    ) -> None:
        self._pool = pool
        self._topics = topics
        self._encoder = encoder
        self._publish = publish
        self._mine = mine
        self._limits = {name: None if x is None else float(x) for name, x in limits.items()}
        self._texts_per_hour = texts_per_hour
        self._published: dict[str, tuple[Counts, float]] = {}
        self._due: dict[str, float] = {}

    async def run(self) -> None:
        """Counts until it is cancelled. A failure is tried again the next time."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._mine():
                self._published.clear()
                continue
            try:
                await self.look()
            except Exception as error:  # must not take the imports with it
                if is_transient(error):
                    log.warning("counts are late", action="counts_late", reason=repr(error))
                else:
                    log.exception("counts are late", action="counts_late")

    async def look(self) -> None:
        """Counts what is due, and publishes what has changed."""
        looks = {
            "site": self._site,
            "categories": self._categories,
            "rejects": self._rejects,
            "ai": self._ai,
            "lag": self._lag,
        }
        for name, count in looks.items():
            begun = monotonic()
            if begun < self._due.get(name, begun):
                continue
            found = await count()
            self._due[name] = begun + min(PATIENCE * (monotonic() - begun), REPEAT_SECONDS)
            known, published_at = self._published.get(name, (None, 0.0))
            if found != known or begun - published_at >= REPEAT_SECONDS:
                record = {"name": name, "at": datetime.now(UTC), **asdict(found)}
                await self._publish(name.encode(), self._encoder.encode(record))
                self._published[name] = found, begun

    async def _site(self) -> Counts:
        found = Counts()
        for name in _TABLES:
            if name != "rejects":
                [(count,)], factor = await self._sampled(name)
                _note(found, name, count, factor)
        columns = added(await self._query(REQUIRED, tables=list(TABLES)))
        found.trouble = ", ".join(f"{c.table}.{c.name} = {c.value}" for c in columns) or None
        return found

    async def _categories(self) -> Counts:
        return Counts(dict(await self._query(_SQL["top_categories"])))

    async def _rejects(self) -> Counts:
        found = Counts()
        rows, factor = await self._sampled("rejects")
        for code, count in rows:
            _note(found, code or "", count, factor)
        return found

    async def _ai(self) -> Counts:
        [(waiting, urgent, running)] = await self._query(_SQL["requests"])
        spent: dict[str, float] = dict(await self._query(_SQL["spent"]))
        [(trouble,)] = await self._query(_SQL["trouble"])
        [(notice,)] = await self._query(_SQL["notice"])
        limits: dict[str, float | None] = {
            **self._limits,
            **dict(await self._query(_SQL["limits"])),
        }
        amounts = {"day": 0.0, "month": 0.0} | spent
        amounts |= {name: limit for name, limit in limits.items() if limit is not None}
        counts = {
            "waiting": waiting, "urgent": urgent, "running": running, "per_hour": self._texts_per_hour,
        }  # fmt: skip
        return Counts(counts, amounts, trouble=trouble, notice=notice)

    async def _lag(self) -> Counts:
        topics = self._topics
        found = await self._query(_SQL["positions"], topics=list(topics.partitions))
        positions = {TP(topic, partition): offset for topic, partition, offset in found}
        tps = [TP(topic, n) for topic, count in topics.partitions.items() for n in range(count)]
        # After the positions: else a row that is written meanwhile would make a lag negative.
        ends = await topics.ends(*tps)
        return Counts(
            {
                name: sum(ends[tp] - positions.get(tp, 0) for tp in tps if tp.topic in names)
                for name, names in topics.names.items()
            }
        )

    async def _sampled(self, name: str) -> tuple[list[tuple[Any, ...]], float]:
        """The rows of the statement `name`, and the factor of its counts."""
        [(size,)] = await self._query(_SQL["size"], table=_TABLES[name])
        percent = min(100.0, 100.0 * SAMPLE_BYTES / size) if size else 100.0
        return await self._query(_SQL[name], percent=percent), 100.0 / percent

    async def _query(self, sql: LiteralString, **parameters: object) -> list[tuple[Any, ...]]:
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(sql, parameters)
            return await cursor.fetchall()


def _note(found: Counts, name: str, count: int, factor: float) -> None:
    found.counts[name] = round(count * factor)
    if factor > 1:
        found.estimated.append(name)
