"""The state of an import as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

from fastapi import Response

from producers.gateway.api import listing
from producers.gateway.api.child_calls import disconnected
from producers.gateway.monitoring import gateway_metrics
from producers.gateway.shared import Gateway
from producers.kafka.import_state import running
from schemas.records import ImportState


class EventStream(Response):
    """An event stream. It ends with the import, with the gateway or after a quarter of an hour.

    A client that does not read for ten seconds is let go; EventSource comes back by itself. Raises
    Problem if the account has its share of streams already.
    """

    LIFE_SECONDS = 900.0
    SLOW_SECONDS = 10.0
    LEAST_SECONDS = 0.25
    MOST_SECONDS = 1.0

    def __init__(self, gateway: Gateway, import_id: str, account: str) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self.headers["X-Accel-Buffering"] = "no"
        self._gateway = gateway
        self._account = account
        self._import_id = import_id

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        followers = self._gateway.followers
        try:
            with followers.place(self._account):
                gateway_metrics.FOLLOWERS.set(followers.held)
                await self._send_all(receive, send)
        finally:
            gateway_metrics.FOLLOWERS.set(followers.held)

    async def _send_all(self, receive: Any, send: Any) -> None:
        gone = asyncio.create_task(disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for text in self._texts(gone):
                async with asyncio.timeout(self.SLOW_SECONDS):
                    await send(_part(text, more=True))
            if not gone.done():
                await send(_part("", more=False))
        except (TimeoutError, OSError):
            return  # the server closes the connection
        finally:
            gone.cancel()

    async def _texts(self, gone: "asyncio.Task[None]") -> AsyncIterator[str]:
        until = monotonic() + self.LIFE_SECONDS
        stopping = asyncio.create_task(self._gateway.stopping.wait())
        try:
            with self._gateway.states.subscribe(self._import_id) as subscription:
                while monotonic() < until and not gone.done() and not stopping.done():
                    subscription.event.clear()
                    state = self._gateway.known(self._import_id)
                    if state is None:
                        return
                    yield _event("state", state)
                    if not running(state):
                        yield _event("end", state)
                        return
                    await asyncio.sleep(self.LEAST_SECONDS)
                    changed = asyncio.create_task(subscription.event.wait())
                    await asyncio.wait(
                        {changed, gone, stopping},
                        timeout=self.MOST_SECONDS - self.LEAST_SECONDS,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    changed.cancel()
        finally:
            stopping.cancel()


def _part(text: str, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}


def _event(name: str, state: ImportState) -> str:
    data = json.dumps(listing.shown(state), ensure_ascii=False)
    return f"event: {name}\nid: {state['version']}\ndata: {data}\n\n"
