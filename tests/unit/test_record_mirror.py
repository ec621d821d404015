"""What PostgreSQL keeps of records that exist on compacted topics alone."""

from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord

from processors.database.pool import Pool
from processors.imports.record_mirror import RecordMirror
from processors.kafka.batch import Batch
from schemas.codec.avro_json import from_json, to_json
from schemas.codec.framing import Decoder, Encoder, load
from schemas.topics import GATEWAY_SESSIONS, GATEWAY_TOKENS, MIRRORED
from tests.contract.test_examples import FILES, OneSchema, read, typed

EXAMPLES = [
    (str(topic.record), read(file))
    for topic in MIRRORED
    for file in FILES
    if file.parent.parent.name == topic.record and file.parent.name == "valid"
]


@pytest.mark.parametrize(("record", "example"), EXAMPLES)
def test_a_record_as_text(record: str, example: dict[str, Any]) -> None:
    """It is read back as it was, without the schema id that it was written with."""
    value = typed(example, load(record), complete=True)

    assert from_json(record, to_json(record, value)) == value


def test_a_field_that_a_later_version_adds() -> None:
    """It gets its default."""
    record = str(GATEWAY_TOKENS.record)
    [example] = [example for name, example in EXAMPLES if name == record][:1]
    value = typed(example, load(record), complete=True)
    text = to_json(record, value).replace('"group"', '"of an earlier version"')

    assert from_json(record, text)["group"] is None


def test_the_last_value_of_each_key() -> None:
    """A tombstone removes its key, also if the value came in an earlier batch; what cannot be read is skipped."""
    record = str(GATEWAY_SESSIONS.record)
    [example] = [example for name, example in EXAMPLES if name == record][:1]
    value = Encoder(record, 7).encode(typed(example, load(record)))
    mirror = RecordMirror(GATEWAY_SESSIONS, Decoder(record, OneSchema(record)), cast("Pool", None))
    given = [(b"a", value), (b"b", value), (b"b", None), (b"c", None), (b"d", b"damaged")]
    records = [
        ConsumerRecord("t", 0, at, 0, 1, key, content, None, 0, 0, ())
        for at, (key, content) in enumerate(given)
    ]

    last = mirror._last(Batch("t", 0, 0, len(records), records, None))

    assert last == {b"a": to_json(record, typed(example, load(record))), b"b": None, b"c": None}
