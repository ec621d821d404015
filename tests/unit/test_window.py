"""How far publishing runs ahead, by what the writers and the import log have told so far."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from producers.imports import window as module
from producers.imports.window import WINDOW_ROWS, Window
from producers.kafka.import_log import ImportLog
from producers.kafka.import_state import new_state
from producers.kafka.progress_log import ProgressLog
from schemas.records import ImportState


@dataclass
class Progress:
    """What the writers tell, a figure at each look; the last one again and again.

    `cancelled_at`: at which look, from 1, a cancel is heard of.
    """

    told: list[int] = field(default_factory=lambda: [0])
    cancelled: bool = False
    paused: bool | None = None
    cancelled_at: int | None = None
    looks: int = 0

    def accounted(self, timeout_seconds: float) -> int:
        self.looks += 1
        self.cancelled |= self.looks == self.cancelled_at
        return self.told.pop(0) if len(self.told) > 1 else self.told[0]


@dataclass
class Log:
    """The import log, whose newest state is `state`."""

    state: ImportState | None = None

    def follow(self, import_id: str, timeout_seconds: float) -> ImportState | None:
        return self.state


@pytest.fixture(autouse=True)
def _at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is asked at every look."""
    monkeypatch.setattr(module, "_LOG_SECONDS", -1.0)


def state(version: int = 7, success: int = 0, **more: Any) -> ImportState:
    return new_state(**{"id": "i", "version": version, "success_rows": success, **more})


def window(progress: Progress, log: Log | None = None, begun: ImportState | None = None) -> Window:
    return Window(
        cast(ProgressLog, progress), cast(ImportLog, log or Log()), begun or state(), follows=True
    )


def looks(found: Window, published: int, most: int = 50) -> int:
    """How often it says that it is full, up to `most` times."""
    return sum(1 for _ in zip(range(most), found.full(published), strict=False))


@pytest.mark.parametrize(("written", "full"), [(1, False), (0, True)])
def test_full(written: int, full: bool) -> None:
    """WINDOW_ROWS rows may wait, and not one more."""
    assert bool(looks(window(Progress([written])), WINDOW_ROWS + 1)) is full


def test_it_goes_on_when_rows_are_written() -> None:
    assert looks(window(Progress([0, 0, 0, 5])), WINDOW_ROWS + 5) == 2


def test_what_was_written_stays_written() -> None:
    """Of a resumed import the writers tell less than its state knows: nobody waits for them to
    tell it again. The log may know more than they."""
    begun = state(success=10)
    assert looks(window(Progress([0]), begun=begun), WINDOW_ROWS + 10) == 0
    assert looks(window(Progress([0]), Log(state(8, success=10))), WINDOW_ROWS + 10) == 0
    assert looks(window(Progress([0, 10]), Log(state(8, success=0))), WINDOW_ROWS + 10) == 0
    assert looks(window(Progress([10, 0])), WINDOW_ROWS + 10) == 0


def test_an_older_state_of_the_log() -> None:
    """What the import began with is not news."""
    older = state(7, success=10, status="PAUSED")

    found = window(Progress([0]), Log(older))

    assert looks(found, WINDOW_ROWS + 10) == 50
    assert not found.paused


def test_a_pause() -> None:
    """Nothing is published, however little waits, until somebody resumes or cancels it."""
    progress = Progress(paused=True)
    found = window(progress)
    assert looks(found, 1) == 50

    progress.paused = False
    assert looks(found, 1) == 0
    progress.paused, progress.cancelled = True, True
    assert looks(found, WINDOW_ROWS * 2) == 0
    assert not found.paused


def test_an_import_that_was_paused_before() -> None:
    """It stays so until somebody resumes it, which the writers' topic tells or the log."""
    begun = state(status="PAUSED")
    assert looks(window(Progress(), begun=begun), 1) == 50
    assert looks(window(Progress(paused=False), begun=begun), 1) == 0
    assert looks(window(Progress(), Log(state(8, status="PROCESSING")), begun), 1) == 0


@pytest.mark.parametrize("more", [{"status": "CANCELLED"}, {"waiting_for": "cancel"}])
def test_a_cancel_that_only_the_log_knows(more: dict[str, Any]) -> None:
    """It was asked for before the writers' topic was listened to."""
    found = window(Progress(), Log(state(8, **more)))

    assert looks(found, WINDOW_ROWS * 2) == 0
    assert found.cancelled


def test_a_cancel_is_not_taken_back() -> None:
    """The log, which is behind, does not know of it yet."""
    found = window(Progress(cancelled_at=2), Log(state(8)))

    assert looks(found, WINDOW_ROWS * 2) == 0
    assert found.cancelled
