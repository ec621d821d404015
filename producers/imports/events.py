"""The events of imports, published."""

from datetime import UTC, datetime

from producers.imports.connections import Connections
from producers.imports.order import Reading
from schemas.codec.framing import NAMESPACE
from schemas.outcomes import ACTIONS, ActionName
from schemas.records import (
    Cancel,
    GenerateAi,
    ImportEvent,
    ImportState,
    Pause,
    ReadingFailed,
    ReadingFinished,
    Resume,
    Submitted,
)
from schemas.topics import IMPORT_EVENTS

_Event = Submitted | ReadingFinished | ReadingFailed | Cancel | Pause | Resume | GenerateAi


class Events:
    """What happens to imports, to their topic. Raises as Connections.encoder."""

    def __init__(self, connections: Connections) -> None:
        self._publisher = connections.publisher
        self._encoder = connections.encoder(IMPORT_EVENTS, "import_event")

    def submitted(self, state: ImportState) -> None:
        """A file was accepted."""
        event: Submitted = {
            "import_type": state["import_type"],
            "file_name": state["file_name"],
            "file_sha256": state["file_sha256"],
            "uploaded_by": state["uploaded_by"],
            "generate_ai_content": state["generate_ai_content"],
            "header": state["header"],
            "options": state["options"],
            "parent": state["parent"],
        }
        self._send(state["id"], "Submitted", event)

    def finished(self, reading: Reading) -> None:
        """Its rows are with Kafka, all that there will be."""
        if failure := reading.failure:
            failed: ReadingFailed = {"code": failure.code, "message": failure.message}
            self._send(reading.import_id, "ReadingFailed", failed)
        else:
            finished: ReadingFinished = {
                "total_rows": reading.file_rows,
                "warnings_by_code": dict(reading.warnings),
                "skipped_rows": reading.skipped_rows,
                "stopped_after": reading.stopped_after,
                "left_out_rows": reading.beside.left_out_rows,
                "left_out": reading.beside.left_out,
                "other_sheets": reading.beside.other_sheets,
                "encoding_hint": reading.beside.encoding_hint,
            }
            self._send(reading.import_id, "ReadingFinished", finished)

    def requested(self, import_id: str, action: ActionName, by: str | None) -> None:
        """`by` requests an action that has an event of its own."""
        name = ACTIONS[action].event
        assert name is not None  # noqa: S101 - a retry is an import
        self._send(import_id, name, {"by": by})

    def _send(self, import_id: str, name: str, event: _Event) -> None:
        record: ImportEvent = {
            "import_id": import_id,
            "at": datetime.now(UTC),
            "event": (f"{NAMESPACE}.{name}", event),
        }
        self._publisher.publish(IMPORT_EVENTS.name, [(import_id, self._encoder.encode(record))])
