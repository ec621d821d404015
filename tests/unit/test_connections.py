"""Connections, heads and bodies within their limits, against the server that the gateway runs."""

import asyncio
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from producers.gateway.access import request_bodies
from producers.gateway.processes import client_connections
from tests.fix_server import serving

BEGIN = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
TOKEN = b"Authorization: Bearer fox_tests_x\r\n"


async def test_a_head_without_end(tmp_path: Path) -> None:
    """It is refused after 64 KiB, in one header, in many, and in the address; others are served."""
    async with serving(tmp_path) as server:
        for begin, more in (
            (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", b"a" * 16384),
            (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-A: a\r\n" * 2048),
            (b"GET /", b"a" * 16384),
        ):
            peer = await server.connect()
            await peer.send(begin)
            assert await peer.flood(more, 16 << 20) < 8 << 20
            assert b"200 OK" in await server.health() or b"503" in await server.health()


async def test_headers_are_counted(tmp_path: Path) -> None:
    """A head of many small headers is refused long before its bytes are too many."""
    async with serving(tmp_path) as server:
        head = b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        few = await server.ask(head + b"X-A: a\r\n" * 200 + b"\r\n")
        assert few.startswith(b"HTTP/1.1 200"), few[:200]
        many = await server.connect()
        await many.send(head + b"X-A: a\r\n" * 300)
        assert (await many.answer()).startswith(b"HTTP/1.1 431")


async def test_trailers_without_end(tmp_path: Path) -> None:
    """What is beside a body is bounded as its head is, and no trailer becomes a header."""
    async with serving(tmp_path) as server:
        peer = await server.connect()
        await peer.send(BEGIN + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
        assert await peer.flood(b"X-A: " + b"a" * 16384 + b"\r\n", 16 << 20) < 8 << 20


async def test_a_head_that_comes_slowly(tmp_path: Path) -> None:
    """A client that says nothing, or a byte at a time, is disconnected; so is one between requests."""
    async with serving(tmp_path, FOX_GATEWAY_HEAD_SECONDS=1.0) as server:
        silent, slow = await server.connect(), await server.connect()

        async def drip() -> None:
            for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 1000:
                await slow.send(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert (await silent.answer()).startswith(b"HTTP/1.1 408")
        assert (await slow.answer()).startswith(b"HTTP/1.1 408")
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)

        kept = await server.connect()
        await kept.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        await kept.reader.readuntil(b"}")
        await kept.send(b"GET /read")
        assert b"HTTP/1.1 408" in await kept.answer()


async def test_connections_are_bounded(tmp_path: Path) -> None:
    """Beyond the limit the one that has waited longest for a request makes room."""
    async with serving(tmp_path, FOX_GATEWAY_CONNECTIONS=20, head_seconds=60.0) as server:
        first = await server.connect()
        for _ in range(60):
            await server.connect()
        assert await first.answer() == b""
        assert b"HTTP/1.1 " in await server.health()
        assert len(server.uvicorn.server_state.connections) <= 20


def test_the_limit_of_descriptors_bounds_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else needs descriptors has them; the soft limit is raised to the hard one."""
    given: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (512, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))

    assert client_connections.most_connections(2000) == 1024 - 256 - 128
    assert client_connections.most_connections(100) == 100
    assert given == [(1024, 1024)] * 2


async def test_requests_of_a_client_are_bounded(tmp_path: Path) -> None:
    """By the address that a trusted proxy gives; health is answered all the same."""
    async with serving(tmp_path, FOX_GATEWAY_REQUESTS_PER_CLIENT=3, idle_seconds=30.0) as server:
        for _ in range(3):
            peer = await server.connect()
            await peer.send(BEGIN + b"Content-Length: 9\r\n\r\na")
        while len(server.uvicorn.server_state.tasks) < 3:
            await asyncio.sleep(0.01)
        login = b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        refused = await server.ask(login + b"\r\n")
        assert refused.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 5" in refused.lower()
        other = await server.ask(login + b"X-Forwarded-For: 10.0.0.1\r\n\r\n")
        assert other.startswith(b"HTTP/1.1 200")
        assert (await server.health()).startswith(b"HTTP/1.1 ")


async def test_connections_are_left_for_health(tmp_path: Path) -> None:
    """However many addresses send requests that do not end, some connections are not theirs."""
    async with serving(tmp_path, connections=40, idle_seconds=30.0) as server:
        for number in range(60):
            peer = await server.connect()
            address = b"X-Forwarded-For: 10.0.0.%d\r\n" % number
            await peer.send(BEGIN + address + b"Content-Length: 9\r\n\r\na")
        while len(server.uvicorn.server_state.tasks) < 30:
            await asyncio.sleep(0.01)
        assert (await server.health()).startswith(b"HTTP/1.1 200")
        refused = await server.ask(b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 5" in refused.lower()


LARGE = [
    (b"POST", b"/login", b"application/x-www-form-urlencoded", b"token=", b"a" * 8192),
    (b"POST", b"/login", b"application/x-www-form-urlencoded", b"", b"a=b&" * 2048),
    (
        b"POST", b"/login", b"multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="token"; filename="a"\r\n\r\n', b"a" * 8192,
    ),
    (b"POST", b"/login", b"application/json", b"[", b"[" * 8192),
    (b"POST", b"/logout", b"application/x-www-form-urlencoded", b"csrf=", b"a" * 8192),
    (b"POST", b"/api/imports/x/cancel/", b"application/json", b"[", b"[" * 8192),
    (b"GET", b"/api/imports/", b"application/json", b"[", b"[" * 8192),
    (b"POST", b"/api/imports/uploads/", b"application/json", b"[", b"[" * 8192),
    (b"POST", b"/nothing", b"application/json", b"[", b"[" * 8192),
]  # fmt: skip
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nsiren;nom\n'
UPLOADS = [
    FILE + b"480000000;A\n\r\n--x--\r\n",  # its epilogue
    b"",  # its preamble
    b'--x\r\nContent-Disposition: form-data; name="import_type"\r\n\r\n',
    FILE,
]


@pytest.mark.parametrize("chunked", [False, True])
async def test_every_route_bounds_its_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    """While it is read, whatever Content-Length says: what a route does not want is not read without end."""
    monkeypatch.setattr(request_bodies, "_DRAIN_BYTES", 1 << 20)
    async with serving(tmp_path, max_file_bytes=1 << 20) as server:
        cases = [(*case[:3], *case[3:]) for case in LARGE]
        kind = b"multipart/form-data; boundary=x"
        upload = b"/api/imports/upload/"
        cases += [(b"POST", upload, kind, begin, b"a" * 8192) for begin in UPLOADS]
        for method, path, media, begin, block in cases:
            peer = await server.connect()
            length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1073741824"
            await peer.send(
                b"%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Type: %s\r\n%s\r\n\r\n"
                % (method, path, TOKEN, media, length)
            )
            if chunked:
                await peer.send(b"%x\r\n%s\r\n" % (len(begin), begin) if begin else b"")
                block = b"%x\r\n%s\r\n" % (len(block), block)
            else:
                await peer.send(begin)
            sent = await peer.flood(block, 64 << 20)
            assert sent < 16 << 20, (path, sent)
            assert list((tmp_path / "incoming").iterdir()) == []


async def test_unwanted_bodies_take_little_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no route wants is read slowly, however many send it: the time is that of others."""
    monkeypatch.setattr(request_bodies, "_DRAIN_RATE", 1 << 20)
    monkeypatch.setattr(request_bodies, "_DRAIN_SECONDS", 1.0)
    async with serving(tmp_path) as server:
        peers = [await server.connect() for _ in range(4)]
        for peer in peers:
            await peer.send(BEGIN + b"Content-Length: 1073741824\r\n\r\n")
        sent = await asyncio.gather(*(peer.flood(b"a" * 65536, 64 << 20) for peer in peers))
        assert sum(sent) < 64 << 20, sent


async def test_a_body_that_is_too_large_is_refused_with_an_answer(tmp_path: Path) -> None:
    """A client that sends all of it sees why."""
    async with serving(tmp_path) as server:
        for length in (20_000, 1 << 20):
            body = b"token=" + b"a" * (length - 6)
            head = BEGIN + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % length
            answer = await server.ask(head + body)
            assert answer.startswith(b"HTTP/1.1 413"), answer[:200]


async def test_a_body_that_comes_slowly(tmp_path: Path) -> None:
    """A client that falls silent gets 408, and so does one that sends a byte from time to time."""
    async with serving(tmp_path) as server:
        silent, slow = await server.connect(), await server.connect()
        for peer in (silent, slow):
            await peer.send(BEGIN + b"Content-Length: 9999\r\n\r\na")

        async def drip() -> None:
            while True:
                await slow.send(b"a")
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip())
        assert (await silent.answer()).startswith(b"HTTP/1.1 408")
        assert (await slow.answer()).startswith(b"HTTP/1.1 408")
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_a_client_that_reads_nothing_is_disconnected(tmp_path: Path) -> None:
    """Its connection is closed, whatever waits to be sent."""
    async with serving(tmp_path) as server:
        peer = await server.connect()
        transport: Any = peer.writer.transport
        transport.pause_reading()
        await peer.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 400)
        while server.uvicorn.server_state.connections:
            await asyncio.sleep(0.05)


async def test_two_hosts_are_refused(tmp_path: Path) -> None:
    """As RFC 9112 says: a proxy may have looked at the other one."""
    async with serving(tmp_path) as server:
        asked = b"GET /login HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n"
        assert (await server.ask(asked)).startswith(b"HTTP/1.1 400")


async def test_a_checksum_holds_no_memory(tmp_path: Path) -> None:
    """A piece with a checksum is hashed as it comes, and taken back if it is damaged."""
    async with serving(tmp_path, large_max_file_bytes=1 << 30) as server:
        where = await server.made.begin(64 << 20)
        head = (
            f"PATCH {where} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
            "Content-Type: application/offset+octet-stream\r\nUpload-Checksum: sha1 AAAA\r\n"
            f"Connection: close\r\nContent-Length: {32 << 20}\r\n"
        ).encode()
        peer = await server.connect()
        await peer.send(head + TOKEN + b"\r\n")
        data = tmp_path / "large" / where.rpartition("/")[2] / "data"
        await peer.flood(b"a" * (1 << 20), 31 << 20)
        while data.stat().st_size < 24 << 20:
            await asyncio.sleep(0.01)
        await peer.send(b"a" * (1 << 20))
        assert (await peer.answer()).startswith(b"HTTP/1.1 460")
        assert os.path.getsize(data) == 0
