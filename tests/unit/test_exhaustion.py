"""Descriptors or the disk run out: requests are refused for a while, and everything goes on afterwards."""

import asyncio
import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from producers.gateway.processes import spool_publisher
from producers.gateway.processes.spool_publisher import Publishing
from producers.gateway.spool.spool import Spool
from producers.settings import gateway_settings, settings
from tests.fix_application import Application
from tests.fix_stack import cleaned

Make = Callable[..., Application]

CONTENT = b"siren;nom\n480000000;A\n"


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Not one more can be opened, and none is closed by a thread of the tests."""
    cleaned()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


async def test_no_descriptors(application: Make) -> None:
    """Uploads of both kinds get 503 with Retry-After and leave nothing; later the same are taken."""
    made = application()
    where = await made.begin(len(CONTENT))
    before = files(made.spool.folder)
    with no_descriptors():
        refused = [
            await made.upload(CONTENT, headers={"Idempotency-Key": "k"}),
            await made.create(9),
            await made.send(where, 0, [CONTENT]),
            await made.ask("GET", "/api/imports/00000000-0000-0000-0000-000000000001/"),
        ]
    assert [answer.status for answer in refused] == [503] * 4
    assert {answer.headers["retry-after"] for answer in refused} == {"5"}
    assert files(made.spool.folder) == before

    assert (await made.send(where, 0, [CONTENT])).status == 204
    assert (await made.upload(CONTENT + b"480000001;B\n")).status == 202


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_no_room(application: Make, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """507 with Retry-After; later the same is taken."""
    made = application()

    def full(_: int) -> None:
        raise OSError(number, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        patch.setattr(os, "fdatasync", full)
        refused = [await made.upload(CONTENT), await made.create(9)]
    assert [answer.status for answer in refused] == [507] * 2
    assert {answer.headers["retry-after"] for answer in refused} == {"60"}
    assert list((made.spool.folder / "incoming").iterdir()) == []

    assert (await made.upload(CONTENT)).status == 202


async def test_publishing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails while the spool is read, it is read again."""
    monkeypatch.setattr(spool_publisher, "_LOOK_SECONDS", 0.01)
    spool = Spool(tmp_path)
    failures: list[Exception] = [OSError(errno.EMFILE, "x"), RuntimeError("can't start new thread")]
    read = asyncio.Event()

    def pending() -> list[str]:
        if failures:
            raise failures.pop()
        loop.call_soon_threadsafe(read.set)
        return []

    def clean(*_: Any) -> int:
        raise OSError(errno.EMFILE, "x")

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(spool, "pending", pending)
    monkeypatch.setattr(spool, "clean", clean)
    publishing = asyncio.create_task(Publishing(spool, settings(), gateway_settings()).run())
    reading = asyncio.create_task(read.wait())
    for _ in range(2):
        await asyncio.wait({publishing, reading}, return_when=asyncio.FIRST_COMPLETED)
        assert not publishing.done()
        read.clear()
        reading = asyncio.create_task(read.wait())
    publishing.cancel()
    reading.cancel()
    await asyncio.gather(publishing, reading, return_exceptions=True)
