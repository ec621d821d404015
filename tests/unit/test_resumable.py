"""Resumable uploads, in this process: whatever ends a request, the file is the one that was sent."""

import asyncio
import hashlib
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from producers.gateway.spool.spool import alone
from producers.gateway.uploads import file_type
from producers.gateway.uploads import pieces as module
from tests.fix_application import TUS, Application, Threads, at_wait, cancel
from tests.fix_disk import Disk, failing_sync, lose_power

Make = Callable[..., Application]

BLOCK = 8


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch, disk: Disk) -> None:
    """A few bytes are many blocks, and no sync waits for a real disk."""
    monkeypatch.setattr(module, "_BLOCK", BLOCK)


def content_of(number: int) -> bytes:
    """No two blocks of it are alike, and it is not a multiple of them."""
    return b"".join(b"%03d;%04d;" % (number, line) for line in range(5))


def pieces(content: bytes) -> list[bytes]:
    """As a network cuts them."""
    return [content[at : at + 5] for at in range(0, len(content), 5)]


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check_imported(made: Application, location: str, content: bytes) -> None:
    """The import's file is what was sent, its SHA-256 too, and it will be published."""
    spooled = made.spool.find(location.split("/")[-2])
    assert spooled is not None
    assert made.spool.data(spooled).read_bytes() == content
    assert (spooled.sha256, spooled.size) == (sha256_of(content), len(content))
    assert spooled.id in made.spool.pending()


async def resume(made: Application, where: str, content: bytes, least: int = 0) -> None:
    """Goes on where HEAD says, as clients do, to the import. `least` was acknowledged before."""
    head = await made.ask("HEAD", where, TUS)
    offset = int(head.headers["upload-offset"])
    assert offset >= least
    location = head.headers.get("location")
    if offset < len(content):
        answer = await made.send(where, offset, pieces(content[offset:]))
        assert answer.status == 204, answer.body
        location = answer.headers["location"]
    assert location is not None, "a client that is told that all is here sends nothing more"
    check_imported(made, location, content)


@pytest.mark.parametrize("again", [False, True], ids=["once", "again"])
async def test_a_piece_cancelled_at_every_point(
    application: Make, threads: Threads, again: bool
) -> None:
    """A server that ends cancels its requests, also while a thread writes: no byte twice, none less."""
    made = application()
    for number in count(1):
        content = content_of(number)
        where = await made.begin(len(content))
        sent = made.send(where, 0, pieces(content))
        if not await at_wait(number, sent, cancel, again=again):
            break
        await resume(made, where, content)
    assert number > 15


async def test_a_piece_killed_at_every_point(
    application: Make, threads: Threads, tmp_path: Path
) -> None:
    """As kill -9 leaves it. An upload is never told as complete that no import follows from."""
    for number in count(1):
        made, copy = application(tmp_path / f"{number}"), tmp_path / f"{number}-killed"
        content = content_of(0)
        where = await made.begin(len(content))
        sent = made.send(where, 0, pieces(content))
        if not await at_wait(number, sent, partial(shutil.copytree, made.spool.folder, copy)):
            break
        await resume(application(copy), where, content)
    assert number > 15


async def test_what_is_acknowledged_outlives_a_power_loss(application: Make, disk: Disk) -> None:
    """The upload, the offset of each piece, what HEAD tells, and the import."""
    made, content = application(), content_of(0)
    half = len(content) // 2
    left: list[Path] = []
    answered = partial(lose_power, disk, left)

    created = await made.create(len(content), answered)
    where = created.headers["location"]
    await resume(application(left.pop()), where, content)

    await made.send(where, 0, pieces(content[:half]), answered=answered)
    await resume(application(left.pop()), where, content, half)

    # A process that is killed leaves bytes that were not synced.
    with next(made.spool.large.glob("*/data")).open("ab") as data:
        data.write(content[half : half + 3])
    assert (await made.ask("HEAD", where, TUS, answered=answered)).status == 200
    await resume(application(left.pop()), where, content, half + 3)

    last = await made.send(where, half + 3, [content[half + 3 :]], answered=answered)
    copy = application(left.pop())
    check_imported(copy, last.headers["location"], content)
    await resume(copy, where, content, len(content))


async def test_a_power_loss_at_every_point(application: Make, threads: Threads, disk: Disk) -> None:
    """Of a piece that is the last: the file is whole, or it is gone on with."""
    made = application()
    for number in count(1):
        content, left = content_of(number), list[Path]()
        where = await made.begin(len(content))
        sent = made.send(where, 0, pieces(content))
        if not await at_wait(number, sent, partial(lose_power, disk, left)):
            break
        await resume(application(left[0]), where, content)
    assert number > 15


async def test_a_piece_goes_to_the_disk_as_it_comes(application: Make, disk: Disk) -> None:
    """So that its end has little left to wait for."""
    made, content = application(), content_of(0)
    where = await made.begin(len(content) + 1)
    data = next(made.spool.large.glob("*/data"))
    safe = []

    def blocks() -> Iterator[bytes]:
        for block in pieces(content):
            yield block
            safe.append(disk.size(data))

    await made.send(where, 0, blocks())

    assert safe[-1] >= len(content) - 3 * BLOCK


async def test_bytes_beyond_the_length_are_not_kept(application: Make) -> None:
    """Neither those that were written already nor those that wait to be."""
    made, content = application(), content_of(0)
    where = await made.begin(len(content))
    first = content[:10]
    await made.send(where, 0, [first])

    for beyond in ([b"x" * len(content)], [b"x" * 20, b"x" * len(content)], [b"x" * 7, content]):
        answer = await made.send(where, len(first), beyond)
        assert answer.status == 413
        assert await made.offset(where) == len(first)

    await resume(made, where, content)


@pytest.mark.parametrize("name", sorted(f"a{extension}" for extension in file_type.EXTENSIONS))
async def test_each_format_may_be_resumed(application: Make, name: str) -> None:
    """The name is known at the start, the content only at the end: then it must fit the name."""
    made, content = application(), content_of(0)
    created = await made.create(len(content), name=name)
    assert created.status == 201, created.body

    answer = await made.send(created.headers["location"], 0, [content])

    assert answer.status == (
        415 if name.endswith((".gz", ".zip", ".ods", ".xls", ".xlsx", ".bz2", ".zst")) else 204
    )


def checksum(piece: bytes) -> str:
    return f"sha256 {b64encode(hashlib.sha256(piece).digest()).decode()}"


async def test_a_piece_with_a_checksum_is_kept_whole_or_not(application: Make) -> None:
    """Neither a damaged one, nor one that goes beyond the length."""
    made, content = application(), content_of(0)
    where = await made.begin(len(content))
    piece = content[:20]

    for blocks, told, status in (
        ([b"x", piece[1:]], piece, 460),
        ([piece], piece[:-1], 460),
        ([content, b"x"], content + b"x", 413),
    ):
        answer = await made.send(where, 0, blocks, Upload_Checksum=checksum(told))
        assert (answer.status, await made.offset(where)) == (status, 0)
    kept = await made.send(where, 0, pieces(piece), Upload_Checksum=checksum(piece))
    assert (kept.status, await made.offset(where)) == (204, 20)

    await resume(made, where, content)


async def test_a_piece_that_was_not_checked_does_not_count(application: Make) -> None:
    """The gateway died while it came, or it is still on its way."""
    made, content = application(), content_of(0)
    where = await made.begin(len(content))
    await made.send(where, 0, [content[:20]])
    folder = made.spool.large / where.rpartition("/")[2]

    def look(offsets: list[str]) -> Iterator[bytes]:
        yield content[20:25]
        offsets.append((folder / "unchecked").read_text())
        yield b"damaged"

    during: list[str] = []
    damaged = await made.send(where, 20, look(during), Upload_Checksum=checksum(content[20:32]))
    assert (damaged.status, during, await made.offset(where)) == (460, ["20"], 20)
    (folder / "unchecked").write_text("20")
    (folder / "data").write_bytes(content[:20] + b"damaged")

    assert await made.offset(where) == 20
    await resume(made, where, content)


async def test_a_piece_begins_where_the_upload_stands(application: Make) -> None:
    """Neither earlier, as one that is sent twice, nor later; an upload that is an import takes none."""
    made, content = application(), content_of(0)
    where = await made.begin(len(content))
    await made.send(where, 0, [content[:20]])

    for offset in (0, 19, 21, len(content)):
        assert (await made.send(where, offset, [b"x"])).status == 409
        assert await made.offset(where) == 20

    await resume(made, where, content)
    assert (await made.send(where, len(content) - 1, [b"x"])).status == 409
    again = await made.send(where, len(content), [])
    assert again.status == 204
    check_imported(made, again.headers["location"], content)


async def test_a_disk_that_fails_at_every_sync(
    application: Make, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a full one does while an upload becomes an import: nothing is lost, and it is gone on with."""
    made = application()
    for number in count(1):
        content = content_of(number)
        where = await made.begin(len(content))
        with failing_sync(disk, monkeypatch, number) as failed, suppress(OSError):
            await made.send(where, 0, pieces(content))
        if not failed:
            break
        await resume(made, where, content)
    assert number > 8


async def test_head_while_an_upload_becomes_an_import(application: Make) -> None:
    """Its data is on the way: that is said, and not that there is no such upload, unless all died."""
    made, content = application(), content_of(0)
    where = await made.begin(len(content))
    await made.send(where, 0, pieces(content[:-1]))
    folder = next(made.spool.large.iterdir())
    (folder / "data").rename(folder / "on its way")

    with alone(folder):
        assert (await made.ask("HEAD", where, TUS)).status == 423
    assert (await made.ask("HEAD", where, TUS)).status == 404


async def test_an_upload_that_is_given_up(application: Make) -> None:
    """Nothing of it is left, and a piece that is on its way goes before."""
    made = application()
    where = await made.begin(9)
    folder = next(made.spool.large.iterdir())

    with alone(folder):
        assert (await made.ask("DELETE", where, TUS)).status == 423
    assert (await made.ask("DELETE", where, TUS)).status == 204
    assert (await made.ask("HEAD", where, TUS)).status == 404
    assert (await made.send(where, 0, [b"x"])).status == 404
    assert list(made.spool.large.iterdir()) == []


async def test_one_piece_at_a_time(application: Make, threads: Threads) -> None:
    """A piece that its sender gave up and that still writes keeps the next one out, until it ends."""
    made, content = application(), content_of(0)
    where = await made.begin(len(content))
    first = asyncio.create_task(made.send(where, 0, pieces(content)))
    while await made.offset(where) == 0:
        pass

    offset = await made.offset(where)
    assert (await made.send(where, offset, [content[offset:]])).status == 423
    first.cancel()
    await asyncio.wait({first})

    await resume(made, where, content)
