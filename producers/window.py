"""How far publishing runs ahead of writing: a large file leaves room for a small one behind it.

Rows of all imports share the row topics. Without a limit a file of millions of rows would stand
before whatever is uploaded after it, until the last of them is written.
"""

from collections.abc import Iterator
from time import monotonic
from typing import Self

from producers.states import ImportLog, ProgressLog

WINDOW_ROWS = 50_000
"""Published rows that may wait to be written, of one import. Smaller imports never wait."""

SMALL_FILE_BYTES = 500_000
"""No file of this size holds WINDOW_ROWS rows: a row has ten bytes at the least."""

_LOG_SECONDS = 1.0


class Window:
    """The window of one import. What the writers tell counts, and the import log behind it."""

    def __init__(self, progress: ProgressLog, log: ImportLog, import_id: str) -> None:
        self._progress = progress
        self._log = log
        self._import_id = import_id
        self._accounted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.__exit__()

    def full(self, published: int) -> Iterator[None]:
        """Yields ten times a second while more than WINDOW_ROWS of so many rows are not written.

        After a crash an import is published from its beginning: rows that were written before
        count as written, so they pass at once.
        """
        asked = monotonic()
        while published - self._accounted > WINDOW_ROWS:
            self._accounted = max(self._accounted, self._progress.accounted(0.1))
            if monotonic() - asked > _LOG_SECONDS:
                asked = monotonic()
                state = self._log.follow(self._import_id, 0.0)
                if state is not None:
                    written = state["success_rows"] + state["error_rows"]
                    self._accounted = max(self._accounted, written)
            if published - self._accounted > WINDOW_ROWS:
                yield
