"""Bytes to record and back: Avro in Confluent's framing.

Framing (Confluent, "Wire format"): a zero byte, the schema id as four bytes big-endian, then the
Avro binary encoding. Any bytes give either a record or a DecodeError, nothing else.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import resources
from io import BytesIO
from typing import Any, Protocol

import fastavro

from schemas.registry import Schema, SchemaUnknownError

Record = dict[str, Any]

NAMESPACE = "fr.foxreviews.foxstream"
_HEADER = struct.Struct(">bI")


class DecodeError(ValueError):
    """These bytes are not a record of the expected schema; `code` says why, as docs/errors.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SchemaSource(Protocol):
    """Where decoders look schema ids up: schemas.registry.Registry, or a fake."""

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
        self._prefix = _HEADER.pack(0, schema_id)

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Raises ValueError where the record does not fit the schema."""
        buffer = BytesIO()
        buffer.write(self._prefix)
        fastavro.schemaless_writer(buffer, self._schema, record)
        return buffer.getvalue()


class Decoder:
    """Records of one schema, whichever compatible schema they were written with.

    The source is asked once per schema id, and passes its own errors on (a registry that is down
    says nothing about the bytes).
    """

    def __init__(self, record: str, source: SchemaSource) -> None:
        self._reader_schema = fastavro.parse_schema(load(record))
        self._source = source
        self._known: dict[int, Callable[[BytesIO], Record]] = {}

    def decode(self, value: bytes | None) -> Record:
        """Raises DecodeError, and what the schema source raises where it cannot answer."""
        [result] = self.decode_all([value])
        if isinstance(result, DecodeError):
            raise result
        return result

    def decode_all(self, values: Sequence[bytes | None]) -> list[Record | DecodeError]:
        """One result for each value, in order.

        The payloads lie end to end in one buffer: half the cost of a buffer each. A record that
        does not end where its payload ends is damaged, whatever it reads as.
        """
        results: list[Record | DecodeError] = []
        buffer = BytesIO(b"".join([value or b"" for value in values]))
        seek, tell = buffer.seek, buffer.tell
        read: Callable[[BytesIO], Record] | None = None
        prefix, end = b"", 0
        for value in values:
            start, end = end, end + len(value or b"")
            try:
                if read is None or value is None or value[:5] != prefix:
                    read = self._reader(value)
                    prefix = (value or b"")[:5]
                seek(start + 5)
                record = read(buffer)
                if tell() != end:
                    raise DecodeError("undecodable", "the record does not end where it should")  # noqa: TRY301 - one handler for all that is wrong with these bytes
                results.append(record)
            except DecodeError as error:
                read = None
                results.append(error)
        return results

    def _reader(self, value: bytes | None) -> Callable[[BytesIO], Record]:
        if value is None:
            raise DecodeError("undecodable", "the record has no value")
        if len(value) < _HEADER.size or value[0] != 0:
            raise DecodeError("undecodable", "the value is not Avro in Confluent's framing")
        schema_id: int = _HEADER.unpack_from(value)[1]
        known = self._known.get(schema_id)
        if known is None:
            known = self._known[schema_id] = self._resolve(schema_id)
        return known

    def _resolve(self, schema_id: int) -> Callable[[BytesIO], Record]:
        try:
            written = self._source.schema(schema_id)
        except SchemaUnknownError as error:
            raise DecodeError(
                "unknown-schema", f"the registry holds no schema {schema_id}"
            ) from error
        reader = self._reader_schema
        try:
            writer = fastavro.parse_schema(written)
        except Exception as error:  # whatever a foreign schema makes fastavro raise
            raise DecodeError("unknown-schema", f"schema {schema_id} is not Avro") from error
        if writer == reader:
            return _guarded(partial(_read, writer=writer, reader=None))
        return _guarded(partial(_read, writer=writer, reader=reader))


def _read(buffer: BytesIO, writer: Any, reader: Any) -> Any:
    # A union of records reads as (name, record); one of a record and null as the record.
    return fastavro.schemaless_reader(
        buffer, writer, reader, return_record_name=True, return_record_name_override=True
    )


def _guarded(read: Callable[[BytesIO], Any]) -> Callable[[BytesIO], Record]:
    def guarded(buffer: BytesIO) -> Record:
        try:
            record: Record = read(buffer)
        except Exception as error:
            # fastavro raises whatever it meets in damaged bytes: EOFError, IndexError,
            # UnicodeDecodeError, OverflowError, MemoryError and more.
            raise DecodeError("undecodable", f"the value cannot be read: {error!r}") from error
        return record

    return guarded
