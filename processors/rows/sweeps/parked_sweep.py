"""Rows that wait although their parent is there: the site made it, or too many waited at once."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

import structlog
from faust.types import TP

from processors.database.pool import Pool, connected
from processors.rows.accounting.sqlstate import passes
from processors.rows.outbox import Outbox
from processors.rows.parking import parked_rows
from processors.rows.parking.parked_rows import Waiting
from processors.rows.transaction import write_waiting
from processors.rows.writer import tell_freed

log = structlog.get_logger(__name__)


class Sweep:
    """Looks after the partitions that this worker holds."""

    def __init__(
        self,
        pool: Pool,
        waiting: Waiting,
        outbox: Outbox,
        assignment: Callable[[], Iterable[TP]],
        every_seconds: float,
    ) -> None:
        self._pool = pool
        self._waiting = waiting
        self._outbox = outbox
        self._assignment = assignment
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Looks until it is cancelled. What fails is tried again the next time."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds):
                    await self._waiting.left.wait()
            self._waiting.left.clear()
            try:
                await self.look()
            except Exception as error:  # must not take the writing of rows with it
                if passes(error):
                    log.warning("the sweep is late", action="sweep_late", reason=repr(error))
                else:
                    log.exception("rows wait on", action="sweep_failed")

    async def look(self) -> None:
        """One look, and the writing of what it found."""
        partitions = {tp.partition for tp in self._assignment() if tp.topic == self._waiting.topic}
        async with connected(self._pool) as connection:
            freed = await parked_rows.freed(connection, self._waiting, partitions)
        for partition, keys in freed.items():
            written = await write_waiting(self._pool, self._waiting, partition, keys)
            if written is not None:
                tell_freed(self._waiting, partition, written, self._outbox)
