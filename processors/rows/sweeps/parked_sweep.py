"""Finds parked rows whose parent exists: the site created it, or too many rows waited at once."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

import structlog
from faust.types import TP

from processors.database.pool import Pool, connected
from processors.rows.accounting.sqlstate import is_transient
from processors.rows.outbox import Outbox
from processors.rows.parking import parked_rows
from processors.rows.parking.parked_rows import ChildType
from processors.rows.transaction import write_parked
from processors.rows.writer import publish_released

log = structlog.get_logger(__name__)


class ParkedSweep:
    """Sweeps the partitions assigned to this worker."""

    def __init__(
        self,
        pool: Pool,
        children: ChildType,
        outbox: Outbox,
        assignment: Callable[[], Iterable[TP]],
        every_seconds: float,
    ) -> None:
        self._pool = pool
        self._children = children
        self._outbox = outbox
        self._assignment = assignment
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Sweeps until it is cancelled. A failure is tried again with the next sweep."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds):
                    await self._children.more_parked.wait()
            self._children.more_parked.clear()
            try:
                await self.sweep()
            except Exception as error:  # must not take the writing of rows with it
                if is_transient(error):
                    log.warning("the sweep is late", action="sweep_late", reason=repr(error))
                else:
                    log.exception("the sweep failed", action="sweep_failed")

    async def sweep(self) -> None:
        """One sweep: finds and writes rows that can be released.

        Partitions of one number are assigned to one worker: those of files go with those of upstream.
        """
        topics = self._children.topics
        partitions = {tp.partition for tp in self._assignment() if tp.topic in topics}
        async with connected(self._pool) as connection:
            releasable = await parked_rows.releasable(connection, self._children, partitions)
        for partition, keys in releasable.items():
            written = await write_parked(self._pool, self._children, partition, keys)
            if written is not None:
                publish_released(self._children, partition, written, self._outbox)
