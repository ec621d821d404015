"""How far publishing runs ahead of writing, and whether it goes on at all.

A large file leaves room for a small one behind it.

Rows of all imports share the row topics. Without a limit a file of millions of rows would stand
before whatever is uploaded after it, until the last of them is written.
"""

from collections.abc import Iterator
from time import monotonic
from typing import Self

from producers.kafka.import_log import ImportLog
from producers.kafka.import_state import accounted
from producers.kafka.progress_log import ProgressLog
from schemas.records import ImportState

WINDOW_ROWS = 50_000
"""Published rows that may wait to be written, of one import. Smaller imports never wait."""

SMALL_FILE_BYTES = 500_000
"""No file of this size holds WINDOW_ROWS rows: a row has ten bytes at the least."""

_LOG_SECONDS = 1.0


class Window:
    """The window of one import. It follows what the writers publish and, behind it, the import log.

    `follows`: whether the progress log is followed. A file that is published in a moment needs no
    window, and leaves no time to cancel or pause it.
    """

    def __init__(
        self, progress: ProgressLog, log: ImportLog, state: ImportState, *, follows: bool
    ) -> None:
        self._progress = progress
        self._log = log
        self._import_id: str = state["id"]
        self._version: int = state["version"]
        self._follows = follows
        # What a resumed import had written before: it is not published again.
        self._accounted = accounted(state)
        self._was_paused = state["status"] == "PAUSED"

    @property
    def cancelled(self) -> bool:
        """Whether no more rows are to be published."""
        return self._progress.cancelled

    @property
    def paused(self) -> bool:
        """Whether rows are to be published later."""
        paused = self._progress.paused
        return not self.cancelled and (self._was_paused if paused is None else paused)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.__exit__()

    def full(self, published: int) -> Iterator[None]:
        """Yields ten times a second while more than WINDOW_ROWS of the published rows are not written.

        It also yields while the import is paused, and never once it is cancelled. After a crash an
        import is published from its beginning: rows that were written before count as written, so
        they are published without a wait.
        """
        if not self._follows:
            return
        self._look(0.0)
        read_at = monotonic()
        while self._holds(published):
            self._look(0.1)
            if monotonic() - read_at > _LOG_SECONDS:
                read_at = monotonic()
                self._read_log()
            if self._holds(published):
                yield

    def _holds(self, published: int) -> bool:
        return self.paused or (not self.cancelled and published - self._accounted > WINDOW_ROWS)

    def _look(self, timeout_seconds: float) -> None:
        self._accounted = max(self._accounted, self._progress.accounted(timeout_seconds))

    def _read_log(self) -> None:
        state = self._log.follow(self._import_id, 0.0)
        if state is None or state["version"] <= self._version:
            return
        self._version = state["version"]
        self._accounted = max(self._accounted, accounted(state))
        # For what was requested before the progress log was started.
        self._was_paused = state["status"] == "PAUSED"
        self._progress.cancelled |= (
            state["waiting_for"] == "cancel" or state["status"] == "CANCELLED"
        )
