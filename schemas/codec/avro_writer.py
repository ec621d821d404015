"""Avro writers that work on columns: what fastavro writes, in a quarter of the time for our rows.

A column of values becomes a column of bytes in one comprehension, and a record is its fields'
bytes joined. tests/contract/test_fast_avro.py holds it to fastavro's bytes.

Encoding: Apache Avro 1.12 specification, "Binary Encoding".
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any

from schemas.codec.avro_reader import EPOCH, UnsupportedError

Column = Sequence[Any]


class Columns(dict[str, Any]):
    """Records as the columns of their fields, in place of a column of records."""


Write = Callable[[Any], list[bytes]]
"""The bytes of each value of a column. Raises where one does not fit. Records may be Columns."""

_MILLISECOND = timedelta(milliseconds=1)


def column_writer(schema: Any) -> Write:
    """Writes columns of `schema`; raises UnsupportedError for types that no schema of ours uses."""
    if isinstance(schema, list):
        return _optional(schema)
    if not isinstance(schema, dict):
        return _primitive(schema)
    kind = schema["type"]
    if isinstance(kind, dict | list):
        return column_writer(kind)
    return _NAMED.get(kind, _logical)(schema)


def _primitive(kind: str) -> Write:
    if kind not in _PRIMITIVES:
        raise UnsupportedError(kind)
    return _PRIMITIVES[kind]


def _logical(schema: dict[str, Any]) -> Write:
    if schema.get("logicalType") == "timestamp-millis":
        return lambda column: [number(_milliseconds(value)) for value in column]
    return _primitive(schema["type"])


@lru_cache(maxsize=65_536)
def number(value: int) -> bytes:
    """An int or long: zigzag, then seven bits a byte, lowest first."""
    zigzag = (value << 1) ^ (value >> 63)
    encoded = bytearray()
    while zigzag > 0x7F:
        encoded.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    encoded.append(zigzag)
    return bytes(encoded)


_SHORT_BYTES = 1024


def _string_writer(before: bytes) -> Write:
    """Strings, each with these bytes before it."""
    short = [before + number(length) for length in range(_SHORT_BYTES)]

    def strings(column: Column) -> list[bytes]:
        texts = list(map(str.encode, column))
        if max(map(len, texts), default=0) < _SHORT_BYTES:
            return [short[len(text)] + text for text in texts]
        return [before + number(len(text)) + text for text in texts]

    return strings


_DOUBLE = Struct("<d").pack
_FLAGS = {False: b"\0", True: b"\1"}

_INT = range(-(2**31), 2**31)


def _ints(column: Column) -> list[bytes]:
    if column and not (min(column) in _INT and max(column) in _INT):
        raise ValueError("an int of more than 32 bits, which nobody else reads")
    return list(map(number, column))


_PRIMITIVES: dict[str, Write] = {
    "string": _string_writer(b""),
    "int": _ints,
    "long": lambda column: list(map(number, column)),
    "double": lambda column: list(map(_DOUBLE, column)),
    "boolean": lambda column: [_FLAGS[value] for value in column],
}


def _optional(schema: list[Any]) -> Write:
    if len(schema) != 2 or schema[0] != "null":
        raise UnsupportedError("union")
    write_given = _given(schema[1])

    def optional(column: Column | Columns) -> list[bytes]:
        if isinstance(column, Columns):
            return write_given(column)
        missing = column.count(None)
        if missing == len(column):
            return [b"\0"] * missing
        if missing == 0:
            return write_given(column)
        given = iter(write_given([value for value in column if value is not None]))
        return [b"\0" if value is None else next(given) for value in column]

    return optional


def _given(schema: Any) -> Write:
    if schema == "string":
        return _string_writer(b"\2")
    write = column_writer(schema)
    return lambda column: [b"\2" + value for value in write(column)]


def _array(schema: dict[str, Any]) -> Write:
    write = column_writer(schema["items"])

    def array(column: Column) -> list[bytes]:
        return [
            number(len(items)) + b"".join(write(items)) + b"\0" if items else b"\0"
            for items in column
        ]

    return array


def _enum(schema: dict[str, Any]) -> Write:
    symbols = {symbol: number(at) for at, symbol in enumerate(schema["symbols"])}
    return lambda column: [symbols[value] for value in column]


def _record(schema: dict[str, Any]) -> Write:
    fields = [
        (field["name"], column_writer(field["type"]), isinstance(field["type"], list))
        for field in schema["fields"]
    ]

    def record(column: Column | Columns) -> list[bytes]:
        if isinstance(column, Columns):
            parts = _parts(column, fields)
        else:
            parts = [
                write([value.get(name) if is_optional else value[name] for value in column])
                for name, write, is_optional in fields
            ]
        return list(map(b"".join, zip(*parts, strict=True)))

    return record


def _parts(columns: Columns, fields: Sequence[tuple[str, Write, bool]]) -> list[list[bytes]]:
    """The bytes of each field; optional ones next to each other of which no record has one are one part.

    These need no column.
    """
    parts: list[list[bytes]] = []
    absent, size = 0, _count(columns)
    for name, write, is_optional in fields:
        column = columns.get(name) if is_optional else columns[name]
        if column is None or (is_optional and _is_absent(column)):
            absent += 1
            continue
        if absent:
            parts.append([b"\0" * absent] * size)
            absent = 0
        parts.append(write(column))
    return [*parts, [b"\0" * absent] * size] if absent else parts


def _is_absent(column: Column | Columns) -> bool:
    return (
        not isinstance(column, Columns)
        and len(column) > 0
        and column[0] is None
        and column.count(None) == len(column)
    )


def _count(columns: Columns) -> int:
    column = next(iter(columns.values()))
    return _count(column) if isinstance(column, Columns) else len(column)


_NAMED: dict[str, Callable[[dict[str, Any]], Write]] = {
    "array": _array,
    "enum": _enum,
    "record": _record,
}


def _milliseconds(value: datetime) -> int:
    return (value - EPOCH) // _MILLISECOND
