"""A proxy between a worker and PostgreSQL: counts statements, loses replies, falls silent.

It reads the frames of PostgreSQL's protocol (version 3.0, chapter "Frontend/Backend Protocol") and
passes them on as they are. Encrypted connections it cannot read, so `url` asks for none.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import Self
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
QUERY, PARSE, EXECUTE, COPY_DATA = b"Q", b"P", b"E", b"d"
COMMAND_COMPLETE = b"C"


class PgProxy:
    """Listens on a free port of its own, in a thread of its own, for as long as a `with` block lasts.

    `statements` counts what clients had executed (messages Query and Execute), `largest` is the
    most of them that one connection had between two commits. `commits` counts the transactions that
    the server committed, `lost` the replies to COMMIT that no client saw: of all replies such a
    share as `losing` says is lost, each with its connection. `texts` are the statements and the rows
    of COPY that clients sent since it was emptied.
    """

    def __init__(self, database_url: str) -> None:
        self._target = urlsplit(database_url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._clients: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Event()
        self._gate.set()
        self._random = Random(1)
        self.losing = 0.0
        self.statements = self.largest = self.commits = self.lost = 0
        self.texts: list[bytes] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, LOOPBACK, 0), self._loop
        ).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The same database, through this proxy."""
        port = self._server.sockets[0].getsockname()[1]
        place = f"{self._target.username}@{LOOPBACK}:{port}{self._target.path}"
        return f"postgresql://{place}?sslmode=disable&gssencmode=disable"

    def hold(self) -> None:
        """Passes nothing on from now on, in no direction; connections stay open and are taken."""
        self._loop.call_soon_threadsafe(self._gate.clear)

    def release(self) -> None:
        """Passes on what was held, and what comes."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def strand(self) -> None:
        """Passes nothing on of the connections that there are, ever again; new ones work.

        As where a server vanished without a word and another one has its address now.
        """
        self.hold()
        self._gate = asyncio.Event()
        self.release()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task, gate = asyncio.current_task(), self._gate
        assert task is not None
        self._clients.add(task)
        to_server: asyncio.StreamWriter | None = None
        try:
            server, to_server = await asyncio.open_connection(
                self._target.hostname, self._target.port
            )
            since_commit: list[bytes] = []  # messages that had something executed
            ways = [
                asyncio.ensure_future(self._forward(client, to_server, gate, since_commit)),
                asyncio.ensure_future(self._back(server, to_client, gate, since_commit)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the server is down, or the proxy ends: the client sees an end of its connection
        finally:
            self._clients.discard(task)
            for end in (to_client, to_server):
                if end is not None:
                    end.transport.abort()

    async def _forward(
        self,
        client: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        gate: asyncio.Event,
        since_commit: list[bytes],
    ) -> None:
        async for kind, frame in _frames(client, first_has_a_kind=False):
            await gate.wait()
            if kind in (QUERY, PARSE, COPY_DATA):
                self.texts.append(frame[5:])
            if kind in (QUERY, EXECUTE):
                self.statements += 1
                since_commit.append(kind)
            to_server.write(frame)
            await to_server.drain()

    async def _back(
        self,
        server: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        gate: asyncio.Event,
        since_commit: list[bytes],
    ) -> None:
        async for kind, frame in _frames(server, first_has_a_kind=True):
            await gate.wait()
            if kind == COMMAND_COMPLETE and frame[5:] == b"COMMIT\0":
                self.commits += 1
                self.largest = max(self.largest, len(since_commit))
                since_commit.clear()
                if self._random.random() < self.losing:
                    self.lost += 1
                    return
            to_client.write(frame)
            await to_client.drain()

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)


async def _frames(
    stream: asyncio.StreamReader, *, first_has_a_kind: bool
) -> AsyncIterator[tuple[bytes, bytes]]:
    """Messages with their kinds until the stream ends. What a client sends first has no kind."""
    has_a_kind = first_has_a_kind
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            kind = await stream.readexactly(1) if has_a_kind else b""
            length = await stream.readexactly(4)
            rest = await stream.readexactly(int.from_bytes(length) - 4)
            yield kind, kind + length + rest
            has_a_kind = True
