"""Which stored positions the log no longer has: reading on from them would skip records."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from faust.types import TP

from processors.kafka.records.last_record import LastRecord


class Position(NamedTuple):
    """The next offset of a partition, and the last record before it.

    `last` is None if nothing is known of it: nothing was read yet, an earlier release or a person
    stored the position, or the record was damaged.
    """

    offset: int
    last: LastRecord | None = None


class RetainedLog(Protocol):
    """The part of processors.kafka.fetch_thread.FetchThread that asks for the log."""

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]: ...

    async def records_at(self, offsets: Mapping[TP, int]) -> Mapping[TP, LastRecord | None]: ...


async def find_lost(
    log: RetainedLog, positions: Mapping[TP, Position], beginnings: Mapping[TP, int]
) -> Mapping[TP, str]:
    """Why reading cannot go on, for each partition of which this is so.

    `beginnings` are those of the log. A last record that retention or compaction has removed is not
    compared. Raises UnreachableError if a server does not respond.
    """
    # After the positions were read: the writer before this one may just have moved them.
    ends = await log.highwaters(*positions)
    lost: dict[TP, str] = {}
    compared: dict[TP, LastRecord] = {}
    for tp, (offset, last) in positions.items():
        if not beginnings[tp] <= offset <= ends[tp]:
            lost[tp] = f"Kafka holds {beginnings[tp]} to {ends[tp]}" + (
                f", the last record that was read was {last}" if last else ""
            )
        elif last is not None and last.offset >= beginnings[tp]:
            compared[tp] = last
    found = await log.records_at({tp: last.offset for tp, last in compared.items()})
    for tp, last in compared.items():
        other = found[tp]
        if other is not None and not last.is_same(other):
            lost[tp] = (
                f"the log was truncated and its offsets used again. Read was {last}; Kafka has {other}"
            )
    return {tp: _sentence(tp, positions[tp].offset, reason) for tp, reason in lost.items()}


def _sentence(tp: TP, offset: int, reason: str) -> str:
    return (
        f"{tp.topic}[{tp.partition}]: PostgreSQL's next offset is {offset}, {reason}. Nothing was "
        "skipped. See docs/operations.md, 'A position is lost', then run: "
        f"foxstream-worker positions accept {tp.topic} {tp.partition}"
    )
