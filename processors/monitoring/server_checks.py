"""Checks that the servers of a worker respond, for the metrics and for its readiness."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from processors import metrics
from schemas.runtime.logs import SERVER_BACK

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0

ANSWER_SECONDS = 6.0
"""Longest response. A server that takes longer counts as away."""

Ask = Callable[[], Awaitable[None]]
"""Returns if the server responded; else raises any exception."""


class Servers:
    """Checks all servers concurrently every LOOK_SECONDS."""

    def __init__(self, asks: Mapping[str, Ask]) -> None:
        self._asks = asks
        self._reached: dict[str, bool] = {}

    def away(self) -> list[str]:
        """Servers that did not respond to the last check, or are not checked yet."""
        return [name for name in self._asks if not self._reached.get(name)]

    async def watch(self) -> None:
        """Checks until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Checks each server once."""
        await asyncio.gather(*(self._look(name, ask) for name, ask in self._asks.items()))

    async def _look(self, name: str, ask: Ask) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await ask()
            reached = True
            if not self._reached.get(name, True):
                log.info("server responds again", action=SERVER_BACK, server=name)
        except Exception as error:  # noqa: BLE001 - any exception of a client means no response
            reached = False
            if self._reached.get(name, True):
                log.warning("server is away", action="server_away", server=name, reason=repr(error))
        self._reached[name] = reached
        metrics.SERVER_REACHABLE.labels(name).set(reached)
