"""The states of imports, the newest of each."""

import logging
from collections.abc import Container
from time import monotonic
from typing import cast

from confluent_kafka import Message

from producers.kafka.log_reader import LogReader
from producers.settings import Settings
from schemas.codec.framing import DecodeError, Decoder, SchemaSource
from schemas.records import ImportState
from schemas.topics import IMPORT_LOG

_LOGGER = logging.getLogger(__name__)


class ImportLog(LogReader):
    """The states of imports. Of two states of one import the higher version holds."""

    def __init__(self, settings: Settings, schemas: SchemaSource, *, follows: bool = False) -> None:
        super().__init__(settings, IMPORT_LOG, follows=follows)
        self._decoder = Decoder("import_state", schemas)
        self._states: dict[str, ImportState] = {}

    def read(
        self, wanted: Container[str] | None = None, *, file_sha256: str | None = None
    ) -> dict[str, ImportState]:
        """The states now, by import id; if it is given, those of `wanted` and of that file alone."""
        for message in self.up_to_now():
            # A look at the bytes, so that not every state of everybody is decoded.
            of_file = file_sha256 is not None and file_sha256.encode() in (message.value() or b"")
            self._take(message, None if of_file else wanted)
        return self._states

    def follow(self, import_id: str, timeout_seconds: float) -> ImportState | None:
        """The newest state of one import, None while there is none.

        Returns as soon as there is a newer one, at the latest after the time-out. To be called
        after `read`.
        """
        until = monotonic() + timeout_seconds
        while True:
            message = self.poll(max(0.0, until - monotonic()))
            if message is not None and self._take(message, {import_id}):
                break
            if monotonic() >= until:
                break
        return self._states.get(import_id)

    def changed(self, timeout_seconds: float) -> dict[str, ImportState | None]:
        """States that are newer, None if an import was forgotten; waits for the first of them.

        To be called after `read`, by a reader that follows all imports.
        """
        changed: dict[str, ImportState | None] = {}
        message = self.poll(timeout_seconds)
        while message is not None:
            if self._take(message, None):
                import_id = (message.key() or b"").decode(errors="replace")
                changed[import_id] = self._states.get(import_id)
            message = self.poll(0)
        return changed

    def _take(self, message: Message, wanted: Container[str] | None) -> bool:
        key = message.key()
        import_id = key.decode(errors="replace") if key else ""
        if message.value() is None:
            return self._states.pop(import_id, None) is not None
        if wanted is not None and import_id not in wanted:
            return False
        try:
            state = cast("ImportState", self._decoder.decode(message.value()))
        except DecodeError:
            _LOGGER.warning("state skipped", extra={"action": "decode", "import_id": import_id})
            return False
        known = self._states.get(import_id)
        if known is not None and known["version"] >= state["version"]:
            return False
        self._states[import_id] = state
        return True
