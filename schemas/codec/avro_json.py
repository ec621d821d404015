"""Records as text in Avro's JSON encoding (Avro specification, "JSON Encoding").

It needs no schema id, so that it outlives the registry. Fields that a later schema adds get their defaults.
"""

from io import StringIO
from typing import Any

import fastavro

from schemas.codec.framing import Record, load


def to_json(record: str, value: Record) -> str:
    """`record` names the schema, schemas/avro/`record`.avsc."""
    text = StringIO()
    fastavro.json_writer(text, fastavro.parse_schema(load(record)), [value])
    return text.getvalue()


def from_json(record: str, text: str) -> Record:
    """The value that `to_json` wrote, by this or an earlier schema of the name."""
    found: Any = next(fastavro.json_reader(StringIO(text), fastavro.parse_schema(load(record))))
    value: Record = found
    return value
