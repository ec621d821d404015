"""Which stack runs in a directory, as other processes see it.

The running process holds a lock on the directory. What it wrote counts only while the lock is held,
so a file left by a dead process is never believed, whoever has its process id by now.
"""

import fcntl
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from deploy.local.errors import DirectoryInUseError

STATE = "state.json"
LOCK = "lock"
# A look at the lock holds it for an instant.
CLAIM_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Entry:
    """A server or a process of the stack; `url` is empty for a process that does not listen, `pid` None if it is not ours or down.

    `note` says when a process was started again, and why.
    """

    name: str
    url: str
    pid: int | None
    ours: bool
    note: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first server that the URL names."""
        parts = urlsplit(self.url if "://" in self.url else f"//{self.url.split(',')[0]}")
        return parts.hostname or "", parts.port or 0

    @property
    def shown(self) -> str:
        """The URL without its password."""
        parts = urlsplit(self.url)
        return self.url.replace(f":{parts.password}@", ":***@") if parts.password else self.url


@dataclass(frozen=True)
class State:
    """A running stack: `ready` once every server answered."""

    pid: int
    ready: bool
    entries: tuple[Entry, ...]
    environment: Mapping[str, str]


class Claim:
    """The right to run a stack in a directory; raises DirectoryInUseError."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / STATE
        self._lock = (directory / LOCK).open("a")
        try:
            self._take(self._lock)
        except BlockingIOError:
            self._lock.close()
            raise DirectoryInUseError(f"a stack is already running in {directory}") from None

    def write(self, state: State) -> None:
        """Replaces what other processes read, in one step."""
        scratch = self._path.with_suffix(".new")
        scratch.touch(mode=0o600)  # an address may hold a password
        scratch.write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
        scratch.replace(self._path)

    def release(self) -> None:
        """Gives the directory back; nothing is running in it."""
        self._path.unlink(missing_ok=True)
        self._lock.close()

    def _take(self, lock: IO[str]) -> None:
        deadline = time.monotonic() + CLAIM_TIMEOUT_S
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
            threading.Event().wait(0.05)


def read(directory: Path) -> State | None:
    """The stack that runs there now, None if there is none."""
    if not _claimed(directory):
        return None
    try:
        raw = json.loads((directory / STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    entries = tuple(Entry(**entry) for entry in raw["entries"])
    return State(raw["pid"], raw["ready"], entries, raw["environment"])


def _claimed(directory: Path) -> bool:
    try:
        lock = (directory / LOCK).open("a")
    except FileNotFoundError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
