"""Uploaded files on disk, and which of them are not published yet.

    incoming/ID.part       being received; its receiver holds a lock on it
    imports/ID/            the file, job.json (a SpooledFile), lock, which its publisher holds, and
                           tries: how many processes began to publish it and did not end
    pending/ID             while the import's file is not published
    large/ID/              a resumable upload: data and info.json
    keys/HASH.json         what an Idempotency-Key was used for

A folder in imports/ appears at once and whole, by a rename; what a dead process leaves elsewhere
is known by a lock that no process holds. Several gateways can share a spool whose file system has
flock and atomic renames. Files are the gateway's alone (0600, folders 0700), whatever the umask.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any, BinaryIO
from uuid import uuid4

from producers.gateway.spool.private_files import (
    close_folder,
    make_folder,
    opened,
    sync,
    touch,
    write,
)
from schemas.values.stored import is_uuid

_SYNC_BYTES = 2 << 20
_ORPHAN_SECONDS = 3600.0
_JUST_SECONDS = 60.0
_KEY_SECONDS = 86_400.0


@dataclass(frozen=True)
class SpooledFile:
    """A file and how to publish it. `options` are producers.reading.Options by name, `remembered` says
    whose mapping they are, `data` names the file in its folder.

    `max_rows` is None for a resumable upload, which has no limit and is published in a slot of its own.
    """

    id: str
    import_type: str
    file_name: str
    sha256: str
    size: int
    uploaded_by: str
    created_at: str
    data: str = "data"
    options: dict[str, Any] = field(default_factory=dict)
    policy: str = "merge"
    generate_ai_content: bool = False
    max_rows: int | None = None
    remembered: dict[str, Any] | None = None
    overwrite_confirmed: bool = False

    @property
    def when(self) -> datetime:
        """When it was uploaded, UTC."""
        return datetime.fromisoformat(self.created_at)


class TakenError(Exception):
    """The spool holds this import already."""


class Receiver:
    """A file that is being received. All but `__init__` blocks: call it off the event loop.

    What is written goes to the disk as it comes, so that the end has little left to wait for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = ExitStack()
        self._hash = hashlib.sha256()
        self._unsynced = 0
        self.size = 0

    def open(self) -> None:
        """Makes the file."""
        self._file = self._open.enter_context(opened(self.path, "xb"))
        fcntl.flock(self._file, fcntl.LOCK_EX)  # at most for a moment a cleaning process has it

    def write(self, data: bytes) -> None:
        """Raises OSError, for example if the disk is full."""
        self._hash.update(data)
        self._file.write(data)
        self.size += len(data)
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_BYTES:
            self._sync()

    def finish(self) -> str:
        """The SHA-256 of the file, which can be read now."""
        self._file.flush()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Gives up what was not moved away."""
        self.path.unlink(missing_ok=True)
        self._open.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._unsynced = 0


class Spool:
    """One folder; created if it is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._incoming = self.folder / "incoming"
        self._imports = self.folder / "imports"
        self._pending = self.folder / "pending"
        self.large = self.folder / "large"
        self._keys = self.folder / "keys"
        for needed in (self._incoming, self._imports, self._pending, self.large, self._keys):
            make_folder(needed)
        close_folder(self.folder)

    def receive(self) -> Receiver:
        """For a new file."""
        return Receiver(self._incoming / f"{uuid4()}.part")

    def scratch(self, suffix: str) -> Path:
        """An empty file that the caller removes; an orphan is removed after an hour."""
        path = self._incoming / f"{uuid4()}{suffix}"
        touch(path)
        return path

    def accept(self, spooled: SpooledFile, data: Path) -> None:
        """Makes a received file an import that is published whatever happens. Raises TakenError.

        When this returns, all of it is on the disk. If it raises, nothing is lost: the file is where
        it was, or the import has it.
        """
        folder = self._imports / f".{uuid4()}"
        folder.mkdir(0o700)
        moved = folder / spooled.data
        try:
            sync(data)
            write(folder / "job.json", json.dumps(asdict(spooled), ensure_ascii=False))
            # Before the import: one without its mark would never be published.
            touch(self._pending / spooled.id)
            sync(self._pending)
            data.rename(moved)
            sync(folder)
            folder.rename(self.import_folder(spooled.id))
            sync(self._imports)
        except OSError as error:
            with suppress(FileNotFoundError):
                moved.rename(data)
            shutil.rmtree(folder, ignore_errors=True)
            if self.import_folder(spooled.id).exists():
                raise TakenError(spooled.id) from error
            raise

    def import_folder(self, import_id: str) -> Path:
        """Where an import's file is, or would be."""
        return self._imports / import_id

    def find(self, import_id: str) -> SpooledFile | None:
        """None if this spool does not hold the import."""
        if not is_uuid(import_id):
            return None
        try:
            text = (self.import_folder(import_id) / "job.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        stored = json.loads(text)  # by another version, which may know more fields
        names = stored.keys() & {known.name for known in fields(SpooledFile)}
        return SpooledFile(**{name: stored[name] for name in names})

    def data(self, spooled: SpooledFile) -> Path:
        """The uploaded file."""
        return self.import_folder(spooled.id) / spooled.data

    def pending(self) -> list[str]:
        """Imports that are to be published, the oldest first."""
        marks = []
        for mark in self._pending.iterdir():
            with suppress(FileNotFoundError):
                marks.append((mark.stat().st_mtime_ns, mark.name))
        return [name for _, name in sorted(marks) if (self._imports / name).is_dir()]

    def is_pending(self, import_id: str) -> bool:
        """Whether the import is still to be published."""
        return (self._pending / import_id).exists()

    def published(self, import_id: str) -> None:
        """The import needs nothing more. Its file stays for a while."""
        (self._pending / import_id).unlink(missing_ok=True)
        sync(self._pending)
        self._tries(import_id).unlink(missing_ok=True)

    def tries(self, import_id: str) -> int:
        """How many processes began to publish the import and died, whatever gateway they were of."""
        with suppress(FileNotFoundError):
            return self._tries(import_id).stat().st_size
        return 0

    def begin_try(self, import_id: str) -> None:
        """Counts one more; it is on the disk when this returns. Its publisher holds the lease."""
        write(self._tries(import_id), "x" * (self.tries(import_id) + 1))

    def take_back_try(self, import_id: str) -> None:
        """The last one did not end because of its file."""
        with suppress(FileNotFoundError):
            os.truncate(self._tries(import_id), max(self.tries(import_id) - 1, 0))

    def _tries(self, import_id: str) -> Path:
        return self.import_folder(import_id) / "tries"

    def lease(self, import_id: str) -> AbstractContextManager[bool]:
        """As `alone`; False: another process publishes the import."""
        return alone(self.import_folder(import_id))

    def begin_upload(self, upload_id: str, info: Mapping[str, Any]) -> None:
        """Makes the folder of a resumable upload; it is on the disk when this returns."""
        folder = self.large / upload_id
        folder.mkdir(0o700)
        touch(folder / "data")
        write_info(folder, info)
        sync(self.large)

    def key_file(self, account: str, key: str) -> Path:
        """Where an account's Idempotency-Key is remembered."""
        return self._keys / hashlib.sha256(f"{account}\0{key}".encode()).hexdigest()

    def published_imports(self) -> list[str]:
        """Imports whose file is published, and kept."""
        names = [folder.name for folder in self._imports.iterdir()]
        return [name for name in names if name[0] != "." and not self.is_pending(name)]

    def clean(
        self, file_days: float, succeeded: Container[str] = (), now: float | None = None
    ) -> int:
        """Removes files that are published and older or `succeeded`, orphans, and keys of yesterday; how many."""
        now = time() if now is None else now
        removable = self._removable(file_days * 86_400, succeeded)
        return sum(_remove(path, now - age) for path, age in removable)

    def _removable(
        self, file_seconds: float, succeeded: Container[str]
    ) -> Iterator[tuple[Path, float]]:
        """What may go, and from which age on, in seconds."""
        for folder in self._imports.glob(".*"):
            yield folder, _ORPHAN_SECONDS
        for name in self.published_imports():
            age = _JUST_SECONDS if name in succeeded else file_seconds
            yield self.import_folder(name), age
        for mark in self._pending.iterdir():
            if not (self._imports / mark.name).exists():
                yield mark, _ORPHAN_SECONDS
        for part in self._incoming.iterdir():
            received = part.suffix == ".part"
            if not (received and _is_held(part)):
                yield part, _JUST_SECONDS if received else _ORPHAN_SECONDS
        yield from self._removable_uploads()
        yield from ((key, _KEY_SECONDS) for key in self._keys.iterdir())

    def _removable_uploads(self) -> Iterator[tuple[Path, float]]:
        for upload in self.large.iterdir():
            ends_at = _ends_at(upload)
            if ends_at is None:
                yield upload, _ORPHAN_SECONDS
            elif ends_at < datetime.now(UTC) and not _is_held(upload / "lock"):
                yield upload, 0.0

    def room(self) -> tuple[int, int]:
        """Bytes that are free on its disk, and the size of it. Raises OSError."""
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    def try_out(self) -> None:
        """Raises OSError if no file can be written, or none marked for publication."""
        self._pending.stat()
        trial = self.scratch(".trial")
        try:
            write(trial, "x")
        finally:
            trial.unlink(missing_ok=True)

    def secret(self) -> bytes:
        """Random bytes that all gateways of this spool share; made if there are none."""
        descriptor = os.open(self.folder / "secret", os.O_CREAT | os.O_RDWR, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            secret = file.read()
            # An empty one is of a gateway that died here.
            if not secret:
                secret = os.urandom(32)
                file.write(secret)
            return secret


class Key:
    """An Idempotency-Key in use: `known` is what it was used for before, None the first time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.known: dict[str, Any] | None = None
        with suppress(ValueError):  # nothing, or what a power loss left of it
            self.known = json.loads(file.read())

    def remember(self, what: dict[str, Any]) -> None:
        """Writes what this key stands for; it is on the disk when this returns."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(what).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        sync(Path(self._file.name).parent)


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Holds the folder's lock for the block, or gives False: another process has it."""
    with opened(folder / "lock", "ab") as lock:
        yield _locked(lock.fileno())


def write_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Says what a resumable upload is to become; it is on the disk when this returns."""
    new = folder / "info.new"
    write(new, json.dumps(info))
    new.rename(folder / "info.json")
    sync(folder)


@contextmanager
def key(path: Path) -> Iterator[Key | None]:
    """The key for the block; None while another request with it is not answered."""
    with opened(path, "a+b") as file:
        # Without a name it was given up just now, by another gateway.
        if not _locked(file.fileno()) or not os.fstat(file.fileno()).st_nlink:
            yield None
            return
        file.seek(0)
        found = Key(file)
        yield found
        if found.known is None and not os.fstat(file.fileno()).st_size:
            path.unlink(missing_ok=True)


def new_upload_time() -> str:
    """Now, as SpooledFile.created_at."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _ends_at(upload: Path) -> datetime | None:
    """None if the upload was never begun, or its info is damaged."""
    try:
        info = json.loads((upload / "info.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return datetime.fromisoformat(info["ends_at"])


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return not _locked(file.fileno())
    except FileNotFoundError:
        return False


def _remove(path: Path, before: float) -> bool:
    """Removes what is older; whether it did."""
    with suppress(FileNotFoundError):
        if path.stat().st_mtime >= before:
            return False
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
        return True
    return False
