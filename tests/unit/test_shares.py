"""One account never has all that the others wait for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from producers.gateway.api.child_calls import run_task
from producers.gateway.problems import Problem
from producers.gateway.processes.spool_publisher import Publishing
from producers.gateway.spool import shares
from producers.gateway.spool.kept_files import remove_surplus
from producers.gateway.spool.shares import Places, Turns
from producers.gateway.spool.spool import Spool, SpooledFile
from producers.settings import gateway_settings, settings
from tests.fix_application import TUS, UPLOADS, Application

SPOOLED = SpooledFile(
    str(UUID(int=0)), "VILLE", "a.csv", "0" * 64, 3, "me", "2026-01-01T00:00:00+00:00"
)


def status(take: Callable[[], Any]) -> int:
    with pytest.raises(Problem) as refused:
        take()
    return refused.value.status_code


def test_places() -> None:
    """An account has its share of them, all accounts have all; a place that is given back is free."""
    places = Places(4, 0.5)
    with ExitStack() as held:
        for account in ("a", "a", "b", "c"):
            if account == "b":
                assert status(places.place("a").__enter__) == 429
            held.enter_context(places.place(account))
        assert status(places.place("d").__enter__) == 503
    assert places.held == 0
    with Places(1, 0.5).place("a"):
        pass


async def test_threads_are_shared(application: Callable[..., Application]) -> None:
    """Who fills all places of an account, and waits for the disk in each, keeps no other waiting."""
    receiving = application().gateway.receiving
    disk = Event()

    async def send(account: str, work: Callable[[], Any]) -> None:
        async with receiving.place(account):
            await receiving.in_thread(work)

    waiting: list[asyncio.Task[None]] = []
    try:
        while not (waiting and waiting[-1].done()):
            waiting.append(asyncio.create_task(send("a", disk.wait)))
            await asyncio.sleep(0)
        assert len(waiting) > 16
        done, _ = await asyncio.wait({asyncio.create_task(send("b", lambda: None))}, timeout=10)
        assert done
    finally:
        disk.set()
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in refused if each] == [Problem]


class Clock:
    """The time, and child processes that take a second of it. `niceness` of each, the latest last."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.niceness: list[int] = []

    async def run(self, _task: object, *, seconds: float, niceness: int) -> None:
        self.niceness.append(niceness)
        self.now += seconds


async def test_an_account_that_always_checks_gives_way(
    application: Callable[..., Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes get what others leave; one that checks from time to time keeps its priority."""
    clock = Clock()
    monkeypatch.setattr(shares, "monotonic", lambda: clock.now)
    gateway = application().gateway
    monkeypatch.setattr(gateway, "children", clock)
    state = SimpleNamespace(gateway=gateway)
    request: Any = SimpleNamespace(
        app=SimpleNamespace(state=state), receive=asyncio.get_running_loop().create_future
    )

    async def check(name: str) -> int:
        account: Any = SimpleNamespace(name=name)
        await run_task(request, account, None, seconds=1.0)
        return clock.niceness[-1]

    always = [await check("a") for _ in range(20)]
    assert (always[0], always[-1]) == (0, 15)
    assert always == sorted(always)
    seldom = []
    for _ in range(20):
        seldom.append(await check("b"))
        clock.now += 2
    assert set(seldom) == {0}
    assert await check("a") == 0


class Work:
    """Work of several accounts, which ends when it is told to."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.running: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str) -> None:
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name))

    async def _run(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.running.append(name)
            try:
                await self.ends[name].wait()
            finally:
                self.running.remove(name)

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await self.tasks[name]
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    made = Work(Turns(3, 2))
    yield made
    for task in made.tasks.values():
        task.cancel()
    await asyncio.gather(*made.tasks.values(), return_exceptions=True)


async def test_accounts_take_turns(work: Work) -> None:
    """One that asks for much leaves a turn to the others, and of those that wait each has its own."""
    for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
        work.begin(name)
    await work.settled()
    assert work.running == ["a1", "a2", "b1"]

    order = []
    for name in ("a1", "b1", "a2"):
        before = set(work.running)
        await work.end(name)
        order += sorted(set(work.running) - before)
    assert order == ["a3", "b2", "c1"]


async def test_one_that_goes_away_while_it_waits_takes_no_turn(work: Work) -> None:
    """Neither before its turn, nor at the moment when it comes; and it counts no longer as waiting."""
    for name in ("a1", "a2", "a3", "a4"):
        work.begin(name)
    await work.settled()
    work.tasks["a3"].cancel()
    await work.settled()
    work.ends["a1"].set()
    await asyncio.wait({work.tasks["a1"]})
    work.tasks["a4"].cancel()
    await work.settled()
    for name in ("a5", "a6"):
        work.begin(name)
    await work.settled()

    assert work.running == ["a2", "a5"]


async def test_who_waits_is_bounded() -> None:
    """An account that asks for more is refused; the others are not."""
    work = Work(Turns(1, 1, waiting=2))
    for name in ("a1", "a2", "a3", "a4", "b1"):
        work.begin(name)
    await work.settled()

    refused = work.tasks["a4"].exception()
    assert isinstance(refused, Problem)
    assert refused.status_code == 429
    assert not work.tasks["b1"].done()
    for task in work.tasks.values():
        task.cancel()
    await asyncio.gather(*work.tasks.values(), return_exceptions=True)


class Hanging(Publishing):
    """Publishes without end."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(spool, settings(), gateway_settings())
        self.running: list[str] = []

    async def _tries(self, spooled: SpooledFile) -> str | None:
        self.running.append(spooled.file_name)
        await asyncio.Event().wait()
        return None


async def test_publication_is_shared(tmp_path: Path) -> None:
    """An account with many files, small and large, keeps nobody's small or large file waiting."""
    publishing = Hanging(Spool(tmp_path))
    large, resumable = 5 << 20, 20 << 20
    files = [("a", large, 1)] * 5 + [("a", 1, 1)] * 5 + [("a", resumable, None)] * 5
    files += [("b", 1, 1), ("b", large, 1), ("b", resumable, None)]
    tasks = []
    for number, (account, size, rows) in enumerate(files):
        received = publishing._spool.receive()
        received.open()
        name = f"{account}{size}"
        spooled = replace(
            SPOOLED, id=str(UUID(int=number)), file_name=name, size=size, uploaded_by=account,
            max_rows=rows,
        )  # fmt: skip
        publishing._spool.accept(spooled, received.path)
        received.close()
        tasks.append(asyncio.create_task(publishing._publish(spooled.id)))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                while name not in publishing.running:
                    await asyncio.sleep(0.001)
    assert {"b1", f"b{resumable}"} <= set(publishing.running)
    assert publishing.running.count(f"a{large}") == 1
    assert publishing.unpublished_bytes("b") == 1 + large + resumable
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_resumable_uploads_are_bounded(tmp_path: Path) -> None:
    """In number for each account and in all, and by the room that is there for all of them."""
    made = Application(tmp_path)
    limits = made.gateway.limits.model_copy(update={"open_uploads": 4})
    made.gateway.limits = limits
    first = [(await made.create(9)).status for _ in range(3)]
    assert first == [201, 201, 429]

    size = 1 << 30
    made.gateway.limits = limits.model_copy(
        update={"open_uploads": 100, "large_max_file_bytes": size, "max_file_bytes": 10}
    )
    made.gateway.spool.room = lambda: (size, 2 * size)  # type: ignore[method-assign]
    answer = await made.create(size)
    assert (answer.status, answer.headers["retry-after"]) == (507, "60")
    assert (await made.create(size // 2)).status == 201
    assert (await made.create(size // 2)).status == 507  # what the other one is promised
    headers = {**TUS, "Upload-Length": "x" * 30, "Upload-Metadata": "x"}
    assert (await made.ask("POST", UPLOADS, headers)).status == 422


async def test_large_files_are_hashed_in_turns(tmp_path: Path) -> None:
    """An account that completes many at once leaves threads to what others send."""
    made, content = Application(tmp_path), b"siren;nom\n480000000;A\n"
    where = await made.begin(len(content))
    async with made.gateway.hashing.turn("tests"), made.gateway.hashing.turn("tests"):
        sending = asyncio.create_task(made.send(where, 0, [content]))
        assert not (await asyncio.wait({sending}, timeout=0.2))[0]
        async with made.gateway.hashing.turn("another"):
            pass
    assert (await sending).status == 204


async def test_files_that_wait_are_bounded(tmp_path: Path) -> None:
    """An account whose files fill its share of the disk sends no more, until they are published."""
    made = Application(tmp_path)
    made.gateway.spool.room = lambda: (1 << 30, 60 << 20)  # type: ignore[method-assign]
    waiting = made.gateway.publishing._unpublished
    for number in range(3):
        waiting[str(number)] = replace(SPOOLED, uploaded_by="tests", size=8 << 20)
    content = b"siren;nom\n480000000;A\n"
    assert (await made.upload(content)).status == 507
    waiting.popitem()
    assert (await made.upload(content)).status == 202


def test_published_files_are_kept_within_the_share(tmp_path: Path) -> None:
    """The oldest of an account go first; nobody else's go, and none that waits to be published."""
    spool = Spool(tmp_path)
    for number, (account, size) in enumerate([("a", 30)] * 4 + [("b", 10), ("c", 900)]):
        path = spool.scratch(".part")
        path.write_bytes(b"abc")
        file = replace(
            SPOOLED, id=str(UUID(int=number)), uploaded_by=account, size=size,
            created_at=f"2026-01-0{number + 1}T00:00:00+00:00",
        )  # fmt: skip
        spool.accept(file, path)
        if account != "c":
            spool.published(file.id)
    spool.room = lambda: (0, 160)  # type: ignore[method-assign]

    assert remove_surplus(spool, 0.5) == 2
    left = {path.name for path in (tmp_path / "imports").iterdir()}
    assert left == {str(UUID(int=number)) for number in (2, 3, 4, 5)}


def test_a_file_that_no_retry_needs_goes(tmp_path: Path) -> None:
    """That of an import without an error, once it is published; not that of another one."""
    spool = Spool(tmp_path)
    for number in range(3):
        path = spool.scratch(".part")
        path.write_bytes(b"abc")
        spool.accept(replace(SPOOLED, id=str(UUID(int=number))), path)
        if number:
            spool.published(str(UUID(int=number)))

    later = (tmp_path / "imports").stat().st_mtime + 3600
    assert spool.clean(30, {str(UUID(int=0)), str(UUID(int=1))}, later) == 1
    assert not spool.import_folder(str(UUID(int=1))).exists()
