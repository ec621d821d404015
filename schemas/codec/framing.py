"""Bytes to record and back: Avro in Confluent's framing.

Framing (Confluent, "Wire format"): a zero byte, the schema id as four bytes big-endian, then the
Avro binary encoding. Any bytes give either a record or a DecodeError, nothing else.
"""

import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, cached_property
from importlib import resources
from io import BytesIO
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeVar, cast

import fastavro
import fastavro.validation

from schemas.codec.avro_reader import (
    Reader,
    RowsReader,
    compile_reader,
    compile_row_reader,
    compile_rows_reader,
)
from schemas.codec.avro_writer import Columns, Write, column_writer
from schemas.codec.canonical import reading_form
from schemas.codec.schema import Schema, SchemaUnknownError
from schemas.codec.schema_bounds import check_json, check_types

Record = dict[str, Any]
Values = tuple[Any, ...]
"""Of a record, in the order of its schema's fields."""
Decoded = TypeVar("Decoded")

MOST_SCHEMAS = 1000
"""The most schemas that a decoder keeps; the first one, which is most often our own, stays."""

NAMESPACE = "fr.foxreviews.foxstream"
_HEADER = struct.Struct(">bI")


class DecodeError(ValueError):
    """These bytes are not a record of the expected schema; `code` says why, as docs/errors.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_OVERRUN = DecodeError("undecodable", "the record does not end where it should")
_UNFRAMED = DecodeError("undecodable", "the value is not Avro in Confluent's framing")
_EIGHT_BYTES = DecodeError(
    "undecodable",
    "the value looks like Apicurio's own framing, with an id of 8 bytes: set its serializer to "
    "apicurio.registry.as-confluent=true and apicurio.registry.use-id=contentId",
)
"""Ids begin at 1. An id of 8 bytes is most often Apicurio's globalId, which its Confluent API does
not know: the contentId of the same number may be of another schema."""


class SchemaSource(Protocol):
    """Where decoders look schema ids up: schemas.runtime.registry.Registry, or a fake."""

    def schema(self, schema_id: int) -> Schema: ...


@cache
def load(record: str) -> Schema:
    """The schema schemas/avro/`record`.avsc as registered: records of other files stand in it."""
    folder = resources.files("schemas") / "avro"
    shared = {f"{NAMESPACE}.ImportLine": folder / "import_line.avsc"}

    def inline(node: Any) -> Any:
        if isinstance(node, str) and node in shared:
            return json.loads(shared[node].read_text(encoding="utf-8"))
        if isinstance(node, list):
            return [inline(item) for item in node]
        if isinstance(node, dict):
            return {key: inline(value) if key in _TYPES else value for key, value in node.items()}
        return node

    whole: Schema = inline(json.loads((folder / f"{record}.avsc").read_text(encoding="utf-8")))
    return whole


_TYPES = ("type", "fields", "items", "values")


class Encoder:
    """Records of one schema, under the id that the registry gave it."""

    def __init__(self, record: str, schema_id: int) -> None:
        self._schema = fastavro.parse_schema(load(record))
        self.schema_id = schema_id

    @property
    def _prefix(self) -> bytes:
        return _HEADER.pack(0, self.schema_id)

    @cached_property
    def _write_columns(self) -> Write:
        return column_writer(self._schema)

    def encode_all(self, records: Sequence[Mapping[str, Any]] | Columns) -> list[bytes]:
        """Many records at once, each with every field: a quarter of the cost of one by one.

        Only for row records. Raises KeyError, AttributeError or TypeError where one does not fit.
        """
        prefix = self._prefix
        return [prefix + value for value in self._write_columns(records)]

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Raises ValueError where the record does not fit the schema."""
        buffer = BytesIO()
        buffer.write(self._prefix)
        try:
            # The writer alone would take an int of more than 32 bits, which nobody else reads.
            fastavro.validate(record, self._schema, raise_errors=True)
            fastavro.schemaless_writer(buffer, self._schema, record)
        except (fastavro.validation.ValidationError, ValueError, TypeError) as error:
            raise ValueError(f"the record does not fit its schema: {error}") from error
        return buffer.getvalue()


class _Decoder(ABC, Generic[Decoded]):
    """Values of one schema, whichever compatible schema they were written with.

    `own_id` is the id of our own schema, if it is known: nothing is asked about it. The source is queried once per schema id, and its own errors are raised (a registry that is down
    says nothing about the bytes).
    """

    def __init__(self, record: str, source: SchemaSource, own_id: int | None = None) -> None:
        self._schema = load(record)
        self._reader_schema = fastavro.parse_schema(self._schema)
        self._form = reading_form(self._reader_schema)
        self._source = source
        self._known: dict[bytes, Reader] = {}
        self._forms: dict[bytes, Any] = {}
        """What the known prefixes mean."""
        if own_id is not None:
            prefix = _HEADER.pack(0, own_id)
            self._known[prefix], self._forms[prefix] = self._own, self._form

    @cached_property
    def _own(self) -> Reader:
        return self._compile()

    @abstractmethod
    def _compile(self) -> Reader:
        """Reads what our own schema wrote."""

    def knows(self, values: Iterable[bytes | None]) -> bool:
        """Whether these can be decoded without asking the source."""
        return self._known.keys() >= {(value or b"")[: _HEADER.size] for value in values}

    def decode(self, value: bytes | None) -> Decoded:
        """Raises DecodeError, and what the schema source raises where it cannot answer."""
        [result] = self.decode_all([value])
        if isinstance(result, DecodeError):
            raise result
        return result

    def decode_all(self, values: Sequence[bytes | None]) -> Sequence[Decoded | DecodeError]:
        """One result for each value, in order.

        The values lie end to end in one buffer: half the cost of a buffer each. A record that does
        not end where its value ends is damaged, whatever it reads as.
        """
        results: list[Decoded | DecodeError] = []
        refused: dict[bytes, DecodeError] = {}
        data = b"".join([value or b"" for value in values])
        text = data.decode("latin-1")
        known, size = self._known, _HEADER.size
        end = 0
        for value in values:
            start, end = end, end + len(value or b"")
            prefix = data[start : min(start + size, end)]
            try:
                read = known.get(prefix) or self._learn(prefix, refused)
            except DecodeError as error:
                results.append(error)
                continue
            try:
                record, reached = read(data, text, start + size)
            except DecodeError as error:
                results.append(error)
                continue
            except Exception as error:  # noqa: BLE001
                # Damaged bytes make a reader raise whatever they lead it to: EOFError, IndexError,
                # UnicodeDecodeError, OverflowError, MemoryError and more.
                # Some of their messages hold whole schemas.
                reason = repr(error)[:200]
                results.append(DecodeError("undecodable", f"the value cannot be read: {reason}"))
                continue
            results.append(record if reached == end else _OVERRUN)
        return results

    def _learn(self, prefix: bytes, refused: dict[bytes, DecodeError]) -> Reader:
        """Asks the source once a batch; what it does not know now it may know with the next."""
        if prefix in refused:
            raise refused[prefix]
        try:
            self._forms[prefix], self._known[prefix] = self._look_up(prefix)
        except DecodeError as error:
            refused[prefix] = error
            raise
        # The number of schemas that a sender may register is not limited.
        for forgotten in list(self._known)[1:-MOST_SCHEMAS]:
            del self._known[forgotten], self._forms[forgotten]
        return self._known[prefix]

    def recheck(self) -> list[int]:
        """Asks the source again for all that is known; the ids that mean something else than before.

        What the source lost stays known: values that were written with it are there still. Raises
        what the source raises if it cannot answer.
        """
        changed = []
        for prefix, form in list(self._forms.items()):
            with suppress(DecodeError):
                now, reader = self._look_up(prefix)
                if now != form:
                    self._forms[prefix], self._known[prefix] = now, reader
                    changed.append(int(_HEADER.unpack(prefix)[1]))
        return changed

    def _look_up(self, prefix: bytes) -> tuple[Any, Reader]:
        """What a prefix means, as reading_form, and what reads the values behind it."""
        if len(prefix) < _HEADER.size or prefix[0] != 0:
            raise _UNFRAMED
        schema_id: int = _HEADER.unpack(prefix)[1]
        if schema_id == 0:
            raise _EIGHT_BYTES
        try:
            written = self._source.schema(schema_id)
        except SchemaUnknownError as error:
            raise DecodeError(
                "unknown-schema", f"the registry holds no schema {schema_id}: {error}"
            ) from error
        try:
            check_json(written)
            writer = fastavro.parse_schema(written)
        except Exception as error:  # whatever a foreign schema makes fastavro raise
            raise DecodeError("unknown-schema", f"schema {schema_id} is not Avro") from error
        try:
            check_types(writer)
        except ValueError as error:
            raise DecodeError("unknown-schema", f"schema {schema_id}: {error}") from error
        form = reading_form(writer)
        if form == self._form:
            return form, self._own
        if other := _other_record(writer, self._reader_schema):
            return form, _refusing(other)
        return form, _resolving_reader(writer, self._reader_schema, self._own)


AnyDecoder = _Decoder[Any]


class Decoder(_Decoder[Record]):
    """Values to records by the name of their fields."""

    def _compile(self) -> Reader:
        return compile_reader(self._schema) or _fastavro_reader(self._reader_schema)


class RowDecoder(_Decoder[Values]):
    """Values of row topics to tuples, also where a record stands in another: for batches of them.

    `fields` are the names of the outermost.
    """

    @cached_property
    def fields(self) -> tuple[str, ...]:
        return tuple(field["name"] for field in self._schema["fields"])

    @cached_property
    def _read_all(self) -> RowsReader:
        return compile_rows_reader(self._schema)

    def decode_all(self, values: Sequence[bytes | None]) -> Sequence[Values | DecodeError]:
        """As of any decoder; at once where our own schema wrote all, as nearly always."""
        prefixes = {(value or b"")[: _HEADER.size] for value in values}
        if len(prefixes) == 1 and self._known.get(*prefixes) is self._own:
            written = cast("Sequence[bytes]", values)  # nothing would have another prefix
            data = b"".join(written)
            ends = list(accumulate(map(len, written)))
            starts = [_HEADER.size, *(end + _HEADER.size for end in ends)]
            with suppress(Exception):  # one by one it comes out which are damaged
                return self._read_all(data, data.decode("latin-1"), starts, ends)
        return super().decode_all(values)

    def _compile(self) -> Reader:
        reader = compile_row_reader(self._schema)
        assert reader is not None  # noqa: S101 - of schemas of our own making
        return reader


def _fastavro_reader(writer: Any, reader: Any = None) -> Reader:
    def read(data: bytes, _: str, start: int) -> tuple[Record, int]:
        buffer = BytesIO(data)  # which copies nothing; several threads read at once
        buffer.seek(start)
        # A union of records reads as (name, record); one of a record and null as the record.
        record: Any = fastavro.schemaless_reader(
            buffer, writer, reader, return_record_name=True, return_record_name_override=True
        )
        return record, buffer.tell()

    return read


def _resolving_reader(writer: Any, reader: Any, own: Reader) -> Reader:
    """Reads what another schema wrote, then writes and reads it with ours.

    fastavro takes logical types from the writer's schema: a time could come as a number, a text as
    a UUID. What survives our own schema has our own types.
    """
    resolve = _fastavro_reader(writer, reader)
    local_times = any(str(kind).startswith("local-timestamp-") for kind in _logical_types(writer))

    def read(data: bytes, text: str, start: int) -> tuple[Any, int]:
        record, end = resolve(data, text, start)
        if local_times:
            _refuse_local_times(record)
        buffer = BytesIO()
        fastavro.schemaless_writer(buffer, reader, record)
        again = buffer.getvalue()
        return own(again, again.decode("latin-1"), 0)[0], end

    return read


def _other_record(writer: Any, reader: Any) -> str | None:
    """Why no value of `writer` is one of `reader`: a record of another name, or not a record."""
    if isinstance(writer, list):
        return None  # the value says which
    kind = writer["type"] if isinstance(writer, dict) else writer
    if kind != "record":
        return f"the schema of the value is {kind!r}, not the record {reader['name']}"
    names = {reader["name"].rpartition(".")[2], *reader.get("aliases", ())}
    if names & {writer["name"], writer["name"].rpartition(".")[2]}:
        return None
    return f"the value is a record {writer['name']}, and this topic takes {reader['name']}"


def _refusing(reason: str) -> Reader:
    def read(_: bytes, __: str, ___: int) -> tuple[Any, int]:
        raise DecodeError("undecodable", reason)

    return read


def _logical_types(schema: Any) -> Iterator[Any]:
    if isinstance(schema, dict):
        yield schema.get("logicalType")
        for name in ("type", "items", "values"):
            yield from _logical_types(schema.get(name))
        for field in schema.get("fields", ()):
            yield from _logical_types(field["type"])
    elif isinstance(schema, list):
        for each in schema:
            yield from _logical_types(each)


def _refuse_local_times(record: Any) -> None:
    """fastavro would take a time without a zone for one in the zone of this process."""
    for name, value in record.items():
        if isinstance(value, datetime) and value.tzinfo is None:
            raise DecodeError(
                "undecodable", f"{name} is a local time, whose zone nobody knows: timestamp-millis"
            )
