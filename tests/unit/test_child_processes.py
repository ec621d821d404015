"""Processes that read files: what ends one ends nothing else, and a file gets no more tries for it."""

import asyncio
import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from producers.gateway.processes import children_memory, tasks
from producers.gateway.processes.child_processes import ChildDiedError, Children
from producers.gateway.processes.spool_publisher import Publishing
from producers.gateway.spool.spool import Spool, SpooledFile, new_upload_time
from producers.reading import RefusedError
from producers.reading.workbook.memory_limit import ADDRESS_SPACE
from producers.settings import GatewaySettings, Settings

ROOT = Path(__file__).parents[2]
SPOOLED = SpooledFile(
    str(UUID(int=1)), "VILLE", "a.csv", "", 3, "me", new_upload_time(), max_rows=9
)


def take(_: object, size: int) -> int:
    """Takes memory in pieces."""
    return sum(map(len, [bytes(1 << 20) for _ in range(size >> 20)]))


def abort(_: object) -> None:
    """As Rust does if memory is not enough."""
    os.abort()


def crash(_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def room(_: object) -> int:
    """Bytes that the process may still take."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return resource.getrlimit(resource.RLIMIT_AS)[0] - pages * resource.getpagesize()


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    children = Children(1)
    yield lambda task, *arguments: asyncio.run(children.run(task, *arguments, seconds=120.0))
    children.close()


def test_memory_is_a_refusal(run: Callable[..., Any]) -> None:
    """Not a crash that would be tried again: the file stays as large."""
    for task, arguments in ((take, (ADDRESS_SPACE,)), (abort, ())):
        with pytest.raises(RefusedError, match="trop volumineux une fois ouvert") as refused:
            run(task, *arguments)
        assert refused.value.code == "too-large"
    assert run(take, ADDRESS_SPACE // 2) == ADDRESS_SPACE // 2


def test_each_process_has_its_limit(run: Callable[..., Any]) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)

    assert ADDRESS_SPACE * 0.9 < run(room) <= ADDRESS_SPACE
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def hold(_: object, size: int) -> int:
    """Takes memory in pieces, and keeps it for a while."""
    held = [os.urandom(1 << 20) for _ in range(size >> 20)]
    threading.Event().wait(3)
    return len(held)


def test_processes_share_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """If all together hold too much, the largest is ended, to be begun again; the others end as usual.

    One by itself is not ended.
    """
    monkeypatch.setattr(children_memory, "MOST_BYTES", 300 << 20)
    children = Children(3)

    async def run(*sizes: int) -> list[Any]:
        held = [children.run(hold, size << 20, seconds=120.0) for size in sizes]
        return await asyncio.gather(*held, return_exceptions=True)

    first, second, largest = asyncio.run(run(50, 60, 280))
    alone = asyncio.run(run(400))
    children.close()

    assert (first, second, alone) == (50, 60, [400])
    assert isinstance(largest, tasks.CrowdedError)


def test_the_container_has_room_for_the_processes() -> None:
    gateway = (ROOT / "deploy" / "kubernetes" / "base" / "gateway.yaml").read_text("utf-8")

    assert "limits: {memory: 2Gi}" in gateway
    assert ADDRESS_SPACE < children_memory.MOST_BYTES <= (2 << 30) - (512 << 20)


def test_a_crash_is_none(run: Callable[..., Any]) -> None:
    with pytest.raises(ChildDiedError) as died:
        run(crash)
    assert died.value.code == -signal.SIGSEGV


class Gateway(Publishing):
    """One that reads as `end` does; `given_up` says why it gave a file up."""

    def __init__(self, spool: Spool, end: Callable[[], None]) -> None:
        super().__init__(spool, Settings(), GatewaySettings(tries=4, retry_seconds=0))
        self.end = end
        self.begun = 0
        self.given_up: list[str] = []

    async def _once(self, spooled: SpooledFile) -> str:
        self.begun += 1
        self._spool.begin_try(spooled.id)
        self.end()
        return "published"

    async def _give_up(self, spooled: SpooledFile, code: str, message: str) -> None:
        self.given_up.append(code)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path)
    received = spool.receive()
    received.open()
    received.finish()
    spool.accept(SPOOLED, received.path)
    received.close()
    return spool


def died() -> None:
    raise ChildDiedError(-11)


def killed() -> None:
    raise asyncio.CancelledError


def large() -> None:
    raise RefusedError("too-large", "")


def publish(gateway: Gateway) -> None:
    with capture_logs(), contextlib.suppress(asyncio.CancelledError):
        asyncio.run(gateway._tries(SPOOLED))


def test_a_restart_does_not_begin_again(spool: Spool) -> None:
    """Three gateways died with the reader; the fourth tries once more, the fifth not at all."""
    for _ in range(3):
        gateway = Gateway(spool, killed)
        publish(gateway)
        assert gateway.given_up == []
    fourth, fifth = Gateway(spool, died), Gateway(spool, died)
    publish(fourth)
    publish(fifth)

    assert (fourth.begun, fourth.given_up) == (1, ["publishing-failed"])
    assert (fifth.begun, fifth.given_up) == (0, ["publishing-failed"])


def test_tries_of_one_gateway(spool: Spool) -> None:
    gateway = Gateway(spool, died)
    publish(gateway)

    assert (gateway.begun, gateway.given_up) == (4, ["publishing-failed"])


def test_memory_is_not_tried_again(spool: Spool) -> None:
    gateway = Gateway(spool, large)
    publish(gateway)

    assert (gateway.begun, gateway.given_up) == (1, ["too-large"])


def test_a_try_that_is_taken_back(spool: Spool) -> None:
    spool.begin_try(SPOOLED.id)
    spool.begin_try(SPOOLED.id)
    spool.take_back_try(SPOOLED.id)
    assert spool.tries(SPOOLED.id) == 1
    assert Spool(spool.folder).tries(SPOOLED.id) == 1

    spool.published(SPOOLED.id)
    assert spool.tries(SPOOLED.id) == 0
    assert spool.tries(replace(SPOOLED, id=str(UUID(int=2))).id) == 0


class Crowded:
    """Children that are ended because all of them hold too much."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.begun = 0

    async def run(self, *_: object, **__: object) -> str:
        self.begun += 1
        self.spool.begin_try(SPOOLED.id)
        if self.begun > 2:
            return "published"
        raise tasks.CrowdedError("Trop")


def test_a_crowd_is_no_try(spool: Spool) -> None:
    """A file whose reader was ended for the memory of all is published later, with all its tries."""
    gateway = Publishing(spool, Settings(), GatewaySettings(tries=4, retry_seconds=0))
    gateway._children = crowded = cast(Any, Crowded(spool))

    with capture_logs():
        assert asyncio.run(gateway._tries(SPOOLED)) is None

    assert (crowded.begun, spool.tries(SPOOLED.id)) == (3, 1)
