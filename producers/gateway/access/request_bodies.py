"""The body of a request: how large it may be on each route, and how fast it has to come.

Enforced while it is read, whatever Content-Length says. Plain ASGI, so that it holds for every route.
"""

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Any

from starlette.datastructures import Headers, MutableHeaders

from producers.gateway.problems import Problem
from producers.settings import GatewaySettings

_ENVELOPE_BYTES = 1 << 20
_FORM_BYTES = 16 << 10
_OTHER_BYTES = 64 << 10
_LEAST_RATE = 1 << 10
_DRAIN_BYTES = 64 << 20
_DRAIN_RATE = 16 << 20
_DRAIN_SECONDS = 20.0
_DRAIN_SILENCE_SECONDS = 1.0


def largest(limits: GatewaySettings, method: str, path: str) -> int:
    """Bytes that the body of a request may have."""
    if method == "POST" and path in ("/api/imports/upload/", "/api/imports/preview/"):
        return limits.max_file_bytes + _ENVELOPE_BYTES
    if method == "PATCH" and path.startswith("/api/imports/uploads/"):
        return limits.large_max_file_bytes
    return _FORM_BYTES if path in ("/login", "/logout") else _OTHER_BYTES


class RequestBodies:
    """Raises Problem where a route reads a body that is too large or too slow."""

    def __init__(self, app: Any, limits: GatewaySettings) -> None:
        self._app = app
        self._limits = limits
        self._unwanted = _Unwanted()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = largest(self._limits, scope["method"], scope["path"])
        body = _Body(
            Headers(scope=scope), receive, send, most, self._limits.idle_seconds, self._unwanted
        )
        await self._app(scope, body.receive, body.send)


class _Unwanted:
    """What is read of all bodies that no route wants: at most _DRAIN_RATE bytes per second.

    Otherwise clients without a token could use up the gateway's time with gigabytes that it discards.
    """

    def __init__(self) -> None:
        self._free_at = 0.0

    async def read(self, size: int) -> None:
        """Returns when further bytes may be read."""
        now = monotonic()
        self._free_at = max(now, self._free_at) + size / _DRAIN_RATE
        await asyncio.sleep(self._free_at - now)


class _Body:
    """One request's. Its `receive` and `send` are those that the route gets."""

    def __init__(
        self,
        headers: Headers,
        receive: Any,
        send: Any,
        most: int,
        idle_seconds: float,
        unwanted: _Unwanted,
    ) -> None:
        announced = headers.get("content-length", "0")
        self._announced = int(announced) if announced.isdecimal() else 0
        self._receive = receive
        self._send = send
        self._most = most
        self._idle_seconds = idle_seconds
        self._unwanted = unwanted
        self._received = 0
        self._waited = 0.0
        self._complete = not self._announced and "transfer-encoding" not in headers
        # A client that waits for 100 Continue sends nothing before the body is read.
        self._sends = "expect" not in headers

    async def receive(self) -> Any:
        if self._complete:
            return await self._receive()
        if self._announced > self._most:
            raise _too_large(self._most)
        self._sends = True
        message = await self._next()
        if self._received > self._most:
            raise _too_large(self._most)
        return message

    async def _next(self) -> Any:
        begun = monotonic()
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await self._receive()
        except TimeoutError:
            self._sends = False
            raise _silent(self._idle_seconds) from None
        self._waited += monotonic() - begun
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if not self._complete and self._too_slow():
            self._sends = False
            raise _slow()
        return message

    def _too_slow(self) -> bool:
        return self._waited > self._idle_seconds and self._received < self._waited * _LEAST_RATE

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start" and not self._complete:
            if self._sends:
                await self._drain()
            if not self._complete:
                MutableHeaders(scope=message)["Connection"] = "close"
        await self._send(message)

    async def _drain(self) -> None:
        """Reads some of what the route does not want: a client that still sends would not see the answer."""
        until = self._received + _DRAIN_BYTES
        self._idle_seconds = min(self._idle_seconds, _DRAIN_SILENCE_SECONDS)
        with suppress(TimeoutError, Problem):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self._complete and self._received < until:
                    message = await self._next()
                    await self._unwanted.read(len(message.get("body", b"")))


def _too_large(most: int) -> Problem:
    return Problem(
        413, "too-large", f"Le corps de la demande dépasse {most} octets.", max_bytes=most
    )


def _silent(seconds: float) -> Problem:
    return Problem(
        408, "silent", f"Rien n'est arrivé pendant {seconds:.0f} s : recommencez l'envoi."
    )


def _slow() -> Problem:
    return Problem(
        408, "slow", f"L'envoi est trop lent : moins de {_LEAST_RATE} octets par seconde."
    )
