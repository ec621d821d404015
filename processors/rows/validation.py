"""Turns each record of a batch into a row to write or a reject with all its faults."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import murmur2

from processors.kafka.records.append_time import EARLIEST_MS, appended_ms
from processors.kafka.records.record_values import decode_records
from processors.rows.model import NO_ROWS, Reject, Rows, Validated
from schemas.codec.avro_reader import EPOCH
from schemas.codec.framing import DecodeError, RowDecoder
from schemas.dropped_value import LONGEST_VALUE, DroppedValue, dropped_value
from schemas.faults import Fault, fault
from schemas.import_types import ImportType
from schemas.rejected_line import RejectedLine
from schemas.rules import NOT_DISCLOSED, Luhn, Violation, violations
from schemas.values.stored import is_uuid

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from processors.kafka.batch import Batch

log = structlog.get_logger(__name__)

_MILLISECOND = timedelta(milliseconds=1)

CREATE_TIME = 0
"""Timestamp type of a topic that keeps the senders' time (Kafka, `message.timestamp.type`)."""

FUTURE_MS = 5 * 60 * 1000
"""How far an observation may lie ahead of the time at which Kafka appended its record."""


Lineage = tuple[Any, ...]
"""What links a row to a line of a file, in the order of schemas/avro/import_line.avsc."""

_FAULTS, _DROPPED = 7, 9
_UPSTREAM: Lineage = (None, 0, None, None, 1, "merge", None, (), None, None, None)


def validate(
    batch: "Batch",
    partitions: int,
    import_type: ImportType,
    decoder: RowDecoder,
    luhn: Luhn = "warning",
) -> Validated:
    """Decodes and checks a batch of a topic that has so many partitions.

    Raises what the decoder's schema source raises if it cannot respond: nothing is validated then.
    """
    records = batch.records
    values = decode_records(decoder, records)
    rejects: list[Reject] = []
    if not {tuple}.issuperset(map(type, values)):
        readable = [not isinstance(result, DecodeError) for result in values]
        rejects = [
            _unreadable(record, result)
            for record, result in zip(records, values, strict=True)
            if isinstance(result, DecodeError)
        ]
        records, values = list(compress(records, readable)), list(compress(values, readable))
    if not values:
        return Validated(NO_ROWS, rejects)
    columns: dict[str, Sequence[Any]] = dict(
        zip(decoder.fields, zip(*values, strict=True), strict=True)
    )
    lineages = [lineage or _UPSTREAM for lineage in columns.pop("import")]
    observed = columns.pop("observed_at")
    foreign = _foreign_imports(import_type, lineages)
    for i in foreign:
        lineages[i] = _UPSTREAM
    broken, dropped = _violations(import_type, columns, lineages, luhn)
    faults = {
        **broken,
        **{i: [FOREIGN_IMPORT] for i in foreign},
    }
    keys = import_type.keys(columns)
    times = _times(observed, records)
    for i, found in chain(
        _misplaced(import_type, keys, partitions, records),
        _ahead(observed, times, records),
        _early(observed, times),
    ):
        faults.setdefault(i, [found])
    rejects += [_reject(records[i], lineages[i], faults[i]) for i in sorted(faults)]
    rows = _rows(
        records, keys, lineages, times, {name: columns[name] for name in import_type.field}
    )
    return Validated(
        rows.take([i for i in range(len(rows)) if i not in faults]),
        rejects,
        {records[i].offset: values for i, values in dropped.items()},
    )


def _unreadable(record: "ConsumerRecord", error: DecodeError) -> Reject:
    found = Fault(None, error.code, f"{_UNREADABLE[error.code]} ({error})")
    return _reject(record, _UPSTREAM, [found])


_UNREADABLE = {
    "undecodable": "L'enregistrement n'est pas lisible : corrigez l'émetteur.",
    "unknown-schema": "Le schéma de l'enregistrement est inconnu : l'émetteur doit l'enregistrer.",
}


def _foreign_imports(import_type: ImportType, lineages: Sequence[Lineage]) -> list[int]:
    """Rows whose `import` no producer of ours wrote: a sender may write anything into that field."""
    ids, numbers, lines, sheets, _, _, _, _, resolves, _, absent = zip(*lineages, strict=True)
    known = {text for text in set(ids) if text is not None and is_uuid(text)}
    if (
        known.issuperset(ids)
        and _are_counts(numbers)
        and _are_counts(lines)
        and not any(sheets)
        and not any(resolves)
        and not any(absent)
    ):
        return []
    return [
        i
        for i, (id_, number, line, sheet, *_, rejected_line, _, lacking) in enumerate(lineages)
        if id_ is not None
        and (
            id_ not in known
            or not _are_counts([number, line])
            or (sheet is not None and "\0" in sheet)
            or (rejected_line is not None and not _names_a_line(*rejected_line))
            or not import_type.field.keys() >= {*(lacking or ())}
        )
    ]


def _are_counts(numbers: Sequence[int]) -> bool:
    return min(numbers) >= 1 and max(numbers) <= _INT_MAX


def _names_a_line(import_id: str, line: int, sheet: str | None) -> bool:
    return is_uuid(import_id) and _are_counts([line]) and "\0" not in (sheet or "")


# Of Avro's int and PostgreSQL's integer; Avro readers accept larger numbers silently.
_INT_MAX = 2**31 - 1


FOREIGN_IMPORT = Fault(
    "import",
    "malformed",
    "L'import indiqué par la ligne n'en est pas un : un système amont laisse ce champ vide.",
)


def _violations(
    import_type: ImportType,
    columns: dict[str, Sequence[Any]],
    lineages: Sequence[Lineage],
    luhn: Luhn,
) -> tuple[dict[int, list[Fault]], dict[int, list[DroppedValue]]]:
    """Faults and dropped values by index. A value that is only worth a warning is removed from its column."""
    faults = {
        i: [_shortened(*found) for found in lineage[_FAULTS][:MOST_FAULTS]]
        for i, lineage in enumerate(lineages)
        if lineage[_FAULTS]
    }
    found_by_reader = set(faults)  # its faults are better: they have the header's own names
    # The worker reports no warnings, so checks that only warn are left out.
    removed: list[Violation] = []
    for violation in violations(import_type, columns, "error" if luhn == "error" else "off"):
        i, name = violation.row, violation.field
        if not violation.fatal:
            if not violation.kept:
                removed.append(violation)
        elif i not in found_by_reader:
            found = fault(import_type.field[name], violation.code, value=columns[name][i])
            faults.setdefault(i, []).append(found)
    dropped = _dropped_by_reader(lineages)
    if removed:
        _remove(import_type, columns, removed, dropped)
    return faults, dropped


def _dropped_by_reader(lineages: Sequence[Lineage]) -> dict[int, list[DroppedValue]]:
    return {
        i: [
            DroppedValue(
                column[:_LONGEST_COLUMN],
                *_shortened(None, code, message)[1:],
                value[:LONGEST_VALUE],
            )
            for column, code, message, value in lineage[_DROPPED][:MOST_FAULTS]
        ]
        for i, lineage in enumerate(lineages)
        if lineage[_DROPPED]
    }


def _remove(
    import_type: ImportType,
    columns: dict[str, Sequence[Any]],
    removed: Sequence[Violation],
    dropped: dict[int, list[DroppedValue]],
) -> None:
    """Removes values from their columns, and adds them to `dropped`."""
    for i, name, code, *_ in removed:
        value = columns[name][i]
        if code != NOT_DISCLOSED:
            text = ", ".join(value) if isinstance(value, list) else value
            dropped.setdefault(i, []).append(dropped_value(import_type.field[name], code, text))
    for name in {violation.field for violation in removed}:
        rows = {violation.row for violation in removed if violation.field == name}
        columns[name] = [None if i in rows else v for i, v in enumerate(columns[name])]


MOST_FAULTS, _LONGEST_COLUMN, _LONGEST_MESSAGE = 100, 200, 1000
_CODE = re.compile(r"[a-z][a-z0-9-]{0,39}")


def _shortened(column: str | None, code: str, message: str) -> Fault:
    """A fault as a record has it: any sender may write what it likes."""
    return Fault(
        column and column[:_LONGEST_COLUMN],
        code if _CODE.fullmatch(code) else "malformed",
        message[:_LONGEST_MESSAGE],
    )


def _misplaced(
    import_type: ImportType,
    keys: Sequence[str | None],
    partitions: int,
    records: "Sequence[ConsumerRecord]",
) -> Iterator[tuple[int, Fault]]:
    """Faults of the record's key and partition."""
    routing = import_type.routing
    for i, (key, record) in enumerate(zip(keys, records, strict=True)):
        if not key or record.key != routing(key).encode():
            yield i, _FOREIGN_KEY
        elif murmur2(record.key, partitions) != record.partition:
            yield i, _FOREIGN_PARTITION


def _ahead(
    observed: Sequence[datetime | None], times: Sequence[int], records: "Sequence[ConsumerRecord]"
) -> Iterator[tuple[int, Fault]]:
    if records[0].timestamp_type == CREATE_TIME:  # the sender's clock cannot check itself
        _warn_of_create_time(records[0].topic)
        latest = (datetime.now(UTC) - EPOCH) // _MILLISECOND + FUTURE_MS
        for i, ms in enumerate(times) if max(times) > latest else ():
            if ms > latest:
                yield i, _FUTURE
        return
    for i, moment in enumerate(observed) if any(observed) else ():
        if moment is not None and times[i] - records[i].timestamp > FUTURE_MS:
            yield i, _FUTURE


def _early(
    observed: Sequence[datetime | None], times: Sequence[int]
) -> Iterator[tuple[int, Fault]]:
    """Rows that would lose to any other row of their key, and nobody would notice."""
    for i, ms in enumerate(times) if min(times) < EARLIEST_MS else ():
        if ms < EARLIEST_MS:
            yield i, _UNDATED if observed[i] is None else _EARLY


@cache
def _warn_of_create_time(topic: str) -> None:
    log.warning(
        "topic keeps the senders' time: rows without observed_at are as old as their sender's clock "
        "says. Set message.timestamp.type=LogAppendTime",
        action="create_time", topic=topic,
    )  # fmt: skip


_EARLY = Fault(
    "observed_at",
    "observed-too-early",
    "La date d'observation est antérieure à 1973 : l'émetteur l'écrit sans doute en secondes, il la "
    "faut en millisecondes.",
)
_UNDATED = Fault(
    None,
    "observed-too-early",
    "La ligne n'a pas de date d'observation et l'horodatage de l'enregistrement est antérieur à "
    "1973 : réglez le topic sur message.timestamp.type=LogAppendTime.",
)
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
    "La ligne n'est pas dans la partition de sa clé, par le murmur2 de Java. librdkafka : "
    "partitioner=murmur2_random ; sarama : NewCustomPartitioner(WithAbsFirst(), "
    "WithCustomHashFunction(murmur2)) ; KafkaJS : createPartitioner: Partitioners.DefaultPartitioner.",
)


def _rows(
    records: "Sequence[ConsumerRecord]",
    keys: Sequence[str | None],
    lineages: Sequence[Lineage],
    times: Sequence[int],
    columns: Mapping[str, Sequence[Any]],
) -> Rows:
    ids, row_numbers, lines, sheets, occurrences, policies, _, _, resolves, _, absent = zip(
        *lineages, strict=True
    )
    return Rows(
        offsets=[record.offset for record in records],
        keys=[key or "" for key in keys],
        import_ids=ids,
        row_numbers=row_numbers,
        lines=lines,
        sheets=sheets,
        occurrences=occurrences,
        policies=policies,
        observed_ms=times,
        values=columns,
        resolves=[each and RejectedLine(*each) for each in resolves],
        absent=absent,
    )


def _times(observed: Sequence[datetime | None], records: "Sequence[ConsumerRecord]") -> list[int]:
    """When each row was observed, in Unix milliseconds; else when Kafka first appended it."""
    return [
        (appended_ms(record.headers, record.timestamp) if record.headers else record.timestamp)
        if moment is None
        else (moment - EPOCH) // _MILLISECOND  # exact, as a float of seconds is not
        for moment, record in zip(observed, records, strict=True)
    ]


def _reject(record: "ConsumerRecord", lineage: Lineage, faults: Sequence[Fault]) -> Reject:
    import_id, row_number, line, sheet, _, _, _, found, resolves, *_ = lineage
    return Reject(
        record,
        import_id,
        row_number,
        line,
        sheet,
        faults,
        found_by_reader=bool(found),
        resolves=resolves and RejectedLine(*resolves),
    )
