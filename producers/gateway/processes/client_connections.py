"""Connections of clients: how many there are, how large heads are, and how long a client may take.

uvicorn limits none of these with httptools: a head of any size is collected in memory, a connection
without a request has no time limit, and a client that does not read its response keeps the
connection. Bodies are limited by producers.gateway.access.request_bodies.
"""

import asyncio
from math import inf
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from schemas.runtime.descriptors import most_descriptors

BACKLOG = 128
"""Connections that the kernel accepts before this process does; each is a descriptor for a moment."""

_HEAD_BYTES = 64 << 10
_MOST_HEADERS = 256
_SLICE = 16 << 10
_LOOK_SECONDS = 1.0
_RESERVED = 256
"""Descriptors for everything else: Kafka clients, files that are received, pipes of child processes."""


def most_connections(most: int) -> int:
    """At most `most`, and no more than the limit of descriptors leaves, which is raised first."""
    return int(max(1, min(most, most_descriptors() - _RESERVED - BACKLOG)))


class ClientConnections:
    """Those that are open. Clients have `head_seconds` for a head, and `idle_seconds` to read."""

    def __init__(self, most: int, head_seconds: float, idle_seconds: float) -> None:
        self._most = most
        self._head_seconds = head_seconds
        self._idle_seconds = idle_seconds
        self._open: set[LimitedProtocol] = set()
        # Those without a request, the oldest first, and until when they have to send a head.
        self._waiting: dict[LimitedProtocol, float] = {}
        self._next: asyncio.TimerHandle | None = None

    def protocol(self, *arguments: Any, **named: Any) -> "LimitedProtocol":
        """For uvicorn, in the place of a protocol class."""
        return LimitedProtocol(self, *arguments, **named)

    def add(self, protocol: "LimitedProtocol") -> bool:
        """Whether there is room: the connection that has waited longest for a request makes it."""
        if len(self._open) >= self._most:
            if not self._waiting:
                return False
            next(iter(self._waiting)).abort()
        self._open.add(protocol)
        self.head_begins(protocol)
        if self._next is None:
            self._next = protocol.loop.call_later(_LOOK_SECONDS, self._look, protocol.loop)
        return True

    def head_begins(self, protocol: "LimitedProtocol") -> None:
        """A head has to be here soon."""
        if protocol in self._open:
            self._waiting[protocol] = monotonic() + self._head_seconds

    def idle(self, protocol: "LimitedProtocol") -> None:
        """A response has ended; uvicorn's keep-alive timeout closes the connection."""
        if protocol in self._open:
            self._waiting[protocol] = inf

    def head_ends(self, protocol: "LimitedProtocol") -> None:
        """The request is there."""
        self._waiting.pop(protocol, None)

    def remove(self, protocol: "LimitedProtocol") -> None:
        """The connection is closed."""
        self._open.discard(protocol)
        self._waiting.pop(protocol, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = loop.call_later(_LOOK_SECONDS, self._look, loop) if self._open else None
        now = monotonic()
        for protocol in [known for known, until in self._waiting.items() if now > until]:
            self._waiting.pop(protocol, None)
            protocol.refuse(408)
        for protocol in list(self._open):
            if protocol.unread_seconds(now) > self._idle_seconds:
                protocol.abort()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's, within the limits of `connections`."""

    def __init__(self, connections: ClientConnections, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = connections
        self._beside_body = 0
        self._fields = 0
        self._in_head = True
        self._idle = False
        self._unread_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._limits.add(self):
            self.refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A slice at a time: the parser collects a head without an end, and what is beside a body."""
        if self._idle:
            self._idle = False
            self._limits.head_begins(self)
        for begin in range(0, len(data), _SLICE):
            if self.transport.is_closing():
                return
            part = data[begin : begin + _SLICE]
            self._beside_body += len(part)
            super().data_received(part)
            if self._beside_body > _HEAD_BYTES or self._fields > _MOST_HEADERS:
                self.refuse(431)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._fields = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        if self._in_head and self._fields <= _MOST_HEADERS:  # a trailer is not a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._beside_body = 0
        self._limits.head_ends(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._beside_body = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            self._idle = True
            self._limits.idle(self)

    def pause_writing(self) -> None:
        self._unread_since = monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def unread_seconds(self, now: float) -> float:
        """How long the client has read nothing of what waits for it."""
        since = self._unread_since
        if since is None and self.transport.is_closing():
            self._unread_since = now
        return 0.0 if since is None else now - since

    def refuse(self, status: int) -> None:
        """Ends the connection; with `status` if it has no response yet."""
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle  # None before the first request
        if cycle is None or cycle.response_complete:
            head = b"content-length: 0\r\nconnection: close\r\nretry-after: 5\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head)
        self.transport.close()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._limits.remove(self)
        self.transport.abort()
