"""The newest record of every key of a compacted topic."""

import logging
from typing import Any

from confluent_kafka import Message

from producers.kafka.log_reader import LogReader
from producers.settings import Settings
from schemas.codec.framing import DecodeError, Decoder
from schemas.runtime.registry import Registry
from schemas.topics import Topic

_LOGGER = logging.getLogger(__name__)

Record = dict[str, Any]


class NewestRecords(LogReader):
    """By their key. A tombstone removes a record."""

    def __init__(
        self, settings: Settings, registry: Registry, topic: Topic, *, follows: bool = False
    ) -> None:
        super().__init__(settings, topic, follows=follows)
        self._decoder = Decoder(str(topic.record), registry)
        self.records: dict[str, Record] = {}

    def read(self) -> dict[str, Record]:
        """The records now."""
        for message in self.up_to_now():
            self._take(message)
        return self.records

    def changed(self, timeout_seconds: float) -> dict[str, Record | None]:
        """Records that changed, None for one that is removed, after `read`; waits for the first of them."""
        changed: dict[str, Record | None] = {}
        message = self.poll(timeout_seconds)
        while message is not None:
            if (key := self._take(message)) is not None:
                changed[key] = self.records.get(key)
            message = self.poll(0)
        return changed

    def _take(self, message: Message) -> str | None:
        """The key of the record that changed."""
        key = (message.key() or b"").decode(errors="replace")
        value = message.value()
        if value is None:
            return key if self.records.pop(key, None) is not None else None
        try:
            self.records[key] = self._decoder.decode(value)
        except DecodeError:
            _LOGGER.warning("record skipped", extra={"action": "decode", "topic": message.topic()})
            return None
        return key
