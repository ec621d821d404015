"""Bytes to records: whatever the bytes, and whichever schema they were written with."""

import json
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.processes.ports import free_port
from schemas.codec.framing import NAMESPACE, DecodeError, Decoder, Encoder, Record, RowDecoder, load
from schemas.codec.schema import Schema, SchemaUnknownError
from schemas.runtime.registry import Registry, RegistryUnavailableError
from tests.contract.test_fast_avro import nameless
from tests.examples import examples

OURS = 1
UNKNOWN = 404
IMPORT = {"id": "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e", "number": 1, "line": 2}
SAMPLES: dict[str, Record] = {
    "entreprise_row": {
        "siren": "732829320",
        "nom": "Société Éclair",
        "is_active": True,
        "observed_at": datetime(2025, 3, 1, 8, 30, 0, 1000, tzinfo=UTC),
        "import": {
            **IMPORT,
            "cells": ["", "é"],
            "faults": [{"column": None, "code": "malformed", "message": "non"}],
        },
    },
    "ville_row": {
        "nom": "Rennes",
        "code_postal_principal": "35000",
        "codes_postaux": ["35000", "35200"],
        "lat": 48.1,
        "population": 225_081,
    },
    "import_event": {
        "import_id": IMPORT["id"],
        "at": datetime(2025, 3, 1, tzinfo=UTC),
        "event": (
            f"{NAMESPACE}.ReadingFinished",
            {"total_rows": 3, "warnings_by_code": {"malformed": 2}},
        ),
    },
    "import_state": {
        "id": IMPORT["id"],
        "version": 2,
        "import_type": "VILLE",
        "status": "ERROR",
        "file_name": "villes.csv",
        "file_sha256": "0" * 64,
        "created_at": datetime(2025, 3, 1, tzinfo=UTC),
        "error": {"code": "encoding", "message": "non"},
    },
}

records = pytest.mark.parametrize("record", SAMPLES)


class Schemas:
    """A registry in memory, which counts what it is asked."""

    def __init__(self, held: Mapping[int, Schema]) -> None:
        self._held = held
        self.asked: list[int] = []

    def schema(self, schema_id: int) -> Schema:
        self.asked.append(schema_id)
        if schema_id not in self._held:
            raise SchemaUnknownError(f"no {schema_id}")
        return self._held[schema_id]


@cache
def decoder(record: str) -> Decoder:
    """One for all examples of a property: what it has seen must not change what it says."""
    return Decoder(record, Schemas({OURS: load(record), 2: _grown(record)}))


def encoded(record: str, schema_id: int = OURS) -> bytes:
    return Encoder(record, schema_id).encode(SAMPLES[record])


def written(schema: Schema, datum: Any, schema_id: int = OURS) -> bytes:
    """What an upstream system with a schema of its own puts on a topic."""
    buffer = BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
    buffer.seek(5)
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(deepcopy(schema)), datum)
    return buffer.getvalue()


def read(record: str, schema: Schema, datum: Any) -> Record:
    return Decoder(record, Schemas({OURS: schema})).decode(written(schema, datum))


def told(result: object) -> object:
    """A result as something that compares."""
    return result.code if isinstance(result, DecodeError) else result


def _grown(record: str) -> Schema:
    """A later version of a schema: a nullable field more, in front of all others."""
    schema = deepcopy(load(record))
    schema["fields"].insert(0, {"name": "later", "type": ["null", "string"], "default": None})
    return schema


def _shrunk(node: Any, kept: Collection[str]) -> Any:
    """An earlier version of a schema: without the fields that have a default, but for some."""
    if isinstance(node, list):
        return [_shrunk(item, kept) for item in node]
    if not isinstance(node, dict):
        return node
    shrunk = {key: _shrunk(value, kept) for key, value in node.items()}
    if "fields" in shrunk:
        shrunk["fields"] = [
            field for field in shrunk["fields"] if "default" not in field or field["name"] in kept
        ]
    return shrunk


def _damaged(value: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that are nearly a record: cut, continued, or with a few others in their midst."""
    places = st.integers(0, len(value))
    return st.one_of(
        places.map(lambda end: value[:end]),
        st.binary(min_size=1, max_size=8).map(lambda more: value + more),
        st.tuples(places, st.binary(min_size=1, max_size=6)).map(
            lambda other: value[: other[0]] + other[1] + value[other[0] + len(other[1]) :]
        ),
    )


def _values(record: str) -> st.SearchStrategy[bytes | None]:
    """All kinds of values that may stand on a topic."""
    ours, later = encoded(record), written(_grown(record), SAMPLES[record], 2)
    return st.one_of(
        st.none(),
        st.binary(max_size=30),
        st.binary(max_size=30).map(lambda rest: ours[:5] + rest),
        st.just(ours),
        st.just(later),
        st.just(encoded(record, UNKNOWN)),
        _damaged(ours),
        _damaged(later),
    )


@records
@settings(deadline=None, max_examples=examples(150))
@given(data=st.data())
def test_any_bytes(record: str, data: st.DataObject) -> None:
    """Any bytes are a record or a DecodeError, and nothing else comes out or is raised."""
    value = data.draw(_values(record))

    [result] = decoder(record).decode_all([value])

    if isinstance(result, DecodeError):
        assert result.code in {"undecodable", "unknown-schema"}
    else:
        assert set(result) == {field["name"] for field in load(record)["fields"]}


@records
@settings(deadline=None, max_examples=examples(100))
@given(data=st.data())
def test_neighbours(record: str, data: st.DataObject) -> None:
    """What a value reads as does not depend on the values before and after it."""
    values = data.draw(st.lists(_values(record), max_size=8))

    together = decoder(record).decode_all(values)

    alone = [decoder(record).decode_all([value])[0] for value in values]
    assert [told(result) for result in together] == [told(result) for result in alone]


@pytest.mark.parametrize("record", ["entreprise_row", "ville_row"])
@settings(deadline=None, max_examples=examples(100))
@given(data=st.data())
def test_rows_are_the_same_records(record: str, data: st.DataObject) -> None:
    """A row decoder refuses what the other does, and reads the same values without their names."""
    values = data.draw(st.lists(_values(record), max_size=8))
    schemas = Schemas({OURS: load(record), 2: _grown(record)})

    rows = RowDecoder(record, schemas)

    results = decoder(record).decode_all(values)
    assert [told(row) for row in rows.decode_all(values)] == [
        told(result) if isinstance(result, DecodeError) else nameless(result) for result in results
    ]
    assert rows.fields == tuple(field["name"] for field in load(record)["fields"])


@records
@pytest.mark.parametrize("schema_id", [OURS, UNKNOWN])
def test_bad_between_good(record: str, schema_id: int) -> None:
    """Each of many bad values leaves the good ones on both sides of it as they are."""
    good = encoded(record)
    bad = [
        None,
        b"",
        good[:5],
        good[:-1],
        good + b"\0",
        good + good,
        b"\1" + good[1:],
        encoded(record, UNKNOWN),
        good[:5] + b"\x02\x01abc",  # a length of -1
        good[:5] + b"\x02\xfe\xff\xff\xff\xff\xff\xff\xff\x7f",  # a length of exabytes
        good[:5] + b"\xff" * 30,  # a number without an end
    ]
    values = [value for each in bad for value in (encoded(record, schema_id), each, good)]

    results = decoder(record).decode_all(values)

    once = decoder(record).decode(good)
    assert results[2::3] == [once] * len(bad)
    assert all(isinstance(result, DecodeError) for result in results[1::3])
    assert [told(result) for result in results[::3]] == [
        once if schema_id == OURS else "unknown-schema"
    ] * len(bad)


@records
def test_cut_anywhere(record: str) -> None:
    """No beginning of a value is a record, alone or before another value."""
    good = encoded(record)
    beginnings = [good[:end] for end in range(len(good))]

    for values in [*([one] for one in beginnings), *([one, good] for one in beginnings)]:
        assert isinstance(decoder(record).decode_all(values)[0], DecodeError)


@records
def test_continued(record: str) -> None:
    """A value with anything behind its record is no record."""
    for byte in range(256):
        with pytest.raises(DecodeError) as caught:
            decoder(record).decode(encoded(record) + bytes([byte]))

        assert caught.value.code == "undecodable"


@pytest.mark.parametrize("moment", [2**53, 2**63 - 1, -(2**63)])
def test_moments_beyond_the_calendar(moment: int) -> None:
    """A time that no calendar has is a DecodeError."""
    value = written(load("ville_row"), {"nom": "A", "observed_at": moment})

    with pytest.raises(DecodeError):
        decoder("ville_row").decode(value)


def test_schema_that_nobody_knows() -> None:
    """A value with an id that the registry does not hold is told from a damaged one."""
    with pytest.raises(DecodeError) as caught:
        decoder("ville_row").decode(encoded("ville_row", UNKNOWN))

    assert caught.value.code == "unknown-schema"


def test_asked_once() -> None:
    """The registry is asked once for each schema id of a batch, known or not, however many use it."""
    source = Schemas({OURS: load("ville_row")})
    values = [encoded("ville_row"), encoded("ville_row", UNKNOWN)] * 50

    Decoder("ville_row", source).decode_all(values)

    assert sorted(source.asked) == [OURS, UNKNOWN]


def test_unknown_is_not_for_ever() -> None:
    """A schema that is registered after a first value was refused is found by a later batch."""
    held: dict[int, Schema] = {}
    reading = Decoder("ville_row", Schemas(held))
    refused = reading.decode_all([encoded("ville_row")])
    held[OURS] = load("ville_row")

    assert isinstance(refused[0], DecodeError)
    assert reading.decode(encoded("ville_row"))["nom"] == "Rennes"


def test_registry_that_is_down() -> None:
    """A registry that cannot be reached says nothing about the bytes."""
    with Registry(f"http://127.0.0.1:{free_port()}") as registry:
        reading = Decoder("ville_row", registry)
        for decode in (reading.decode, lambda value: reading.decode_all([b"bad", value])):
            with pytest.raises(RegistryUnavailableError):
                decode(encoded("ville_row"))


@contextmanager
def _answering(status: int, body: bytes) -> Iterator[str]:
    """The address of a server that answers all requests alike."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test tells what matters."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (503, b"<html>"),
        (200, b"<html>a proxy's error page</html>"),
        (200, b"{}"),
        (302, b""),
    ],
)
def test_registry_that_answers_nonsense(status: int, body: bytes) -> None:
    """What is no registry's answer says nothing about the bytes either."""
    with _answering(status, body) as url, Registry(url) as registry:
        reading = Decoder("ville_row", registry)

        with pytest.raises(RegistryUnavailableError):
            reading.decode(encoded("ville_row"))


@pytest.mark.parametrize(
    "schema",
    [
        'syntax = "proto3"; message A { string b = 1; }',
        '{"type": "object", "properties": {}}',
        '{"type": "record", "name": "A"}',
        "42",
    ],
    ids=["protobuf", "json-schema", "half-avro", "number"],
)
def test_schema_that_is_not_avro(schema: str) -> None:
    """A record that names a schema of another kind, of a registry that all share, is refused."""
    body = json.dumps({"schema": schema, "schemaType": "PROTOBUF"}).encode()
    with _answering(200, body) as url, Registry(url) as registry:
        reading = Decoder("ville_row", registry)

        with pytest.raises(DecodeError) as caught:
            reading.decode(encoded("ville_row"))

        assert caught.value.code in {"unknown-schema", "undecodable"}


@pytest.mark.parametrize(
    ("record", "given"),
    [
        ("entreprise_row", {"siren": "732829320", "nom": "A"}),
        ("ville_row", {"nom": "Rennes", "code_postal_principal": "35000"}),
        ("import_event", {**SAMPLES["import_event"], "event": (f"{NAMESPACE}.ReadingFinished", {"total_rows": 3})}),
        ("import_state", {name: SAMPLES["import_state"][name] for name in ("id", "version", "import_type", "status", "file_name", "file_sha256", "created_at")}),
    ],
)  # fmt: skip
def test_older_writer(record: str, given: Record) -> None:
    """A value of an older schema, without the fields that have a default, is read with these."""
    older = _shrunk(load(record), given)

    assert json.dumps(older) != json.dumps(load(record))
    assert read(record, older, given) == decoder(record).decode(Encoder(record, OURS).encode(given))


@records
def test_newer_writer(record: str) -> None:
    """A value of a newer schema, with a nullable field more, is read without it."""
    datum = {**SAMPLES[record], "later": "new"}

    result = read(record, _grown(record), datum)

    assert result == decoder(record).decode(encoded(record))


def test_batches_of_a_newer_writer_in_several_threads() -> None:
    """Each thread reads its own: batches of several partitions are validated side by side."""
    newer = _grown("ville_row")
    source = Schemas({OURS: newer})
    batches = [
        [
            written(
                newer, {**SAMPLES["ville_row"], "nom": f"Ville {number}", "later": "x" * number}
            )
            for number in range(first, first + 100)
        ]
        for first in (0, 100, 200, 300)
    ]
    alone = [Decoder("ville_row", source).decode_all(batch) for batch in batches]
    reading = Decoder("ville_row", source)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(len(batches)) as threads:
            together = list(threads.map(reading.decode_all, batches))
    finally:
        sys.setswitchinterval(interval)

    assert together == alone


def test_newer_line() -> None:
    """A field that is new in the record of the import's line is read over as well."""
    schema = deepcopy(load("ville_row"))
    line = schema["fields"][-1]["type"][1]
    line["fields"].append({"name": "column", "type": ["null", "int"], "default": None})

    result = read("ville_row", schema, {"nom": "A", "import": {**IMPORT, "column": 3}})

    assert result["import"]["line"] == IMPORT["line"]
    assert "column" not in result["import"]


def test_newer_policy() -> None:
    """A policy that this version does not know is read as merge, which erases nothing."""
    schema = deepcopy(load("ville_row"))
    line = schema["fields"][-1]["type"][1]
    [policy] = [field for field in line["fields"] if field["name"] == "policy"]
    policy["type"]["symbols"].append("append")

    result = read("ville_row", schema, {"nom": "A", "import": {**IMPORT, "policy": "append"}})

    assert result["import"]["policy"] == "merge"


@pytest.mark.parametrize("record", SAMPLES)
@pytest.mark.parametrize("other", SAMPLES)
def test_schema_of_another_record(record: str, other: str) -> None:
    """A value of another record's schema is refused, though all fields it lacks have defaults."""
    if record == other:
        return
    with pytest.raises(DecodeError) as caught:
        read(record, load(other), SAMPLES[other])

    assert caught.value.code == "undecodable"


@pytest.mark.parametrize(
    ("field", "kind", "value"),
    [
        ("observed_at", "long", 1_700_000_000_000),
        ("observed_at", ["null", "long"], 1_700_000_000_000),
        ("observed_at", {"type": "long", "logicalType": "local-timestamp-millis"}, 1),
        ("nom", {"type": "string", "logicalType": "uuid"}, IMPORT["id"]),
    ],
    ids=["bare-long", "bare-nullable-long", "local-time", "uuid"],
)
def test_logical_types_of_the_writer(field: str, kind: Any, value: Any) -> None:
    """A type that the registry holds for compatible is read as the reader's own, or refused."""
    fields = [{"name": "nom", "type": "string"}, {"name": field, "type": kind}]
    schema = {"type": "record", "name": "VilleRow", "fields": fields[field == "nom" :]}
    source = Schemas({OURS: schema})

    [result] = Decoder("ville_row", source).decode_all(
        [written(schema, {"nom": "A", field: value})]
    )

    if isinstance(result, DecodeError):
        assert result.code == "undecodable"
    else:
        assert isinstance(result["nom"], str)
        assert isinstance(result["observed_at"], datetime | None)
        assert result["observed_at"] is None or result["observed_at"].tzinfo is not None


def test_union_of_records() -> None:
    """A value of a schema that is a choice of records is a record like any other, or refused."""
    schema: Sequence[Schema] = [load("ville_row"), {"type": "record", "name": "B", "fields": []}]
    source = Schemas({OURS: schema})  # type: ignore[dict-item]  # what the registry may answer
    value = written(schema, (f"{NAMESPACE}.VilleRow", {"nom": "A"}))  # type: ignore[arg-type]

    [result] = Decoder("ville_row", source).decode_all([value])

    assert isinstance(result, dict | DecodeError)


@pytest.mark.parametrize(
    ("record", "changed"),
    [
        ("ville_row", {"population": "many"}),
        ("ville_row", {"nom": "\ud800"}),
        ("ville_row", {"import": {"id": "x"}}),
        ("import_event", {"at": "yesterday"}),
        ("import_event", {"event": (f"{NAMESPACE}.Unheard", {})}),
        ("import_state", {"id": 1}),
        ("import_state", {"version": None}),
    ],
)
def test_record_that_does_not_fit(record: str, changed: Record) -> None:
    """A record that does not fit its schema is a ValueError, whatever does not fit."""
    with pytest.raises(ValueError, match=r".+"):
        Encoder(record, OURS).encode({**SAMPLES[record], **changed})


@pytest.mark.parametrize("total", [2**31, -(2**31) - 1, 2**40])
def test_number_that_does_not_fit(total: int) -> None:
    """A number beyond 32 bits is not written where the schema says int: nobody else reads it."""
    event = (f"{NAMESPACE}.ReadingFinished", {"total_rows": total})

    with pytest.raises(ValueError, match=r".+"):
        Encoder("import_event", OURS).encode({**SAMPLES["import_event"], "event": event})
