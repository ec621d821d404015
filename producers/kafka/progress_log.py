"""Rows of one import that are written, and whether it is cancelled or paused."""

from typing import cast

from confluent_kafka import Message

from producers.kafka.log_reader import LogReader
from producers.settings import Settings
from schemas.codec.framing import NAMESPACE, DecodeError, Decoder, SchemaSource
from schemas.records import ImportEvent, Progress
from schemas.topics import IMPORT_EVENTS


class ProgressLog(LogReader):
    """How many rows of one import have an outcome, as row writers publish it after each commit.

    It is earlier than the import log, which the tracker writes once a second, but only a hint: what
    a writer did not publish before it died is published with its successor's next commit.
    `cancelled` and `paused` are what was requested since the start; None if nothing was.
    """

    def __init__(self, settings: Settings, schemas: SchemaSource, import_id: str) -> None:
        super().__init__(settings, IMPORT_EVENTS)
        self._decoder = Decoder("import_event", schemas)
        self._import_id = import_id
        self._accounted: dict[tuple[str, int], int] = {}
        self.cancelled = False
        self.paused: bool | None = None

    def start_now(self) -> None:
        """Reads from the end of the topic on. Raises UnreachableError and NotReadyError."""
        self.start(key=self._import_id, from_now=True)

    def accounted(self, timeout_seconds: float) -> int:
        """Rows with an outcome in the partitions known so far. Waits for a change until the time-out."""
        message = self.poll(timeout_seconds)
        while message is not None:
            if message.key() == self._import_id.encode():
                self._take(message)
            message = self.poll(0)
        return sum(self._accounted.values())

    def _take(self, message: Message) -> None:
        try:
            record = cast("ImportEvent", self._decoder.decode(message.value()))
        except DecodeError:
            return  # the tracker rejects it
        name, event = record["event"]
        match name.removeprefix(f"{NAMESPACE}."):
            case "Progress":
                progress = cast("Progress", event)
                self._accounted[progress["topic"], progress["partition"]] = progress["accounted"]
            case "Cancel":
                self.cancelled = True
            case "Pause" | "Resume" as requested:
                self.paused = requested == "Pause"
