"""A disk that loses power: what is left of a folder is what was synced."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest


class _Entry(NamedTuple):
    inode: int
    is_folder: bool


class Disk:
    """Knows the files and folders below `root` as they were when they were last synced.

    It forgets more than any file system does: a file that was not synced is empty, and a folder
    holds what it held when it was.
    """

    def __init__(self, root: Path, new_folder: Callable[[], Path]) -> None:
        self._root = root
        self._new_folder = new_folder
        self._files: dict[int, bytes] = {}
        self._folders: dict[int, dict[str, _Entry]] = {}
        # Held open, so that no other file gets the same inode.
        self._held: list[int] = []

    def sync(self, descriptor: int) -> None:
        """In the place of os.fsync and os.fdatasync."""
        status = os.fstat(descriptor)
        path = f"/proc/self/fd/{descriptor}"
        self._held.append(os.open(path, os.O_RDONLY))
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(descriptor) as entries:
                self._folders[status.st_ino] = {
                    entry.name: _Entry(entry.inode(), entry.is_dir()) for entry in entries
                }
        else:
            self._files[status.st_ino] = Path(path).read_bytes()

    def size(self, path: Path) -> int:
        """How much of a file a power loss would leave."""
        return len(self._files.get(path.stat().st_ino, b""))

    def left(self) -> Path:
        """A copy of `root` as a power loss now would leave it."""
        folder = self._new_folder()
        self._copy(self._root.stat().st_ino, folder)
        return folder

    def _copy(self, inode: int, to: Path) -> None:
        for name, entry in self._folders.get(inode, {}).items():
            if entry.is_folder:
                (to / name).mkdir()
                self._copy(entry.inode, to / name)
            else:
                (to / name).write_bytes(self._files.get(entry.inode, b""))

    def close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)


def lose_power(disk: Disk, left: list[Path]) -> None:
    """Adds what is left of the folder `spool`."""
    left.append(disk.left() / "spool")


@pytest.fixture
def disk(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Disk]:
    """The disk of the test's folder."""
    made = Disk(tmp_path, lambda: tmp_path_factory.mktemp("left"))
    monkeypatch.setattr(os, "fsync", made.sync)
    monkeypatch.setattr(os, "fdatasync", made.sync)
    yield made
    made.close()


@contextmanager
def failing_sync(disk: Disk, monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[list[int]]:
    """The `number`-th sync of the block fails; it is added to the list."""
    syncs, failed = count(1), list[int]()

    def sync(descriptor: int) -> None:
        if next(syncs) == number:
            failed.append(number)
            raise OSError(errno.ENOSPC, "no space left")
        disk.sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        patch.setattr(os, "fdatasync", sync)
        yield failed
