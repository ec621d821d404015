"""Files and folders that only their owner may read, whatever the umask: 0600 and 0700."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

_FILE, _FOLDER = 0o600, 0o700


def opened(path: Path, mode: str) -> BinaryIO:
    """The open file; `mode` is binary."""
    return cast(BinaryIO, open(path, mode, opener=_private))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _FILE)


def touch(path: Path) -> None:
    """Makes the file unless it exists."""
    with opened(path, "ab"):
        pass


def write(path: Path, text: str) -> None:
    """Writes the file; it is on the disk when this returns."""
    with opened(path, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """With those above it; all of them are on the disk when this returns."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(_FOLDER, exist_ok=True)
        sync(path.parent)


def close_folder(path: Path) -> None:
    """Takes away what others may do with a folder that exists, unless it belongs to somebody else."""
    if stat.S_IMODE(path.stat().st_mode) & ~_FOLDER:
        with suppress(PermissionError):
            path.chmod(_FOLDER)


def sync(path: Path) -> None:
    """Brings a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
