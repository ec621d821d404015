"""A piece of a resumable upload: written as it comes, hashed if it has a checksum, and taken back if it is damaged."""

import base64
import binascii
import hashlib
import os
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path

from fastapi import Request

from producers.gateway.problems import Problem
from producers.gateway.shared import Gateway
from producers.gateway.spool.private_files import sync, write

ALGORITHMS = ("sha1", "sha256", "md5")
MISMATCH = 460

_BLOCK = 2 << 20


async def append(
    request: Request, gateway: Gateway, file: FileIO, room: int, header: str | None
) -> None:
    """Writes the body to the file from where it stands; `room` bytes are to come, `header` is Upload-Checksum.

    Raises Problem.
    """
    checksum = _Checksum(header)
    begin = file.tell()
    buffer = bytearray()
    kept = not checksum.given
    try:
        if checksum.given:
            await gateway.receiving.in_thread(_mark_unchecked, file, begin)
        async for block in _within(gateway.receiving.blocks(request), room):
            buffer += block
            checksum.update(block)
            if len(buffer) >= _BLOCK:
                await gateway.receiving.in_thread(_write, file, _taken(buffer))
        checksum.check()
        kept = True
    except _BeyondError:
        kept = False  # nothing of it: it is not what was announced
        raise
    finally:
        if kept:
            await gateway.receiving.in_thread(_write, file, _taken(buffer))
        else:
            await gateway.receiving.in_thread(file.truncate, begin)
        if checksum.given:
            _unchecked(file).unlink(missing_ok=True)


def _taken(buffer: bytearray) -> bytes:
    """What is in the buffer, which is empty then: a request that ends while it is written writes no
    byte twice."""
    taken = bytes(buffer)
    buffer.clear()
    return taken


def _write(file: FileIO, data: bytes) -> None:
    """Goes to the disk as it comes, so that the end has little left to wait for."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    os.fdatasync(file.fileno())


def _unchecked(file: FileIO) -> Path:
    return Path(str(file.name)).with_name("unchecked")


def _mark_unchecked(file: FileIO, begin: int) -> None:
    """What comes after `begin` does not count, if the gateway dies before it is checked."""
    write(_unchecked(file), str(begin))
    sync(_unchecked(file).parent)


class _BeyondError(Problem):
    """More came than was announced."""


async def _within(blocks: AsyncIterator[bytes], room: int) -> AsyncIterator[bytes]:
    """The blocks that fit; raises Problem at the first that does not."""
    async for block in blocks:
        room -= len(block)
        if room < 0:
            raise _BeyondError(413, "too-large", "Le morceau dépasse la taille annoncée.")
        yield block


class _Checksum:
    """Upload-Checksum of a piece, which is hashed as it comes; None if it has none."""

    def __init__(self, header: str | None) -> None:
        self.given = header is not None
        name, _, encoded = (header or "sha1 ").partition(" ")
        if name not in ALGORITHMS:
            raise Problem(400, "tus-checksum", f"Upload-Checksum : {', '.join(ALGORITHMS)}.")
        try:
            self._digest = hashlib.new(name, usedforsecurity=False)
            self._expected = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Problem(400, "tus-checksum", "Upload-Checksum n'est pas en base64.") from error

    def update(self, block: bytes) -> None:
        if self.given:
            self._digest.update(block)

    def check(self) -> None:
        """Raises Problem 460."""
        if self.given and self._digest.digest() != self._expected:
            raise Problem(MISMATCH, "tus-checksum", "Le morceau est arrivé abîmé.")


def checked(folder: Path, here: int) -> int:
    """Where the piece begins that is not checked yet, if there is one."""
    try:
        return int((folder / "unchecked").read_text() or 0)
    except FileNotFoundError:
        return here
