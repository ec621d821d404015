"""Rows of one import that are written, and whether it is cancelled or paused."""

from confluent_kafka import Message

from producers.kafka.log_reader import LogReader
from producers.settings import Settings
from schemas.codec.framing import NAMESPACE, DecodeError, Decoder, SchemaSource
from schemas.topics import IMPORT_EVENTS


class ProgressLog(LogReader):
    """How many rows of one import have an outcome, as the row writers tell it after each commit.

    Sooner than the import log, which the tracker writes once a second, but only a hint: what a
    writer that died had still to tell is told with its successor's next commit. `cancelled` and
    `paused` are what was asked for since the start; None: nothing.
    """

    def __init__(self, settings: Settings, schemas: SchemaSource, import_id: str) -> None:
        super().__init__(settings, IMPORT_EVENTS)
        self._decoder = Decoder("import_event", schemas)
        self._import_id = import_id
        self._accounted: dict[tuple[str, int], int] = {}
        self.cancelled = False
        self.paused: bool | None = None

    def start_now(self, timeout_seconds: float) -> None:
        """Reads from the end of the topic on. Raises UnreachableError and NotReadyError."""
        self.start(timeout_seconds=timeout_seconds, key=self._import_id, from_now=True)

    def accounted(self, timeout_seconds: float) -> int:
        """Rows that have an outcome, of the partitions heard of. Waits for news until the time-out."""
        message = self.poll(timeout_seconds)
        while message is not None:
            if message.key() == self._import_id.encode():
                self._take(message)
            message = self.poll(0)
        return sum(self._accounted.values())

    def _take(self, message: Message) -> None:
        try:
            name, event = self._decoder.decode(message.value())["event"]
        except DecodeError:
            return  # the tracker rejects it
        match name.removeprefix(f"{NAMESPACE}."):
            case "Progress":
                self._accounted[event["topic"], event["partition"]] = event["accounted"]
            case "Cancel":
                self.cancelled = True
            case "Pause" | "Resume" as asked:
                self.paused = asked == "Pause"
