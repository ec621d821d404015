"""How much memory all child processes hold together.

Each may take ADDRESS_SPACE, but a dozen of them may not: the container would be ended with the
gateway in it. If they hold too much, the largest is ended, to be begun again later. One by itself
never is: its own limit is lower.
"""

import resource
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_BYTES = 5 << 28
"""Of all children, 1.25 GiB: the rest of the container's 2 GiB (deploy/kubernetes/base/gateway.yaml) is
for the gateway itself and what the kernel holds for it."""

_SECONDS = 0.1


class ChildrenMemory:
    """Watches children while there are any. Safe for use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: dict[Any, int] = {}
        self._ended: set[Any] = set()

    def add(self, process: Any) -> None:
        """A child that has just started; what it holds now is its parent's."""
        with self._lock:
            self._before[process] = _resident(process)
            if len(self._before) == 1:
                threading.Thread(target=self._watch, daemon=True).start()

    def remove(self, process: Any) -> bool:
        """Whether the child was ended because all held too much."""
        with self._lock:
            self._before.pop(process, None)
            found = process in self._ended
            self._ended.discard(process)
            return found

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(_SECONDS):
            with self._lock:
                if not self._before:
                    return
                held = {each: _resident(each) - then for each, then in self._before.items()}
                if len(held) > 1 and sum(held.values()) > MOST_BYTES:
                    largest = max(held, key=held.__getitem__)
                    self._ended.add(largest)
                    largest.kill()


def _resident(process: Any) -> int:
    with suppress(OSError, IndexError, ValueError):  # it is gone, or there is no /proc
        statm = Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * resource.getpagesize()
    return 0


MEMORY = ChildrenMemory()
"""Of all children of this process, whatever they do."""
