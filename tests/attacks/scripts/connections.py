"""Requests without a token: bodies and heads without end, slow clients, all connections."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from time import monotonic

from tests.attacks.scripts.attacker import Act, Attack, Attacker

_FORM = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
_MULTIPART = b"Content-Type: multipart/form-data; boundary=x\r\n"
_GIB = 1 << 30
_FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nsiren;nom\n'
_AT_ONCE = 4


def _attack(client: Callable[[Attacker, float], Awaitable[None]], at_once: int) -> Attack:
    """So many clients at a time, each again and again until the end."""

    async def again(attacker: Attacker, until: float) -> None:
        while monotonic() < until:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(max(0.1, until - monotonic())):
                    await client(attacker, until)
            await asyncio.sleep(0.2)

    async def every(attacker: Attacker, until: float) -> None:
        await asyncio.gather(*(again(attacker, until) for _ in range(at_once)))

    def prepare(attacker: Attacker) -> Act:
        def act(until: float) -> Iterable[str]:
            asyncio.run(every(attacker, until))
            return ()

        return act

    return Attack(prepare)


def _flood(
    begin: Callable[[Attacker], bytes], block: bytes, most: int = _GIB
) -> Callable[[Attacker, float], Awaitable[None]]:
    """Sends a beginning, then blocks until the gateway has had enough."""

    async def client(attacker: Attacker, until: float) -> None:
        reader, writer = await attacker.open()
        try:
            writer.write(begin(attacker))
            for _ in range(most // len(block)):
                writer.write(block)
                await writer.drain()
                if reader.at_eof() or monotonic() > until:
                    return
        finally:
            writer.transport.abort()

    return client


def _with_token(attacker: Attacker) -> bytes:
    return (
        b"POST /api/imports/upload/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n"
        b"Authorization: Bearer %s\r\n" % attacker.token.encode() + _MULTIPART + b"\r\n"
    )


async def _slow(attacker: Attacker, until: float) -> None:
    """Sends a byte of a body now and then."""
    _, writer = await attacker.open()
    try:
        writer.write(_FORM + b"Content-Length: 9999\r\n\r\n")
        while monotonic() < until:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.5)
    finally:
        writer.transport.abort()


async def _idle(attacker: Attacker, until: float) -> None:
    """Says nothing."""
    reader, writer = await attacker.open()
    try:
        await reader.read()
    finally:
        writer.transport.abort()


ATTACKS = {
    "login-body": _attack(
        _flood(lambda _: _FORM + b"Content-Length: 1073741824\r\n\r\ntoken=", b"a" * 65_536),
        _AT_ONCE,
    ),
    "login-file": _attack(
        _flood(
            lambda _: b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n"
            + _MULTIPART + b"\r\n" + _FILE.replace(b"file", b"token", 1),
            b"a" * 65_536,
        ),
        _AT_ONCE,
    ),
    "endless-header": _attack(
        _flood(lambda _: b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", b"a" * 16_384), _AT_ONCE
    ),
    "endless-headers": _attack(
        _flood(lambda _: b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-A: a\r\n" * 2_048), _AT_ONCE
    ),
    "epilogue": _attack(
        _flood(lambda attacker: _with_token(attacker) + _FILE + b"900000019;A\n\r\n--x--\r\n", b"a" * 65_536),
        _AT_ONCE,
    ),
    "slow-clients": _attack(_slow, 400),
    "connections": _attack(_idle, 1_100),
}  # fmt: skip
