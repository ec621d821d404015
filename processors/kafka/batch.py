"""Records of one fetch, and their offsets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiokafka import ConsumerRecord
from faust.types import TP


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, as one fetch returned them.

    `start` is the position from which they were fetched and `end` the position after them: offsets
    in between may be missing, if a transaction of an upstream system left its markers there.
    `assignment_token` is replaced by each seek of the partition: a batch with another token is
    outdated.
    """

    topic: str
    partition: int
    start: int
    end: int
    records: Sequence[ConsumerRecord]
    assignment_token: object

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)

    def precedes(self, other: "Batch") -> bool:
        """Whether `other` is the fetch after this one, without a seek between the two."""
        return self.assignment_token is other.assignment_token and self.end == other.start

    def joined(self, other: "Batch") -> "Batch":
        """This batch and the one that it precedes, as one."""
        return replace(self, end=other.end, records=[*self.records, *other.records])

    def halves(self) -> "tuple[Batch, Batch]":
        """Two batches that replace this one, which has two records or more."""
        middle = len(self.records) // 2
        boundary = self.records[middle].offset
        return (
            replace(self, end=boundary, records=self.records[:middle]),
            replace(self, start=boundary, records=self.records[middle:]),
        )
