"""Follows an import to its end and shows how it goes."""

from time import monotonic

from producers.imports.connections import Connections
from producers.imports.order import Reading
from producers.kafka.broker import UnreachableError
from producers.kafka.worker_groups import absent_workers
from producers.settings import settings
from producers.terminal.screen import Screen, beside_lines, reading_line, writing_line
from schemas.outcomes import TERMINAL
from schemas.records import ImportState

_KAFKA_AWAY = "Kafka ne répond plus : l'import attend son retour."
_WAITING = " ; la suite attend que les workers aient écrit"
_PAUSED = " ; l'import est suspendu : foxstream resume "
_STALL_SECONDS = 5.0
_WORKER_SECONDS = 2.0
_WORKER_AGAIN_SECONDS = 15.0


class ReadingView:
    """What is shown while a file is read and published."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.connections: Connections | None = None
        self.reading: Reading | None = None
        self._begun = self._moved_at = monotonic()
        self._acknowledged = 0
        self._paused = False

    def watch(self, reading: Reading) -> None:
        """A step of `producers.imports.publication.publish_file`."""
        if self.reading is None and reading.resumed:
            self.screen.say(f"Cet import était commencé : il reprend ({reading.import_id}).")
        if self.reading is None:
            for line in beside_lines(vars(reading.beside)):
                self.screen.say(line)
        self.reading = reading
        if reading.paused and not self._paused:
            self.screen.say(f"L'import est suspendu : foxstream resume {reading.import_id}")
        self._paused = reading.paused
        self.show()

    def show(self) -> None:
        """To be called now and then, above all while Kafka is waited for."""
        if self.reading is None or self.connections is None:
            return
        now = monotonic()
        read = self.reading.file_rows
        acknowledged = max(0, read - self.connections.publisher.outstanding)
        if acknowledged > self._acknowledged:
            self._acknowledged, self._moved_at = acknowledged, now
        if self.reading.waiting:
            self._moved_at = now
            why = f"{_PAUSED}{self.reading.import_id}" if self.reading.paused else _WAITING
            self.screen.line(f"{reading_line(read, acknowledged, now - self._begun)}{why}")
        elif now - self._moved_at > _STALL_SECONDS:
            self.screen.line(_KAFKA_AWAY)
        else:
            self.screen.line(reading_line(read, acknowledged, now - self._begun))


def follow(connections: Connections, import_id: str, screen: Screen) -> ImportState:
    """Waits, as long as it takes, until the import is finished. Returns its last state."""
    workers = _WorkerWatch(screen)
    while True:
        state = connections.log.follow(import_id, 0.2)
        if state is not None:
            if state["status"] in TERMINAL:
                return state
            screen.line(writing_line(state))
        workers.look(state["version"] if state else 0)


class _WorkerWatch:
    """Reports, once, that no worker runs if an import does not move."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._version = 0
        self._look_at = monotonic() + _WORKER_SECONDS
        self._said = False

    def look(self, version: int) -> None:
        if version != self._version:
            self._version = version
            self._look_at = monotonic() + _WORKER_SECONDS
        if self._said or monotonic() < self._look_at:
            return
        self._look_at = monotonic() + _WORKER_AGAIN_SECONDS
        try:
            absent = absent_workers(settings())
        except UnreachableError:
            self._screen.line(_KAFKA_AWAY)
            return
        if absent:
            self._said = True
            self._screen.say(
                "Aucun worker ne tourne : l'import attend. Lancez « foxstream-worker run »."
            )
