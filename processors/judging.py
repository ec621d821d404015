"""What each record of a batch is: a row to write, or a reject with all that is wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from aiokafka import ConsumerRecord
from confluent_kafka import murmur2

from processors.draining import Batch
from schemas.codec import DecodeError, Decoder, Record
from schemas.compiled import EPOCH
from schemas.faults import Fault, fault
from schemas.import_types import ImportType
from schemas.rules import Luhn, problems

_MILLISECOND = timedelta(milliseconds=1)

FUTURE_MS = 5 * 60 * 1000
"""How far an observation may lie ahead of the time at which Kafka appended its record."""

APPENDED_AT = "ingest.appended_at"
"""Header of a record that was sent again: when Kafka appended it first, ISO 8601."""


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
    decoder: Decoder,
    luhn: Luhn = "warning",
) -> Judged:
    """Decodes and checks a batch of a topic that has so many partitions.

    Raises what the decoder's schema source raises where it cannot answer: nothing is judged then.
    """
    records: list[ConsumerRecord] = []
    values: list[Record] = []
    rejects: list[Reject] = []
    for record, result in zip(
        batch.records, decoder.decode_all([record.value for record in batch.records]), strict=True
    ):
        if isinstance(result, DecodeError):
            told = Fault(None, result.code, f"{_UNREADABLE[result.code]} ({result})")
            rejects.append(_reject(record, None, [told]))
        else:
            records.append(record)
            values.append(result)
    stray = _stray(values)
    for i in stray:
        values[i]["import"] = None
    columns: dict[str, list[Any]] = {
        field.name: [value[field.name] for value in values] for field in import_type.fields
    }
    faults = {
        **_faults(import_type, columns, values, luhn),
        **{i: [_FOREIGN_IMPORT] for i in stray},
    }
    keys = list(map(import_type.key, values))
    for i, record in enumerate(records):
        routing = (key := keys[i]) and import_type.routing(key)
        if i not in faults and (misplaced := _misplaced(routing, partitions, record, values[i])):
            faults[i] = [misplaced]
    rejects += [_reject(records[i], values[i]["import"], faults[i]) for i in sorted(faults)]
    rows = _rows(keys, [columns[field.name] for field in import_type.fields], records, values)
    if faults:
        rows = [row for i, row in enumerate(rows) if i not in faults]
    return Judged(rows, rejects)


_UNREADABLE = {
    "undecodable": "L'enregistrement n'est pas lisible : corrigez l'émetteur.",
    "unknown-schema": "Le schéma de l'enregistrement est inconnu : l'émetteur doit l'enregistrer.",
}


def _stray(values: Sequence[Record]) -> list[int]:
    """Rows whose `import` cannot be one of ours. Whoever publishes may write what he likes there."""
    ids = {value["import"]["id"] for value in values if value["import"] is not None}
    foreign = {text for text in ids if not _is_canonical(text)}
    return [
        i
        for i, value in enumerate(values)
        if (tie := value["import"]) is not None
        and (
            tie["id"] in foreign
            or not 1 <= tie["number"] <= _INT_MAX
            or not 1 <= tie["line"] <= _INT_MAX
            or "\0" in (tie["sheet"] or "")
            or (tie["settles"] is not None and not _names_a_line(tie["settles"]))
        )
    ]


def _names_a_line(settles: Record) -> bool:
    return (
        _is_canonical(settles["id"])
        and 1 <= settles["line"] <= _INT_MAX
        and "\0" not in (settles["sheet"] or "")
    )


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
    import_type: ImportType,
    columns: Mapping[str, list[Any]],
    values: Sequence[Record],
    luhn: Luhn,
) -> dict[int, list[Fault]]:
    """What is wrong, by index. A value that is only worth a warning is taken out of its column."""
    faults = {
        i: [Fault(**told) for told in value["import"]["faults"]]
        for i, value in enumerate(values)
        if value["import"] is not None and value["import"]["faults"]
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
    routing: str | None, partitions: int, record: ConsumerRecord, value: Record
) -> Fault | None:
    """What only the record's key, partition and time show; `routing` is the key that it has to have."""
    if not routing or record.key != routing.encode():
        return _FOREIGN_KEY
    if murmur2(record.key, partitions) != record.partition:
        return _FOREIGN_PARTITION
    if value["observed_at"] is not None:
        ahead = _observed_ms(value, record) - record.timestamp
        return _FUTURE if ahead > FUTURE_MS else None
    return None


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
    keys: Sequence[str | None],
    columns: Sequence[Sequence[Any]],
    records: Sequence[ConsumerRecord],
    values: Sequence[Record],
) -> list[Row]:
    ties = [value["import"] or _UPSTREAM for value in values]
    return list(
        map(
            Row,
            [record.offset for record in records],
            [key or "" for key in keys],
            [tie["id"] for tie in ties],
            [tie["number"] for tie in ties],
            [tie["line"] for tie in ties],
            [tie["sheet"] for tie in ties],
            [tie["occurrence"] for tie in ties],
            [tie["policy"] for tie in ties],
            [_observed_ms(v, record) for v, record in zip(values, records, strict=True)],
            zip(*columns, strict=True),
            [tie["settles"] and Settles(*tie["settles"].values()) for tie in ties],
        )
    )


_UPSTREAM: Mapping[str, Any] = {
    "id": None,
    "number": 0,
    "line": None,
    "occurrence": 1,
    "policy": "merge",
    "sheet": None,
    "faults": (),
    "settles": None,
}


def _observed_ms(value: Record, record: ConsumerRecord) -> int:
    observed: datetime | None = value["observed_at"]
    if observed is None:
        return appended_ms(record.headers, record.timestamp)
    return (observed - EPOCH) // _MILLISECOND  # exact, as a float of seconds is not


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


def _reject(record: ConsumerRecord, tie: Record | None, faults: Iterable[Fault]) -> Reject:
    tied = tie or _UPSTREAM
    return Reject(
        record,
        tied["id"],
        tied["number"],
        tied["line"],
        tied["sheet"],
        list(faults),
        foreseen=bool(tied["faults"]),
        settles=tied["settles"] and Settles(*tied["settles"].values()),
    )
