"""The most memory that a process and its children hold together."""

from contextlib import suppress
from threading import Event, Thread
from typing import Self

import psutil  # type: ignore[import-untyped]  # it ships no types

_SECONDS = 0.25


class PeakMemory(Thread):
    """Looks at processes from its entry to its exit: `mb` by their numbers."""

    def __init__(self, *pids: int) -> None:
        super().__init__(daemon=True)
        self._stopping = Event()
        self.mb = dict.fromkeys(pids, 0.0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.wait(_SECONDS):
            for pid in self.mb:
                self.mb[pid] = max(self.mb[pid], _family_mb(pid))


def _family_mb(pid: int) -> float:
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        own = float(root.memory_info().rss) / 1e6
        return own + sum(map(_private_mb, root.children(recursive=True)))
    return 0.0


def _private_mb(process: psutil.Process) -> float:
    """Memory that a child shares with others counts once, as in a container."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        found = process.memory_info()
        return float(found.rss - found.shared) / 1e6
    return 0.0
