"""Plain uploads, in this process: whatever ends one, it is imported whole and once, or not at all."""

import asyncio
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from producers.gateway.spool import multipart, spool
from tests.fix_application import Application, Threads, at_wait, cancel
from tests.fix_disk import Disk, failing_sync, lose_power

Make = Callable[..., Application]

CONTENT = b"siren;nom\n" + b"".join(b"%09d;A\n" % number for number in range(5))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch, disk: Disk) -> None:
    """A few bytes are many blocks, and no sync waits for a real disk."""
    monkeypatch.setattr(multipart, "_BLOCK", 20)


def folders(made: Application) -> list[Path]:
    """Those of the imports."""
    return [path for path in (made.spool.folder / "imports").iterdir() if path.name[0] != "."]


async def check_once(made: Application, content: bytes, key: str) -> None:
    """The same request again is answered, and there is one import, of what was sent."""
    before = len(folders(made))
    again = await made.upload(content, headers={"Idempotency-Key": key}, force="true")
    assert again.status == 202, again.body
    spooled = made.spool.find(again.headers["location"].split("/")[-2])
    assert spooled is not None
    assert made.spool.data(spooled).read_bytes() == content
    assert (spooled.sha256, spooled.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert spooled.id in made.spool.pending()
    replayed = "idempotent-replayed" in again.headers
    assert len(folders(made)) == before + (not replayed)


@pytest.mark.parametrize("again", [False, True], ids=["once", "again"])
async def test_an_upload_cancelled_at_every_point(
    application: Make, threads: Threads, again: bool
) -> None:
    """Nothing of it stays but the import, and the key of a forced one makes no second."""
    made = application()
    for number in count(1):
        content = CONTENT + b"%d" % number
        sent = made.upload(content, headers={"Idempotency-Key": f"{number}"}, force="true")
        if not await at_wait(number, sent, cancel, again=again):
            break
        assert list((made.spool.folder / "incoming").iterdir()) == []
        await check_once(made, content, f"{number}")
        assert len(folders(made)) == number
    assert number > 10


@pytest.fixture
def held() -> Iterator[list[threading.Event]]:
    """What threads wait for; nothing is left waiting."""
    events = [threading.Event(), threading.Event()]
    yield events
    for event in events:
        event.set()


async def test_a_request_that_is_cancelled_waits_for_its_thread(
    application: Make, held: list[threading.Event]
) -> None:
    """However often: what comes next, such as the end of a lock, is not overtaken by the thread."""
    request = asyncio.create_task(application().gateway.receiving.in_thread(held[0].wait))
    for _ in range(3):
        await asyncio.wait({request}, timeout=0)
        request.cancel()
        await asyncio.wait({request}, timeout=0)

    assert not request.done()
    held[0].set()
    await asyncio.wait({request})
    assert request.cancelled()


async def test_a_gateway_that_stops_waits_for_what_is_written(
    application: Make, held: list[threading.Event]
) -> None:
    """Its process ends after it: a file is not left between two places."""
    gateway = application().gateway
    ended: list[bool] = []

    class Children:
        def close(self) -> None:
            ended.extend(request.cancelled() for request in requests)

    async def send(event: threading.Event) -> None:
        async with gateway.receiving.place(""):
            await gateway.receiving.in_thread(event.wait)

    gateway.children = cast(Any, Children())
    requests = [asyncio.create_task(send(event)) for event in held]
    await asyncio.wait(requests, timeout=0)
    for request in requests:
        request.cancel()
    stopping = asyncio.create_task(gateway.stop())
    for request, event in zip(requests, held, strict=True):
        await asyncio.wait({stopping}, timeout=0)
        event.set()
        await asyncio.wait({request})
    await stopping

    assert ended == [True, True]


async def test_an_upload_killed_at_every_point(
    application: Make, threads: Threads, tmp_path: Path
) -> None:
    """As kill -9 leaves it: the same request again makes the import, or finds it."""
    for number in count(1):
        made, copy = application(tmp_path / f"{number}"), tmp_path / f"{number}-killed"
        sent = made.upload(CONTENT, headers={"Idempotency-Key": "k"}, force="true")
        if not await at_wait(number, sent, partial(shutil.copytree, made.spool.folder, copy)):
            break
        left = application(copy)
        await check_once(left, CONTENT, "k")
        assert len(folders(left)) == 1
    assert number > 10


async def test_what_is_acknowledged_outlives_a_power_loss(application: Make, disk: Disk) -> None:
    """The import, and what its key stands for."""
    made, left = application(), list[Path]()
    headers = {"Idempotency-Key": "k"}

    answer = await made.upload(
        CONTENT, headers=headers, force="true", answered=partial(lose_power, disk, left)
    )

    copy = application(left[0])
    assert [folder.name for folder in folders(copy)] == [answer.headers["location"].split("/")[-2]]
    await check_once(copy, CONTENT, "k")
    assert len(folders(copy)) == 1


async def test_a_power_loss_at_every_point(application: Make, threads: Threads, disk: Disk) -> None:
    """The same request again makes the import, or finds it."""
    made = application()
    for number in count(1):
        content, left = CONTENT + b"%d" % number, list[Path]()
        key = f"{number}"
        sent = made.upload(content, headers={"Idempotency-Key": key}, force="true")
        if not await at_wait(number, sent, partial(lose_power, disk, left)):
            break
        await check_once(application(left[0]), content, key)
    assert number > 10


async def test_parts_are_bounded(application: Make) -> None:
    """Also those that are empty, or have one name."""
    made = application()
    fields: dict[str, Any] = {f"field{number}": "" for number in range(40)}
    assert (await made.upload(CONTENT, **fields)).status == 413
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    media = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await made.ask("POST", "/api/imports/upload/", media, [part * 40 + b"--x--\r\n"])
    assert answer.status == 413
    assert list((made.spool.folder / "incoming").iterdir()) == []


@pytest.mark.parametrize(("blocks", "status"), [(1, 202), (100, 400)])
async def test_what_follows_a_form_is_bounded(application: Make, blocks: int, status: int) -> None:
    """RFC 2046 allows an epilogue; one without end is refused."""
    part = b'--x\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n'
    form = part % (b'import_type"', b"ENTREPRISE") + part % (b'file"; filename="a.csv"', CONTENT)
    media = {"Content-Type": "multipart/form-data; boundary=x"}
    body = [form + b"--x--\r\n", *[b"a" * 1000] * blocks]

    answer = await application().ask("POST", "/api/imports/upload/", media, body)

    assert answer.status == status, answer.body


def test_an_upload_goes_to_the_disk_as_it_comes(
    application: Make, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that its end has little left to wait for."""
    monkeypatch.setattr(spool, "_SYNC_BYTES", 20)
    received = application().spool.receive()
    received.open()
    for at in range(0, len(CONTENT), 10):
        received.write(CONTENT[at : at + 10])
        assert disk.size(received.path) >= at - 20
    received.close()


async def test_a_disk_that_fails_at_every_sync(
    application: Make, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a full one does: the same request again makes the import, or finds it."""
    made = application()
    for number in count(1):
        content = CONTENT + b"%d" % number
        sent = made.upload(content, headers={"Idempotency-Key": f"{number}"}, force="true")
        with failing_sync(disk, monkeypatch, number) as failed, suppress(OSError):
            await sent
        if not failed:
            break
        await check_once(made, content, f"{number}")
        assert len(folders(made)) == number
    assert number > 7
