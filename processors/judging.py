"""What each record of a batch is: a row to write, or a reject with all that is wrong with it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from aiokafka import ConsumerRecord
from confluent_kafka import murmur2

from processors.draining import Batch
from schemas.codec import DecodeError, RowDecoder, Values
from schemas.compiled import EPOCH
from schemas.faults import Fault, fault
from schemas.import_types import ImportType
from schemas.rules import Luhn, problems

_MILLISECOND = timedelta(milliseconds=1)

FUTURE_MS = 5 * 60 * 1000
"""How far an observation may lie ahead of the time at which Kafka appended its record."""

APPENDED_AT = "ingest.appended_at"
"""Header of a record that was sent again: when Kafka appended it first, ISO 8601."""


Tie = tuple[Any, ...]
"""What ties a row to a line of a file, in the order of schemas/avro/import_line.avsc."""

_FAULTS = 7
_UPSTREAM: Tie = (None, 0, None, None, 1, "merge", None, (), None)


class Settles(NamedTuple):
    """The reject of another import that a row of a retry or a correction stands for."""

    import_id: str
    line: int
    sheet: str | None


class Row(NamedTuple):
    """A valid row. `number` is 0 and `import_id` None for a row of an upstream system."""

    offset: int
    key: str
    import_id: str | None
    number: int
    line: int | None
    sheet: str | None
    occurrence: int
    policy: str
    observed_ms: int
    values: tuple[Any, ...]  # in the order of the import type's fields
    settles: Settles | None = None


class Reject(NamedTuple):
    """A record that is not written, and why.

    `foreseen`: the reader of its file found it. `cancelled`: nothing is wrong with it but that its
    import was cancelled.
    """

    record: ConsumerRecord
    import_id: str | None
    number: int
    line: int | None
    sheet: str | None
    faults: Sequence[Fault]
    foreseen: bool = False
    settles: Settles | None = None
    cancelled: bool = False


@dataclass(frozen=True)
class Judged:
    """The records of one batch, in order within `rows` and within `rejects`."""

    rows: Sequence[Row]
    rejects: Sequence[Reject]

    def imports(self) -> set[str]:
        """The ids of all imports that have a record here."""
        ids = {row.import_id for row in self.rows} | {reject.import_id for reject in self.rejects}
        return {import_id for import_id in ids if import_id is not None}

    def without_replays(self, watermarks: Mapping[str, int]) -> "Judged":
        """What is above the watermark of its import: the rest was settled before.

        Within the batch as well: a producer that died and began again repeats its numbers.
        """
        everything: list[Row | Reject] = sorted([*self.rows, *self.rejects], key=_offset)
        highest = dict(watermarks)
        kept = []
        for item in everything:
            if item.import_id is not None:
                if item.number <= highest.get(item.import_id, 0):
                    continue
                highest[item.import_id] = item.number
            kept.append(item)
        if len(kept) == len(everything):
            return self
        return Judged(
            [item for item in kept if isinstance(item, Row)],
            [item for item in kept if isinstance(item, Reject)],
        )


def _offset(item: Row | Reject) -> int:
    return item.offset if isinstance(item, Row) else item.record.offset


def judge(
    batch: Batch,
    partitions: int,
    import_type: ImportType,
    decoder: RowDecoder,
    luhn: Luhn = "warning",
) -> Judged:
    """Decodes and checks a batch of a topic that has so many partitions.

    Raises what the decoder's schema source raises where it cannot answer: nothing is judged then.
    """
    records: list[ConsumerRecord] = []
    values: list[Values] = []
    rejects: list[Reject] = []
    for record, result in zip(
        batch.records, decoder.decode_all([record.value for record in batch.records]), strict=True
    ):
        if isinstance(result, DecodeError):
            told = Fault(None, result.code, f"{_UNREADABLE[result.code]} ({result})")
            rejects.append(_reject(record, _UPSTREAM, [told]))
        else:
            records.append(record)
            values.append(result)
    if not values:
        return Judged([], rejects)
    columns = dict(zip(decoder.fields, map(list, zip(*values, strict=True)), strict=True))
    ties = [tie or _UPSTREAM for tie in columns.pop("import")]
    observed = columns.pop("observed_at")
    stray = _stray(ties)
    for i in stray:
        ties[i] = _UPSTREAM
    faults = {
        **_faults(import_type, columns, ties, luhn),
        **{i: [_FOREIGN_IMPORT] for i in stray},
    }
    keys = import_type.keys(columns)
    times = _times(observed, records)
    for i, misplaced in _misplaced(import_type, keys, partitions, records):
        faults.setdefault(i, [misplaced])
    for i, ahead in _ahead(observed, times, records):
        faults.setdefault(i, [ahead])
    rejects += [_reject(records[i], ties[i], faults[i]) for i in sorted(faults)]
    rows = _rows(records, keys, ties, times, [columns[field] for field in import_type.field])
    if faults:
        rows = [row for i, row in enumerate(rows) if i not in faults]
    return Judged(rows, rejects)


_UNREADABLE = {
    "undecodable": "L'enregistrement n'est pas lisible : corrigez l'émetteur.",
    "unknown-schema": "Le schéma de l'enregistrement est inconnu : l'émetteur doit l'enregistrer.",
}


def _stray(ties: Sequence[Tie]) -> list[int]:
    """Rows whose `import` cannot be one of ours. Whoever publishes may write what he likes there."""
    foreign = {
        text for text in {tie[0] for tie in ties} if text is not None and not _is_canonical(text)
    }
    return [
        i
        for i, (id_, number, line, sheet, _, _, _, _, settles) in enumerate(ties)
        if id_ is not None
        and (
            id_ in foreign
            or not 1 <= number <= _INT_MAX
            or not 1 <= line <= _INT_MAX
            or (sheet is not None and "\0" in sheet)
            or (settles is not None and not _names_a_line(*settles))
        )
    ]


def _names_a_line(import_id: str, line: int, sheet: str | None) -> bool:
    return _is_canonical(import_id) and 1 <= line <= _INT_MAX and "\0" not in (sheet or "")


# Of Avro's int and PostgreSQL's integer; Avro readers take larger numbers without a word.
_INT_MAX = 2**31 - 1


def _is_canonical(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


_FOREIGN_IMPORT = Fault(
    "import",
    "malformed",
    "L'import indiqué par la ligne n'en est pas un : un système amont laisse ce champ vide.",
)


def _faults(
    import_type: ImportType, columns: Mapping[str, list[Any]], ties: Sequence[Tie], luhn: Luhn
) -> dict[int, list[Fault]]:
    """What is wrong, by index. A value that is only worth a warning is taken out of its column."""
    faults = {
        i: [Fault(*told) for told in tie[_FAULTS]] for i, tie in enumerate(ties) if tie[_FAULTS]
    }
    told = set(faults)  # the reader has said it better, with the header's own names
    # Here a warning reaches nobody: it is not looked for.
    for problem in problems(import_type, columns, "error" if luhn == "error" else "off"):
        i, column = problem.row, columns[problem.field]
        if not problem.fatal:
            column[i] = None
        elif i not in told:
            field = import_type.field[problem.field]
            faults.setdefault(i, []).append(fault(field, problem.code, value=column[i]))
    return faults


def _misplaced(
    import_type: ImportType,
    keys: Sequence[str | None],
    partitions: int,
    records: Sequence[ConsumerRecord],
) -> Iterator[tuple[int, Fault]]:
    """What only a record's key and partition show."""
    routing = import_type.routing
    for i, (key, record) in enumerate(zip(keys, records, strict=True)):
        if not key or record.key != routing(key).encode():
            yield i, _FOREIGN_KEY
        elif murmur2(record.key, partitions) != record.partition:
            yield i, _FOREIGN_PARTITION


def _ahead(
    observed: Sequence[datetime | None], times: Sequence[int], records: Sequence[ConsumerRecord]
) -> Iterator[tuple[int, Fault]]:
    for i, moment in enumerate(observed):
        if moment is not None and times[i] - records[i].timestamp > FUTURE_MS:
            yield i, _FUTURE


_FUTURE = Fault(
    "observed_at",
    "observed-in-future",
    "La date d'observation est dans le futur : corrigez l'horloge ou la date de l'émetteur.",
)
_FOREIGN_KEY = Fault(
    None,
    "key-mismatch",
    "La clé Kafka n'est pas celle que la ligne doit avoir : corrigez l'émetteur.",
)
_FOREIGN_PARTITION = Fault(
    None,
    "partition-mismatch",
    "La ligne n'est pas dans la partition de sa clé : réglez l'émetteur sur partitioner=murmur2_random.",
)


def _rows(
    records: Sequence[ConsumerRecord],
    keys: Sequence[str | None],
    ties: Sequence[Tie],
    times: Sequence[int],
    columns: Sequence[Sequence[Any]],
) -> list[Row]:
    ids, numbers, lines, sheets, occurrences, policies, _, _, settles = zip(*ties, strict=True)
    return list(
        map(
            _row,
            zip(
                [record.offset for record in records],
                [key or "" for key in keys],
                ids,
                numbers,
                lines,
                sheets,
                occurrences,
                policies,
                times,
                zip(*columns, strict=True),
                [each and Settles(*each) for each in settles],
                strict=True,
            ),
        )
    )


_row: Callable[[Iterable[Any]], Row] = partial(tuple.__new__, Row)  # without a call in Python


def _times(observed: Sequence[datetime | None], records: Sequence[ConsumerRecord]) -> list[int]:
    """When each row was observed, Unix milliseconds; else when Kafka appended it first."""
    return [
        appended_ms(record.headers, record.timestamp)
        if moment is None
        else (moment - EPOCH) // _MILLISECOND  # exact, as a float of seconds is not
        for moment, record in zip(observed, records, strict=True)
    ]


def appended_ms(headers: Iterable[tuple[str, bytes | None]], timestamp: int) -> int:
    """When Kafka appended a record first, of which this one of `timestamp` may be a replay.

    Anybody can write the header: only a moment before this record's own is believed.
    """
    for name, value in headers:
        if name == APPENDED_AT:
            try:
                first = (datetime.fromisoformat((value or b"").decode()) - EPOCH) // _MILLISECOND
            except (ValueError, TypeError):  # no time, or none of a zone
                continue
            if 0 <= first <= timestamp:
                return first
    return timestamp


def _reject(record: ConsumerRecord, tie: Tie, faults: Sequence[Fault]) -> Reject:
    import_id, number, line, sheet, _, _, _, told, settles = tie
    return Reject(
        record,
        import_id,
        number,
        line,
        sheet,
        faults,
        foreseen=bool(told),
        settles=settles and Settles(*settles),
    )
