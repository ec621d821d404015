"""Our Avro readers and writers, made for speed, against fastavro."""

from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from itertools import accumulate
from typing import Any

import fastavro
import pytest
from fastavro.schema import parse_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec.avro_reader import (
    UnsupportedError,
    compile_reader,
    compile_row_reader,
    compile_rows_reader,
)
from schemas.codec.avro_writer import Columns, column_writer
from schemas.codec.framing import load
from tests.examples import examples

RECORDS = ("entreprise_row", "ville_row")

texts = st.none() | st.text(max_size=80) | st.text(min_size=1020, max_size=1030)
ties = st.none() | st.fixed_dictionaries(
    {
        "id": st.text(max_size=40),
        "number": st.integers(-(2**31), 2**31 - 1),
        "line": st.integers(0, 2**20),
        "sheet": texts,
        "occurrence": st.integers(0, 5),
        "policy": st.sampled_from(["merge", "overwrite", "fill_missing", "insert_only"]),
        "cells": st.none() | st.lists(st.text(max_size=9), max_size=70),
        "faults": st.lists(
            st.fixed_dictionaries(
                {"column": texts, "code": st.text(max_size=9), "message": st.text(max_size=9)}
            ),
            max_size=3,
        ),
        "settles": st.none()
        | st.fixed_dictionaries(
            {"id": st.text(max_size=40), "line": st.integers(0, 2**20), "sheet": texts}
        ),
        "dropped": st.none()
        | st.lists(
            st.fixed_dictionaries(
                dict.fromkeys(("column", "code", "message", "value"), st.text(max_size=9))
            ),
            max_size=3,
        ),
        "absent": st.none() | st.lists(st.text(max_size=20), max_size=3),
    }
)
values: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=80),
}


TIE = {
    "id": "a", "number": 1, "line": 2, "sheet": None, "occurrence": 1, "policy": "merge",
    "cells": None, "faults": [], "settles": None, "dropped": None, "absent": None,
}  # fmt: skip
EXAMPLES: dict[str, Any] = {
    "string": "é",
    "boolean": False,
    "int": 7,
    "double": 0.0,
    "array": ["a"],
    "long": datetime(2026, 1, 1, tzinfo=UTC),
}


@cache
def schema_of(record: str) -> Any:
    return parse_schema(load(record))


@cache
def rows(record: str) -> st.SearchStrategy[dict[str, Any]]:
    """Records of the schema, each field null now and then, or all from some field to the tie."""

    def strategy(field: dict[str, Any]) -> st.SearchStrategy[Any]:
        kind = field["type"][1]
        if field["name"] == "import":
            return ties
        if isinstance(kind, str):
            return st.none() | values[kind]
        if kind["type"] == "array":
            return st.none() | st.lists(st.text(max_size=9), max_size=9)
        return st.none() | st.datetimes(timezones=st.just(UTC)).map(_to_milliseconds)

    fields = {field["name"]: strategy(field) for field in load(record)["fields"]}
    return st.tuples(st.fixed_dictionaries(fields), st.integers(0, len(fields))).map(_emptied)


def _emptied(drawn: tuple[dict[str, Any], int]) -> dict[str, Any]:
    row, first = drawn
    return row | dict.fromkeys([name for name in list(row)[first:] if name != "import"])


def _to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def outcome(read: Any, data: bytes) -> object:
    """What a reader makes of the bytes, and where it ends; 'damaged' where it cannot."""
    try:
        record, end = read(data)
    except Exception:  # noqa: BLE001 - damage shows as any error
        return "damaged"
    return (repr(record), end) if end <= len(data) else "damaged"


def by_fastavro(schema: Any) -> Any:
    def read(data: bytes) -> tuple[Any, int]:
        buffer = BytesIO(data)
        record = fastavro.schemaless_reader(buffer, schema, None)
        return record, buffer.tell()

    return read


@cache
def compiled(record: str, compiler: Any = compile_reader) -> Any:
    read = compiler(load(record))
    assert read is not None
    return lambda data: read(data, data.decode("latin-1"), 0)


@cache
def compiled_for_many(record: str) -> Any:
    return compile_rows_reader(load(record))


@cache
def writer(record: str) -> Any:
    return column_writer(schema_of(record))


def many(record: str, written: list[bytes]) -> object:
    """What the reader of many makes of all; 'damaged' where it refuses them."""
    data = b"".join(written)
    ends = list(accumulate(map(len, written)))
    try:
        return compiled_for_many(record)(data, data.decode("latin-1"), [0, *ends], ends)
    except Exception:  # noqa: BLE001 - damage shows as any error
        return "damaged"


def rows_by_fastavro(schema: Any) -> Any:
    """As by_fastavro, records as tuples of their values."""

    def read(data: bytes) -> tuple[Any, int]:
        record, end = by_fastavro(schema)(data)
        return nameless(record), end

    return read


def in_columns(records: list[dict[str, Any]], schema: Any) -> Columns:
    """The records as Columns, and as Columns in them the ties to lines where every record has one."""
    columns = Columns(
        {field["name"]: [r[field["name"]] for r in records] for field in schema["fields"]}
    )
    if records and all(columns["import"]):
        columns["import"] = Columns(
            {name: [tie[name] for tie in columns["import"]] for name in columns["import"][0]}
        )
    return columns


def nameless(value: Any) -> Any:
    """Tuples in place of records."""
    if isinstance(value, dict):
        return tuple(map(nameless, value.values()))
    return list(map(nameless, value)) if isinstance(value, list) else value


@pytest.mark.parametrize("record", RECORDS)
@settings(max_examples=examples(300), deadline=None)
@given(data=st.data())
def test_both_read_what_was_written(record: str, data: st.DataObject) -> None:
    """A written record reads as itself, and as fastavro reads it."""
    schema = schema_of(record)
    buffer = BytesIO()
    fastavro.schemaless_writer(buffer, schema, data.draw(rows(record)))

    written = buffer.getvalue()

    assert outcome(by_fastavro(schema), written) != "damaged"
    assert outcome(compiled(record), written) == outcome(by_fastavro(schema), written)
    row = outcome(compiled(record, compile_row_reader), written)
    assert row == outcome(rows_by_fastavro(schema), written)


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("tie", [None, TIE], ids=["upstream", "file"])
def test_one_field_is_given(record: str, tie: dict[str, Any] | None) -> None:
    """Fields that most rows lack are read where one of them alone is given, or none."""
    schema = schema_of(record)
    fields: list[dict[str, Any]] = load(record)["fields"]
    names = [field["name"] for field in fields]
    for field in (*fields, None):
        row = {**dict.fromkeys(names), "import": tie}
        if field is not None and field["name"] != "import":
            kind = field["type"][1]
            row[field["name"]] = EXAMPLES[kind if isinstance(kind, str) else kind["type"]]
        buffer = BytesIO()
        fastavro.schemaless_writer(buffer, schema, row)
        written = buffer.getvalue()
        assert outcome(compiled(record), written) == outcome(by_fastavro(schema), written)
        assert many(record, [written] * 2) == [nameless(row)] * 2


@pytest.mark.parametrize("record", RECORDS)
@settings(max_examples=examples(200), deadline=None)
@given(data=st.data())
def test_many_are_read_as_one_by_one(record: str, data: st.DataObject) -> None:
    """Rows read at once are what each reads as; one that is damaged or cut makes all refused."""
    schema, read, whole = schema_of(record), compiled(record, compile_row_reader), []
    for row in data.draw(st.lists(rows(record), min_size=1, max_size=5)):
        buffer = BytesIO()
        fastavro.schemaless_writer(buffer, schema, row)
        whole.append(buffer.getvalue())
    damaged = list(whole)
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged[place] = whole[place][: data.draw(st.integers(0, len(whole[place]) - 1))]

    assert many(record, whole) == [read(v)[0] for v in whole]
    assert many(record, damaged) == "damaged"


@pytest.mark.parametrize("record", RECORDS)
@settings(max_examples=examples(300), deadline=None)
@given(data=st.data())
def test_columns_are_written_as_fastavro_writes_rows(record: str, data: st.DataObject) -> None:
    """A column of records gives, byte for byte, what fastavro writes of each; so do their columns."""
    schema = schema_of(record)
    records = data.draw(st.lists(rows(record), max_size=5))

    written = writer(record)(records)

    assert writer(record)(in_columns(records, load(record))) == written

    for one, value in zip(written, records, strict=True):
        buffer = BytesIO()
        fastavro.schemaless_writer(buffer, schema, value)
        assert one == buffer.getvalue()


@pytest.mark.parametrize("record", RECORDS)
@settings(max_examples=examples(500), deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_read_as_fastavro_reads_them(record: str, data: st.DataObject) -> None:
    """Bytes changed, cut or added anywhere are damaged, or the record that fastavro reads.

    Ours is the stricter: fastavro takes a negative branch of a union for one from the end.
    """
    schema = schema_of(record)
    buffer = BytesIO()
    fastavro.schemaless_writer(buffer, schema, data.draw(rows(record)))
    written = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(written)))
        written[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))

    damaged = bytes(written)

    ours = outcome(compiled(record), damaged)

    assert ours in ("damaged", outcome(by_fastavro(schema), damaged))
    row = outcome(compiled(record, compile_row_reader), damaged)
    assert row in ("damaged", outcome(rows_by_fastavro(schema), damaged))
    at_once = many(record, [damaged])
    assert at_once == "damaged" or row == (repr(at_once[0]), len(damaged))  # type: ignore[index]


def test_other_schemas_are_left_to_fastavro() -> None:
    """A type that the compiler does not know gives no reader, rather than a wrong one."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": "bytes"}]}

    assert compile_reader(schema) is None
    with pytest.raises(UnsupportedError):
        column_writer(schema)
