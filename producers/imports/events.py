"""The events of imports, published."""

from datetime import UTC, datetime
from typing import Any

from producers.imports.connections import Connections
from producers.imports.order import Reading
from producers.kafka.import_state import State
from schemas.codec.framing import NAMESPACE
from schemas.topics import IMPORT_EVENTS


class Events:
    """What happens to imports, to their topic. Raises as Connections.encoder."""

    def __init__(self, connections: Connections) -> None:
        self._publisher = connections.publisher
        self._encoder = connections.encoder(IMPORT_EVENTS, "import_event")

    def submitted(self, state: State) -> None:
        """A file was accepted."""
        names = (
            "import_type",
            "file_name",
            "file_sha256",
            "uploaded_by",
            "generate_ai_content",
            "header",
            "options",
            "parent",
        )
        self._send(state["id"], "Submitted", {name: state[name] for name in names})

    def finished(self, reading: Reading) -> None:
        """Its rows are with Kafka, all that there will be."""
        if failure := reading.failure:
            why = {"code": failure.code, "message": failure.message}
            self._send(reading.import_id, "ReadingFailed", why)
        else:
            totals = {
                "total_rows": reading.file_rows,
                "warnings_by_code": dict(reading.warnings),
                "stopped_after": reading.stopped_after,
            }
            self._send(reading.import_id, "ReadingFinished", totals)

    def asked(self, import_id: str, what: str, by: str | None) -> None:
        """Somebody asks for "Cancel", "Pause" or "Resume"."""
        self._send(import_id, what, {"by": by})

    def _send(self, import_id: str, name: str, event: dict[str, Any]) -> None:
        record = {
            "import_id": import_id,
            "at": datetime.now(UTC),
            "event": (f"{NAMESPACE}.{name}", event),
        }
        self._publisher.publish(IMPORT_EVENTS.name, [(import_id, self._encoder.encode(record))])
