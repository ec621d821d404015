"""What each record of a batch is: a row to write, or a reject with all that is wrong with it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import compress
from typing import TYPE_CHECKING, Any

from confluent_kafka import murmur2

from processors.rows.model import NO_ROWS, Judged, Reject, Rows, Settles
from schemas.codec.avro_reader import EPOCH
from schemas.codec.framing import DecodeError, RowDecoder
from schemas.faults import Fault, fault
from schemas.import_types import ImportType
from schemas.rules import Luhn, problems
from schemas.values.stored import is_uuid

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from processors.kafka.batch import Batch

_MILLISECOND = timedelta(milliseconds=1)

FUTURE_MS = 5 * 60 * 1000
"""How far an observation may lie ahead of the time at which Kafka appended its record."""

APPENDED_AT = "ingest.appended_at"
"""Header of a record that was sent again: when Kafka appended it first, ISO 8601."""


Tie = tuple[Any, ...]
"""What ties a row to a line of a file, in the order of schemas/avro/import_line.avsc."""

_FAULTS = 7
_UPSTREAM: Tie = (None, 0, None, None, 1, "merge", None, (), None)


def judge(
    batch: "Batch",
    partitions: int,
    import_type: ImportType,
    decoder: RowDecoder,
    luhn: Luhn = "warning",
) -> Judged:
    """Decodes and checks a batch of a topic that has so many partitions.

    Raises what the decoder's schema source raises where it cannot answer: nothing is judged then.
    """
    records = batch.records
    values = decoder.decode_all([record.value for record in records])
    rejects: list[Reject] = []
    for record, result in zip(records, values, strict=True):
        if isinstance(result, DecodeError):
            told = Fault(None, result.code, f"{_UNREADABLE[result.code]} ({result})")
            rejects.append(_reject(record, _UPSTREAM, [told]))
    if rejects:
        readable = [not isinstance(result, DecodeError) for result in values]
        records, values = list(compress(records, readable)), list(compress(values, readable))
    if not values:
        return Judged(NO_ROWS, rejects)
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
    rows = _rows(records, keys, ties, times, {name: columns[name] for name in import_type.field})
    return Judged(rows.take([i for i in range(len(rows)) if i not in faults]), rejects)


_UNREADABLE = {
    "undecodable": "L'enregistrement n'est pas lisible : corrigez l'émetteur.",
    "unknown-schema": "Le schéma de l'enregistrement est inconnu : l'émetteur doit l'enregistrer.",
}


def _stray(ties: Sequence[Tie]) -> list[int]:
    """Rows whose `import` cannot be one of ours. Whoever publishes may write what he likes there."""
    ids, numbers, lines, sheets, _, _, _, _, settles = zip(*ties, strict=True)
    known = {text for text in set(ids) if text is not None and is_uuid(text)}
    if (
        known.issuperset(ids)
        and _are_counts(numbers)
        and _are_counts(lines)
        and not any(sheets)
        and not any(settles)
    ):
        return []
    return [
        i
        for i, (id_, number, line, sheet, _, _, _, _, settled) in enumerate(ties)
        if id_ is not None
        and (
            id_ not in known
            or not _are_counts([number, line])
            or (sheet is not None and "\0" in sheet)
            or (settled is not None and not _names_a_line(*settled))
        )
    ]


def _are_counts(numbers: Sequence[int]) -> bool:
    return min(numbers) >= 1 and max(numbers) <= _INT_MAX


def _names_a_line(import_id: str, line: int, sheet: str | None) -> bool:
    return is_uuid(import_id) and _are_counts([line]) and "\0" not in (sheet or "")


# Of Avro's int and PostgreSQL's integer; Avro readers take larger numbers without a word.
_INT_MAX = 2**31 - 1


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
    records: "Sequence[ConsumerRecord]",
) -> Iterator[tuple[int, Fault]]:
    """What only a record's key and partition show."""
    routing = import_type.routing
    for i, (key, record) in enumerate(zip(keys, records, strict=True)):
        if not key or record.key != routing(key).encode():
            yield i, _FOREIGN_KEY
        elif murmur2(record.key, partitions) != record.partition:
            yield i, _FOREIGN_PARTITION


def _ahead(
    observed: Sequence[datetime | None], times: Sequence[int], records: "Sequence[ConsumerRecord]"
) -> Iterator[tuple[int, Fault]]:
    for i, moment in enumerate(observed) if any(observed) else ():
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
    records: "Sequence[ConsumerRecord]",
    keys: Sequence[str | None],
    ties: Sequence[Tie],
    times: Sequence[int],
    columns: Mapping[str, Sequence[Any]],
) -> Rows:
    ids, numbers, lines, sheets, occurrences, policies, _, _, settles = zip(*ties, strict=True)
    return Rows(
        offsets=[record.offset for record in records],
        keys=[key or "" for key in keys],
        import_ids=ids,
        numbers=numbers,
        lines=lines,
        sheets=sheets,
        occurrences=occurrences,
        policies=policies,
        observed_ms=times,
        values=columns,
        settles=[each and Settles(*each) for each in settles],
    )


def _times(observed: Sequence[datetime | None], records: "Sequence[ConsumerRecord]") -> list[int]:
    """When each row was observed, Unix milliseconds; else when Kafka appended it first."""
    return [
        (appended_ms(record.headers, record.timestamp) if record.headers else record.timestamp)
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


def _reject(record: "ConsumerRecord", tie: Tie, faults: Sequence[Fault]) -> Reject:
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
