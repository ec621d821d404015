"""Faust's table manager without its wait for tables that are added while the app starts."""

import logging

from faust.tables.manager import TableManager


class Tables(TableManager):
    """For an app that has all its tables before it starts."""

    logger = logging.getLogger("faust")  # else mode logs under our module's name

    async def on_start(self) -> None:
        # Faust sleeps for a second here, so that agents can add tables when they start. The
        # subscription to Kafka waits for this method, not for the time that it takes.
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
