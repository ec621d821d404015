"""Rows that other people's serializers wrote, with schemas of their own for the same record."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import fastavro
import pytest

from schemas.codec import framing
from schemas.codec.framing import DecodeError, Decoder, RowDecoder, load
from schemas.codec.schema import Schema, SchemaUnknownError

OURS, THEIRS = 1, 2
CITY = {"nom": "Rennes", "code_postal_principal": "35000", "codes_postaux": ["35000"]}


class Schemas:
    """A registry that holds our schema and theirs."""

    def __init__(self, theirs: Any, record: str = "ville_row") -> None:
        self.held = {OURS: load(record), THEIRS: theirs}
        self.asked: list[int] = []

    def schema(self, schema_id: int) -> Schema:
        self.asked.append(schema_id)
        if schema_id not in self.held:
            raise SchemaUnknownError(str(schema_id))
        schema: Schema = json.loads(json.dumps(self.held[schema_id]))
        return schema


def value(schema: Any, datum: Any, schema_id: int = THEIRS) -> bytes:
    buffer = BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(deepcopy(schema)), datum)
    return b"\0" + schema_id.to_bytes(4, "big") + buffer.getvalue()


def refusal(theirs: Any, datum: Any) -> str:
    [result] = RowDecoder("ville_row", Schemas(theirs)).decode_all([value(theirs, datum)])
    assert isinstance(result, DecodeError)
    return f"{result.code}: {result}"


def changed(node: Any, change: Callable[[Any], Any]) -> Any:
    """A schema with each of its types changed."""
    if isinstance(node, list):
        return [changed(each, change) for each in node]
    if isinstance(node, dict):
        inner = ("type", "items", "fields")
        return change({k: changed(v, change) if k in inner else v for k, v in node.items()})
    return change(node)


def java(node: Any) -> Any:
    return {"type": "string", "avro.java.string": "String"} if node == "string" else node


def undocumented(node: Any) -> Any:
    return {k: v for k, v in node.items() if k != "doc"} if isinstance(node, dict) else node


def renamed_once(node: Any) -> Any:
    return {**node, "aliases": ["earlier"]} if isinstance(node, dict) and "name" in node else node


def without_defaults(node: Any) -> Any:
    return {k: v for k, v in node.items() if k != "default"} if isinstance(node, dict) else node


ALIKE = [java, undocumented, renamed_once, without_defaults]


@pytest.mark.parametrize("change", ALIKE)
@pytest.mark.parametrize("record", ["ville_row", "entreprise_row"])
def test_schemas_that_are_read_alike(record: str, change: Callable[[Any], Any]) -> None:
    """What a schema says besides its types costs nothing: the compiled reader reads it."""
    theirs = changed(load(record), change)
    assert json.dumps(theirs) != json.dumps(load(record))
    row = {**CITY, "siren": "732829320"}
    decoder = RowDecoder(record, Schemas(theirs, record))

    both = decoder.decode_all([value(load(record), row, OURS), value(theirs, row)])

    assert both[0] == both[1]
    assert len({id(read) for read in decoder._known.values()}) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda node: "bytes" if node == "string" else node,
        lambda node: "int" if node == "long" else node,
        lambda node: {"type": "string", "logicalType": "uuid"} if node == "string" else node,
        lambda node: list(reversed(node)) if isinstance(node, list) else node,
    ],
    ids=["bytes", "int", "uuid", "null last"],
)
def test_schemas_that_are_not_read_alike(change: Callable[[Any], Any]) -> None:
    """Bytes of another form are not read by our reader."""
    theirs = changed(load("ville_row"), change)
    if json.dumps(theirs) == json.dumps(load("ville_row")):
        theirs["fields"].reverse()
    decoder = RowDecoder("ville_row", Schemas(theirs))

    decoder.decode_all([value(load("ville_row"), CITY, OURS), b"\0\0\0\0\x02"])

    assert len({id(read) for read in decoder._known.values()}) == 2


def test_a_record_of_another_name() -> None:
    """The message names the record; all of them share one message and one request to the registry."""
    theirs = {**load("ville_row"), "name": "City", "namespace": "org.example"}
    schemas = Schemas(theirs)
    decoder = RowDecoder("ville_row", schemas)

    for _ in range(3):
        [result] = decoder.decode_all([value(theirs, CITY)])
        assert isinstance(result, DecodeError)
        assert str(result) == (
            "the value is a record org.example.City, and this topic takes "
            "fr.foxreviews.foxstream.VilleRow"
        )
    assert schemas.asked == [THEIRS]


def test_a_schema_that_is_not_a_record() -> None:
    """The message says that the value is a text, as a serializer writes it that has no schema."""
    assert "'string', not the record" in refusal("string", "Rennes")


def test_our_record_in_another_namespace() -> None:
    """Avro resolves records by their unqualified names."""
    theirs = {**load("ville_row"), "namespace": "org.example"}

    [row] = Decoder("ville_row", Schemas(theirs)).decode_all([value(theirs, CITY)])

    assert isinstance(row, dict)
    assert row["nom"] == "Rennes"


def test_an_id_of_eight_bytes() -> None:
    """Apicurio's own framing is recognised, and the message names the producer's settings."""
    confluent = value(load("ville_row"), CITY, OURS)
    apicurio = b"\0" + OURS.to_bytes(8, "big") + confluent[5:]
    schemas = Schemas(load("ville_row"))

    [result, good] = Decoder("ville_row", schemas).decode_all([apicurio, confluent])

    assert isinstance(result, DecodeError)
    assert result.code == "undecodable"
    assert "apicurio.registry.as-confluent=true" in str(result)
    assert "apicurio.registry.use-id=contentId" in str(result)
    assert isinstance(good, dict)
    assert schemas.asked == [OURS]


def observed(kind: Any) -> Any:
    """Our schema with another type of `observed_at`."""
    theirs = deepcopy(load("ville_row"))
    [field] = [each for each in theirs["fields"] if each["name"] == "observed_at"]
    field["type"] = ["null", kind]
    return theirs


@pytest.mark.parametrize("unit", ["millis", "micros"])
def test_local_times(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time without a zone is refused, whatever the zone of the worker; without one the row is read."""
    theirs = observed({"type": "long", "logicalType": f"local-timestamp-{unit}"})
    noon = datetime(2025, 7, 1, 12)  # noqa: DTZ001 - it is the subject

    assert refusal(theirs, {**CITY, "observed_at": noon}).startswith(
        "undecodable: observed_at is a local time"
    )
    decoder = Decoder("ville_row", Schemas(theirs))
    assert decoder.decode(value(theirs, CITY))["observed_at"] is None


def test_microseconds_by_their_logical_type() -> None:
    """A schema that says microseconds is read as what it says."""
    theirs = observed({"type": "long", "logicalType": "timestamp-micros"})
    moment = datetime(2025, 7, 1, 12, 0, 0, 5000, tzinfo=UTC)

    decoder = Decoder("ville_row", Schemas(theirs))

    assert decoder.decode(value(theirs, {**CITY, "observed_at": moment}))["observed_at"] == moment


@pytest.mark.parametrize("factor", [1000, 1_000_000], ids=["microseconds", "nanoseconds"])
@pytest.mark.parametrize("typed", [True, False])
def test_microseconds_instead_of_milliseconds(factor: int, typed: bool) -> None:
    """The refusal says what is probably wrong."""
    theirs = load("ville_row") if typed else observed("long")
    ticks = 1_751_371_200_000 * factor

    assert "is not a time in milliseconds; microseconds or nanoseconds?" in refusal(
        theirs, {**CITY, "observed_at": ticks}
    )


@pytest.mark.parametrize("kind", ["timestamp-nanos", "local-timestamp-nanos"])
def test_nanoseconds_by_their_logical_type(kind: str) -> None:
    """fastavro knows no nanoseconds; the number is refused, not taken for milliseconds."""
    theirs = observed({"type": "long", "logicalType": kind})

    assert refusal(theirs, {**CITY, "observed_at": 1_751_371_200_000_000_000}).startswith(
        "undecodable:"
    )


def with_field(kind: Any, *types: Any) -> Any:
    """Our cities with one more field, of a type that the reader passes over."""
    theirs = load("ville_row")
    return {**theirs, "fields": [*theirs["fields"], {"name": "more", "type": kind}, *types]}


def nested(levels: int) -> Any:
    kind: Any = "string"
    for _ in range(levels):
        kind = {"type": "array", "items": kind}
    return kind


def doubling(levels: int) -> Any:
    """A record that names another twice, which names another twice, and so on to one without a field."""
    kind: Any = {"type": "record", "name": "R0", "fields": []}
    for level in range(1, levels):
        fields = [{"name": "a", "type": kind}, {"name": "b", "type": f"R{level - 1}"}]
        kind = {"type": "record", "name": f"R{level}", "fields": fields}
    return kind


EMPTY = {"type": "record", "name": "Empty", "fields": []}
LIST = {"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]}
WIDE = {"name": "Wide", "type": "record", "fields": [{"name": f"f{n}", "type": "null"} for n in range(99)]
        + [{"name": "one", "type": "int"}]}  # fmt: skip
COSTLY = {
    "nothing": {"type": "array", "items": "null"},
    "records-of-nothing": {"type": "array", "items": EMPTY},
    "fixed-of-nothing": {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
    "maps-have-keys-but-arrays-in-them": {
        "type": "map",
        "values": {"type": "array", "items": "null"},
    },
    "much-for-one-byte": {"type": "array", "items": WIDE},
    "itself": LIST,
    "itself-for-ever": {"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]},
    "twice-twice-twice": doubling(40),
    "deep": nested(65),
    "very-deep": nested(300),
    "enormous": {"type": "enum", "name": "E", "symbols": [f"s{n}" for n in range(100_001)]},
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_schema_that_makes_work_without_bytes(name: str) -> None:
    """The schema is refused before a value is read: six bytes could hold 2**31 items."""
    theirs = with_field(COSTLY[name])
    behind = b"\0" + THEIRS.to_bytes(4, "big") + b"\0" * 7 + b"\xfe\xff\xff\xff\x0f" + b"\0" * 9

    [result] = RowDecoder("ville_row", Schemas(theirs)).decode_all([behind])

    assert isinstance(result, DecodeError)
    assert result.code == "unknown-schema"


@pytest.mark.parametrize(
    "kind",
    [
        nested(20),
        {"type": "map", "values": "null"},
        {"type": "array", "items": ["null", "string"]},
        {"type": "array", "items": {"type": "record", "name": "Wide", "fields": [
            {"name": f"f{n}", "type": ["null", "string"]} for n in range(300)]}},
        {"type": "record", "name": "Twice", "fields": [
            {"name": "a", "type": EMPTY}, {"name": "b", "type": "Empty"}]},
    ],
    ids=["twenty-levels", "map", "optional-items", "wide", "named-twice"],
)  # fmt: skip
def test_a_schema_of_another_system_that_is_large_but_sound(kind: Any) -> None:
    empty: Any = {"a": {}, "b": {}} if isinstance(kind, dict) and kind["type"] == "record" else []
    theirs = with_field(kind)
    datum = {**CITY, "more": {} if kind["type"] == "map" else empty, "import": None}

    [result] = RowDecoder("ville_row", Schemas(theirs)).decode_all([value(theirs, datum)])

    assert not isinstance(result, DecodeError), result


def test_a_decoder_keeps_a_bounded_number_of_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own stays; one that was forgotten is asked for again."""
    monkeypatch.setattr(framing, "MOST_SCHEMAS", 3)
    schemas = Schemas(load("ville_row"))
    for schema_id in range(THEIRS, 10):
        schemas.held[schema_id] = load("ville_row")
    decoder = RowDecoder("ville_row", schemas, OURS)
    datum = {**CITY, "import": None}

    for schema_id in (OURS, *range(THEIRS, 10), THEIRS, OURS):
        [result] = decoder.decode_all([value(load("ville_row"), datum, schema_id)])
        assert not isinstance(result, DecodeError)

    assert schemas.asked == [*range(THEIRS, 10), THEIRS]
    assert len(decoder._known) == 4
