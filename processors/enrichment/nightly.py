"""The nightly plan: texts that are missing, then those that have expired, then poor ones.

It asks, in short transactions and by keyset; the workers write. A run has a record, one runs at a
time, and it stops where the budgets would be used up.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg

from processors.database.queries import load
from processors.enrichment import building
from processors.enrichment.kinds import KINDS, Kind
from processors.errors import WorkerError
from processors.settings import Settings
from schemas.prices import estimate

_SQL = load("processors.enrichment", "nightly.sql")

PLANNED = ("CATEGORIE", "SOUS_CATEGORIE", "PROLOCALISATION", "AVIS")
"""Cities are written about on request: there are 35,000 of them."""

REASONS = ("missing", "expired", "low-quality")
FIRST = UUID(int=0)


class RunningError(WorkerError):
    """A nightly plan is being made somewhere else."""

    exit_code = 4


class _Full(Exception):  # noqa: N818 - no error: the plan ends here
    """There is no room for more."""


def plan(settings: Settings, batch: int) -> Mapping[str, int]:
    """Asks for texts; how many, by reason."""
    url = settings.database_url.get_secret_value()
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
        run = uuid4()
        connection.execute(_SQL["begin"])
        if connection.execute(_SQL["run"], {"id": run}).fetchone() is None:
            raise RunningError("enrich-nightly runs somewhere else")
        planning = _Planning(connection, run, batch, *_room(connection, settings))
        stopped_by = planning.plan()
        connection.execute(_SQL["end"], {"id": run, "stopped_by": stopped_by})
        return {reason: planning.asked[reason] for reason in REASONS}


def _room(connection: psycopg.Connection, settings: Settings) -> tuple[int, str]:
    """How many texts there is room for, and what would end that."""
    rooms = [(settings.ai_nightly_requests, "count")]
    now = datetime.now(UTC)
    scopes = {"day": f"day {now:%Y-%m-%d}", "month": f"month {now:%Y-%m}"}
    spent = connection.execute(_SQL["spent"], scopes).fetchone() or (Decimal(0), Decimal(0))
    known = estimate("ENTREPRISE", 1, settings.ai_model, building.price(settings))
    cost = Decimal(str(known["cost"] or 0)) if known else Decimal(0)
    limits = building.budgets(settings)
    for kind, gone in zip(("day", "month"), spent, strict=True):
        limit = limits[kind]
        if limit is not None and cost > 0:
            rooms.append((max(int((limit - gone) / cost), 0), "budget"))
    return min(rooms)


class _Planning:
    def __init__(
        self, connection: psycopg.Connection, run: UUID, batch: int, room: int, full: str
    ) -> None:
        self._connection = connection
        self._run = run
        self._batch = batch
        self._room = room
        self._full = full
        self.asked = Counter[str]()

    def plan(self) -> str | None:
        """What stopped the plan before its end."""
        try:
            for reason in REASONS:
                for name in PLANNED:
                    self._ask_for(reason, KINDS[name])
        except _Full:
            return self._full
        return None

    def _ask_for(self, reason: str, kind: Kind) -> None:
        for ids in _pages(self._connection, reason, kind, self._batch):
            left = self._room - self.asked.total()
            with self._connection.transaction():
                done = self._connection.execute(
                    _SQL["ask"],
                    {
                        "run": str(self._run),
                        "kind": kind.name,
                        "reason": reason,
                        "ids": ids,
                        "limit": left,
                    },
                ).rowcount
                self.asked[reason] += done
                counts = {r.replace("-", "_"): self.asked[r] for r in REASONS}
                kept = self._connection.execute(_SQL["count"], {"id": self._run, **counts})
                if kept.fetchone() is None:
                    raise RunningError("this run took too long and was given up by another")
            if self.asked.total() >= self._room:
                raise _Full


def _pages(
    connection: psycopg.Connection, reason: str, kind: Kind, size: int
) -> Iterator[Sequence[UUID]]:
    """Ids of entities page by page, by keyset: rows that are mended meanwhile shift nothing."""
    query, wanted = _LOOKS[reason]
    after = FIRST
    while True:
        values = {"after": after, "limit": size, "kind": kind.name}
        rows = connection.execute(_SQL[query(kind)], values).fetchall()
        chosen = [entity_id for entity_id, text in rows if wanted(kind, text)]
        if chosen:
            yield chosen
        if len(rows) < size:
            return
        after = rows[-1][0]


def _all(_: Kind, __: Any) -> bool:
    return True


_LOOKS: Mapping[str, tuple[Callable[[Kind], str], Callable[[Kind, Any], bool]]] = {
    "missing": (lambda kind: f"missing_{kind.name.lower()}", _all),
    "expired": (lambda _: "expired", _all),
    "low-quality": (lambda kind: f"stored_{kind.name.lower()}", Kind.is_poor),
}
