"""The last record before a position: it shows that the log is still the one that was read up to there.

Offsets are used again after an unclean leader election, a power loss, or the restore of a broker from an
older copy: the log then has other records, or none, where the old ones were.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from struct import pack
from typing import Protocol, Self

from processors.kafka.records.record_batches import is_damaged

UNKNOWN_EPOCH = -1
"""As in Kafka's protocol."""


class LogRecord(Protocol):
    """The part of a record that is compared."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class LastRecord:
    """A record's place, time (Unix, in milliseconds) and content.

    `leader_epoch` is that of the leader that appended it, or UNKNOWN_EPOCH. `sha256` is the hexadecimal
    hash of its key and value; empty if no record of the log is equal to this one.
    """

    offset: int
    leader_epoch: int
    timestamp: int
    sha256: str

    @classmethod
    def of(cls, record: LogRecord, leader_epoch: int) -> Self | None:
        """None for a damaged record: it has the time at which it was read, and may be sound next time."""
        if is_damaged(record):
            return None
        digest = sha256()
        for part in (record.key, record.value):
            digest.update(pack(">i", -1 if part is None else len(part)))
            digest.update(part or b"")
        return cls(record.offset, leader_epoch, record.timestamp, digest.hexdigest())

    def is_same(self, other: "LastRecord") -> bool:
        """Whether the two are one record. An epoch that is unknown is not compared."""
        epochs = {self.leader_epoch, other.leader_epoch} - {UNKNOWN_EPOCH}
        return (
            len(epochs) < 2
            and (self.offset, self.timestamp) == (other.offset, other.timestamp)
            and self.sha256 == other.sha256
        )

    def __str__(self) -> str:
        if not self.sha256:
            return f"not the one at offset {self.offset}"
        at = datetime.fromtimestamp(self.timestamp / 1000, UTC).isoformat(timespec="milliseconds")
        return f"offset {self.offset}, leader epoch {self.leader_epoch}, {at}, SHA-256 {self.sha256[:16]}"
