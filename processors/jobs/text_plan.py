"""The nightly plan: texts that are missing, then those that have expired, then poor ones.

It requests them in short transactions and by keyset; the workers write them. It is a job
(processors/jobs): one runs at a time, and it stops when the budgets would be used up.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from processors.database.queries import load
from processors.jobs.lease import Connection, Counts, Run
from processors.settings import Settings
from processors.texts.content.disclosure import disclosure
from processors.texts.kinds import KINDS, Kind
from schemas.values.text_prices import estimate

_SQL = load("processors.jobs", "text_plan.sql")

PLANNED = ("CATEGORIE", "SOUS_CATEGORIE", "PROLOCALISATION", "AVIS")
"""Cities are written about on request: there are 35,000 of them."""

REASONS = ("missing", "expired", "low-quality")
FIRST = UUID(int=0)
ZERO = Decimal(0)


class _Full(Exception):  # noqa: N818 - not an error: the plan ends here
    """There is no room for more."""


def plan(settings: Settings, run: Run, connection: Connection, batch: int) -> Counts:
    """Requests texts; returns how many, by reason. The run's message is what stopped it: budget or count."""
    planning = _Planning(connection, run, batch, *_room(connection, settings))
    kinds = disclosure(settings.ai_kinds, settings.ai_leave_out).kinds
    run.message = planning.plan([name for name in PLANNED if name in kinds])
    return planning.counts


def _room(connection: Connection, settings: Settings) -> tuple[int, str]:
    """How many texts there is room for, and what would end that.

    Pending requests of earlier nights take room as well: without a model, or with a slow one,
    requests do not pile up.
    """
    now = datetime.now(UTC)
    scopes = {"day": f"day {now:%Y-%m-%d}", "month": f"month {now:%Y-%m}"}
    [waiting, *spent] = connection.execute(_SQL["taken"], scopes).fetchone() or (0, ZERO, ZERO)
    rooms = [(settings.ai_nightly_requests, "count")]
    known = estimate("ENTREPRISE", 1, settings.ai_model, settings.ai_price())
    cost = Decimal(str(known["cost"] or 0)) if known else ZERO
    cost = cost / 2 if settings.ai_batch else cost
    limits = settings.ai_budgets() | dict(connection.execute(_SQL["limits"]).fetchall())
    for kind, gone in zip(("day", "month"), spent, strict=True):
        limit = limits[kind]
        if limit is not None and cost > 0:
            rooms.append((int((limit - gone) / cost), "budget"))
    room, full = min(rooms)
    return max(room - waiting, 0), full


class _Planning:
    def __init__(self, connection: Connection, run: Run, batch: int, room: int, full: str) -> None:
        self._connection = connection
        self._run = run
        self._batch = batch
        self._room = room
        self._full = full
        self.asked = Counter[str]()

    @property
    def counts(self) -> Counts:
        return {reason: self.asked[reason] for reason in REASONS}

    def plan(self, kinds: Sequence[str]) -> str | None:
        """What stopped the plan before its end."""
        try:
            for reason in REASONS:
                for name in kinds:
                    self._ask_for(reason, KINDS[name])
        except _Full:
            return self._full
        return None

    def _ask_for(self, reason: str, kind: Kind) -> None:
        for ids in _pages(self._connection, reason, kind, self._batch):
            left = self._room - self.asked.total()
            with self._connection.transaction():
                if ids:
                    self.asked[reason] += self._connection.execute(
                        _SQL["ask"],
                        {
                            "run": str(self._run.id),
                            "kind": kind.name,
                            "reason": reason,
                            "ids": ids,
                            "limit": left,
                        },
                    ).rowcount
                self._run.hold(self._connection, self.counts)
            if self.asked.total() >= self._room:
                raise _Full


def _pages(connection: Connection, reason: str, kind: Kind, size: int) -> Iterator[Sequence[UUID]]:
    """Ids of entities page by page, by keyset: rows that change meanwhile do not shift pages."""
    query, wanted = _LOOKS[reason]
    after = FIRST
    while True:
        values = {"after": after, "limit": size, "kind": kind.name}
        rows = connection.execute(_SQL[query(kind)], values).fetchall()
        yield [entity_id for entity_id, text in rows if wanted(kind, text)]
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
