"""Avro readers compiled to Python: what fastavro reads, in a third of the time for our rows.

fastavro walks the schema for each record. Here the schema is walked once, into the source of one
function that reads a record from a buffer of many. It knows the types that our schemas use; for
any other `compile_reader` answers None, and fastavro reads. tests/contract/test_fast_avro.py holds
the two to the same results, on any bytes.

Encoding: Apache Avro 1.12 specification, "Binary Encoding".
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from struct import Struct
from typing import Any

Reader = Callable[[bytes, str, int], tuple[Any, int]]
"""(buffer, the same as Latin-1 text, start) to (record, end).

On bytes that are no such record it raises, or ends elsewhere than the record does: the caller
compares. An end may lie beyond the buffer.
"""

RowsReader = Callable[[bytes, str, Iterable[int], Iterable[int]], list[tuple[Any, ...]]]
"""(buffer, the same as Latin-1 text, starts, ends) to records. It raises where one is damaged."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_OF_REGISTERS, _SELDOM = 6, 11
"""How many optional fields at most are read at once if none of them is given: of a company those of a
register, then those before its lineage, which most files lack."""


class UnsupportedError(Exception):
    """A type that no schema of ours uses."""


def compile_reader(schema: Any) -> Reader | None:
    """A reader of records that `schema` wrote, None where it has types that are not known here.

    Its records are dictionaries.
    """
    return _compiled(schema, _Source())


def compile_row_reader(schema: Any) -> Reader | None:
    """As compile_reader; but records are tuples, values in the order of the schema's fields."""
    return _compiled(schema, _Tuples())


def compile_rows_reader(schema: Any) -> RowsReader:
    """As compile_row_reader, for many at once. Raises UnsupportedError."""
    writer = _Tuples(indent=2)
    result = writer.read(schema)
    reader: RowsReader = _function(
        writer,
        "def read(data, text, starts, ends):",
        "    records = []",
        "    for p, end in zip(starts, ends):",
        *writer.lines,
        "        if p != end: _fail()",
        f"        records.append({result})",
        "    return records",
    )
    return reader


def _compiled(schema: Any, writer: "_Source") -> Reader | None:
    try:
        result = writer.read(schema)
    except UnsupportedError:
        return None
    reader: Reader = _function(
        writer, "def read(data, text, p):", *writer.lines, f"    return {result}, p"
    )
    return reader


def _function(writer: "_Source", *lines: str) -> Any:
    names: dict[str, Any] = {
        "_rest": _rest,
        "_unpack_double": Struct("<d").unpack_from,
        "_millis": _millis,
        "_fail": _fail,
        "_short": _SHORT,
        "_long_text": _long_text,
        **writer.constants,
    }
    exec(compile("\n".join(lines), "<avro reader>", "exec"), names)  # noqa: S102 - source of our own making  # nosec B102
    return names["read"]


class _Source:
    """Statements that read one value after another, and the names that they leave them in."""

    def __init__(self, indent: int = 1) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self._indent = indent
        self._numbers = count()
        self._named: dict[str, Any] = {}

    def read(self, schema: Any) -> str:
        """Adds what reads a value of `schema`; the expression that has it then."""
        if isinstance(schema, str) and schema in self._named:
            schema = self._named[schema]
        if isinstance(schema, list):
            return self._optional(schema)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, dict | list):
            return self.read(kind)
        if isinstance(schema, dict) and "name" in schema:
            self._named[schema["name"]] = schema
        readers: dict[str, Callable[[Any], str]] = {
            "string": self._string,
            "int": self._number,
            "long": self._number,
            "double": self._double,
            "boolean": self._boolean,
            "enum": self._enum,
            "array": self._array,
            "record": self._record,
        }
        if kind not in readers:
            raise UnsupportedError(kind)
        return readers[kind](schema)

    def _add(self, *lines: str) -> None:
        self.lines += ["    " * self._indent + line for line in lines]

    def _name(self) -> str:
        return f"v{next(self._numbers)}"

    def _constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def _fields(self, schema: dict[str, Any]) -> list[str]:
        """Reads the fields of a record; the expressions that have them then."""
        fields = schema["fields"]
        *others, last = fields
        optional = len(list(takewhile(_is_optional, reversed(others))))
        if optional < 2 or not _is_optional(last):
            return list(map(self.read, fields))
        end = len(others) - min(optional, _SELDOM)
        start = end - (_OF_REGISTERS if optional >= _OF_REGISTERS + _SELDOM else 0)
        names = list(map(self.read, others[:start]))
        if start < end:
            names += self._absent(others[start:end])
        names += self._absent(others[end:], "\2")
        return [*names, self._branch(last["type"])]

    def _absent(self, fields: list[Any], branch: str = "") -> list[str]:
        """Reads optional fields, most often zeros, and the branch of the one behind them if one is usual."""
        begin = len(self.lines)
        self._indent += 1
        names = list(map(self.read, fields))
        if branch:
            self._add("b = data[p]; p += 1")
        self._indent -= 1
        each, self.lines = self.lines[begin:], self.lines[:begin]
        size = len(fields) + len(branch)
        given = self._constant("\0" * len(fields) + branch)
        self._add(
            f"if text[p:p + {size}] == {given}:",  # in C, as a comparison of bytes is not
            f"    {' = '.join(names)} = None; p += {size}"
            + (f"; b = {ord(branch)}" if branch else ""),
            "else:",
        )
        self.lines += each
        return names

    def _optional(self, schema: list[Any]) -> str:
        if schema == ["null", "string"]:
            return self._optional_string()
        self._add("b = data[p]; p += 1")
        return self._branch(schema)

    def _branch(self, schema: list[Any]) -> str:
        """Reads the value of which the branch `b` is read."""
        if len(schema) != 2 or schema[0] != "null":
            raise UnsupportedError("union")
        name = self._name()
        self._add("if b == 2:")
        self._indent += 1
        self._add(f"{name} = {self.read(schema[1])}")
        self._indent -= 1
        self._add(f"elif b == 0: {name} = None", "else: _fail()")
        return name

    def _optional_string(self) -> str:
        name = self._name()
        self._add("b = data[p]", "if b == 2:")
        self._indent += 1
        self._take_string(name, 1)
        self._indent -= 1
        self._add(f"elif b == 0: {name} = None; p += 1", "else: _fail()")
        return name

    def _length(self) -> str:
        """Reads a number. Row numbers and lines of most files take three bytes at most."""
        name = self._name()
        self._add(
            f"{name} = data[p]; p += 1",
            f"if {name} > 127:",
            f"    b = data[p]; p += 1; {name} = {name} & 0x7F | b << 7",
            "    if b > 127:",
            f"        b = data[p]; p += 1; {name} = {name} & 0x3FFF | b << 14",
            f"        if b > 127: {name}, p = _rest(data, p, {name} & 0x1FFFFF, 21)",
            f"{name} = ~({name} >> 1) if {name} & 1 else {name} >> 1",
        )
        return name

    def _string(self, _: Any) -> str:
        name = self._name()
        self._take_string(name, 0)
        return name

    def _take_string(self, name: str, ahead: int) -> None:
        # A slice of text is an ASCII string at a third of the cost of decoding bytes.
        self._add(
            f"n = _short[data[p + {ahead}]]; q = p + {ahead + 1}",
            f"if n < 0: n, q = _long_text(data, p + {ahead})",
            "p = q + n",
            f"{name} = text[q:p]",
            f"if not {name}.isascii(): {name} = data[q:p].decode()",
        )

    def _number(self, schema: Any) -> str:
        name = self._length()
        logical = schema.get("logicalType") if isinstance(schema, dict) else None
        if logical is None:
            return name
        if logical != "timestamp-millis":
            raise UnsupportedError(logical)
        return f"_millis({name})"

    def _double(self, _: Any) -> str:
        name = self._name()
        self._add(f"{name}, = _unpack_double(data, p); p += 8")
        return name

    def _boolean(self, _: Any) -> str:
        name = self._name()
        self._add(f"{name} = data[p] != 0; p += 1")
        return name

    def _enum(self, schema: Any) -> str:
        symbols = self._constant(dict(enumerate(schema["symbols"])))
        return f"{symbols}[{self._length()}]"

    def _array(self, schema: Any) -> str:
        name, left = self._name(), self._name()
        self._add(f"{name} = []", "while True:")
        self._indent += 1
        size = self._length()
        self._add(f"if {size} == 0: break", f"if {size} < 0:")
        self._indent += 1
        self._add(f"{size} = -{size}")
        self._length()  # of the block in bytes, for those who skip it
        self._indent -= 1
        self._add(f"for {left} in range({size}):")
        self._indent += 1
        self._add(f"{name}.append({self.read(schema['items'])})")
        self._indent -= 2
        return name

    def _record(self, schema: Any) -> str:
        names = [field["name"] for field in schema["fields"]]
        values = self._fields(schema)
        pairs = [f"{name!r}: {value}" for name, value in zip(names, values, strict=True)]
        name = self._name()
        self._add(f"{name} = {{{', '.join(pairs)}}}")
        return name


def _is_optional(field: Any) -> bool:
    return isinstance(field["type"], list)


class _Tuples(_Source):
    """Records as tuples: what is made of a batch works on columns, which tuples zip to."""

    def _record(self, schema: Any) -> str:
        values = ", ".join(self._fields(schema))
        name = self._name()
        self._add(f"{name} = ({values},)")
        return name


def _rest(data: bytes, p: int, value: int, first: int) -> tuple[int, int]:
    """The number whose lowest `first` bits are read, before zigzag."""
    for shift in range(first, 70, 7):  # 64 bits take ten bytes at most
        byte = data[p]
        p += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, p
    raise ValueError("a number of more than 64 bits")


# The length of a text by its first byte, where it takes one byte.
_SHORT = [-1 if byte & 0x81 else byte >> 1 for byte in range(256)]


def _long_text(data: bytes, p: int) -> tuple[int, int]:
    length, p = _rest(data, p, 0, 0)
    if length & 1:
        _fail()
    return length >> 1, p


def _millis(value: int) -> datetime:
    try:
        return EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        raise ValueError(
            f"{value} is not a time in milliseconds; microseconds or nanoseconds?"
        ) from None


def _fail() -> None:
    raise ValueError("no such branch or length")
