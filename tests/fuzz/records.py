"""Record batches with headers and values: any bytes are records, rejects, or the batch as a damaged one."""

from typing import Any

from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from processors.kafka.batch import Batch, record_bytes
from processors.kafka.records.record_batches import PartitionRecords, RecordBatches
from processors.rows.model import Validated
from processors.rows.validation import validate
from schemas.codec.framing import Encoder, RowDecoder, load
from schemas.codec.schema import Schema, SchemaUnknownError
from schemas.import_types import ENTREPRISE
from tests.fuzz.damage import DAMAGES, Damage, damaged
from tests.record_bytes import CODECS, RECORDS_AT, batch, compressed, packed, sealed

_PARTITIONS = 4
_TEXTS = st.text(max_size=20)
_ROWS = st.fixed_dictionaries(
    {"siren": st.sampled_from(["732829320", "1", ""]), "nom": _TEXTS},
    optional={
        "site_web": _TEXTS,
        "latitude": st.floats(),
        "import": st.just({"id": "x", "number": 1, "line": 2, "faults": []}),
    },
)
_HEADERS = st.lists(st.tuples(_TEXTS, st.none() | st.binary(max_size=20)), max_size=4)


class _Registry:
    def schema(self, schema_id: int) -> Schema:
        if schema_id != 1:
            raise SchemaUnknownError(str(schema_id))
        return load("entreprise_row")


_ENCODER = Encoder("entreprise_row", 1)
_DECODER = RowDecoder("entreprise_row", _Registry())


@given(
    st.lists(_ROWS, min_size=1, max_size=4),
    _HEADERS,
    st.sampled_from(list(CODECS)),
    DAMAGES,
    DAMAGES,
    DAMAGES,
)
def fuzz_records(
    rows: list[dict[str, Any]],
    headers: list[tuple[str, bytes | None]],
    codec: str,
    of_values: list[Damage],
    of_packed: list[Damage],
    of_records: list[Damage],
) -> None:
    """Damage of values, of records before they are compressed, and of what they are compressed to."""
    values = [damaged(_ENCODER.encode(row), of_values) for row in rows]
    plain = batch(
        [(row["siren"].encode(), v) for row, v in zip(rows, values, strict=True)], headers=headers
    )
    records = damaged(plain[RECORDS_AT:], of_records)
    inner = damaged(packed(codec, records), of_packed)
    data = compressed(plain, CODECS[codec], inner)
    _read(data)
    _read(sealed(damaged(data, of_packed)) if len(data) > RECORDS_AT else data)


def _read(data: bytes) -> None:
    batches = RecordBatches(data)
    found = list(PartitionRecords(TopicPartition("rows", 0), batches, [], 0, None, None, True, 0))
    if not found:
        return
    for record in found:
        record_bytes(record)
    records = Batch("fox.rows", 0, 0, found[-1].offset + 1, found, object())
    judged: Validated = validate(records, _PARTITIONS, ENTREPRISE, _DECODER)
    assert len(judged.rows) + len(judged.rejects) <= len(found)
