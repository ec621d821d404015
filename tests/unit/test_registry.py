"""What the client of the schema registry takes for an answer, and what it does without one."""

import json
from collections.abc import Iterator
from copy import deepcopy
from io import BytesIO
from typing import Any

import fastavro
import pytest

from schemas.codec.framing import DecodeError, Decoder, load
from schemas.codec.schema import SchemaUnknownError
from schemas.runtime.registry import MOST_REFERENCES, Registry, RegistryUnavailableError
from tests.fake_registry import Answer, FakeRegistry, fake_registry, unknown

SUBJECT = "fox.rows.ville-value"
CITY = load("ville_row")


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with fake_registry(schemas={1: CITY}, subjects={SUBJECT: 1}) as registry:
        yield registry


def test_answers(fake: FakeRegistry) -> None:
    """The schema of an id, and the id of a schema."""
    with Registry(fake.url) as registry:
        registry.answers()

        assert registry.schema(1) == CITY
        assert registry.schema_id(SUBJECT, CITY) == 1


@pytest.mark.parametrize("code", [40401, 40402, 40403])
def test_unknown_by_the_registrys_own_code(fake: FakeRegistry, code: int) -> None:
    """Only the registry itself says that it does not hold a schema."""
    fake.trouble = unknown(code)
    with Registry(fake.url) as registry:
        with pytest.raises(SchemaUnknownError):
            registry.schema(1)
        with pytest.raises(SchemaUnknownError):
            registry.schema_id(SUBJECT, CITY)


NO_ANSWERS: dict[str, Answer] = {
    "an ingress without a backend": (404, b"default backend - 404"),
    "an ingress's page": (404, b"<html>404 Not Found</html>"),
    "an empty 404": (404, b""),
    "a gateway's JSON": (404, b'{"message": "no Route matched with those values"}'),
    "a JSON text": (404, b'"error_code 40403"'),
    "a path that the registry does not have": (404, b'{"error_code": 404, "message": "HTTP 404"}'),
    "another code": (404, b'{"error_code": 40408, "message": "no level"}'),
    "a code as text": (404, b'{"error_code": "40403"}'),
    "a code as list": (404, b'{"error_code": [40403]}'),
    "a redirect": (302, b""),
    "a permanent redirect": (308, b'{"schema": "\\"string\\""}'),
    "a gone path": (410, b'{"error_code": 40403}'),
    "an error": (500, b'{"error_code": 50001, "message": "store"}'),
    "an error with an unknown's code": (503, b'{"error_code": 40403}'),
    "a conflict of a proxy": (409, b"<html>409</html>"),
    "a page": (200, b"<html>sign in</html>"),
    "no member": (200, b"{}"),
    "a list": (200, b"[1]"),
    "null": (200, b"null"),
    "members of other types": (200, b'{"schema": 5, "id": "five"}'),
    "null members": (200, b'{"schema": null, "id": null}'),
    "a flag": (200, b'{"schema": true, "id": true}'),
    "not UTF-8": (200, b'{"schema": "\xff", "id": "\xff"}'),
    "nested without end": (200, b"[" * 100_000),
    "too long": (200, b'{"schema": "' + b" " * (9 << 20) + b'"}'),
}


@pytest.mark.parametrize("trouble", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_not_the_registrys_answer(fake: FakeRegistry, trouble: Answer) -> None:
    """No other answer says that a schema is unknown: the batch waits for the registry."""
    fake.trouble = trouble
    with Registry(fake.url) as registry:
        with pytest.raises(RegistryUnavailableError):
            registry.answers()
        with pytest.raises(RegistryUnavailableError):
            registry.schema(1)
        with pytest.raises(RegistryUnavailableError):
            registry.schema_id(SUBJECT, CITY)
        with pytest.raises(RegistryUnavailableError):
            registry.register(SUBJECT, CITY)


@pytest.mark.parametrize(
    "text",
    ["", "syntax = 'proto3';", "[" * 100_000, '{"type": "object"'],
    ids=["empty", "protobuf", "nested without end", "half"],
)
def test_schema_that_is_not_json(fake: FakeRegistry, text: str) -> None:
    """A schema of another kind is no Avro schema that is known."""
    fake.documents[2] = {"schema": text, "schemaType": "PROTOBUF"}
    with Registry(fake.url) as registry, pytest.raises(SchemaUnknownError):
        registry.schema(2)


def test_an_answer_that_comes_byte_by_byte(fake: FakeRegistry) -> None:
    """The limit holds for the whole answer, not only from one byte to the next."""
    fake.drip_seconds = 0.02
    slow = pytest.raises(RegistryUnavailableError, match="too slow")
    with Registry(fake.url, timeout_seconds=0.2) as registry, slow:
        registry.schema(1)


def held(schema: object, *references: tuple[str, int], **more: object) -> dict[str, object]:
    """What the registry answers to a schema that refers to versions of subjects."""
    return {
        "schema": json.dumps(schema),
        "references": [{"name": s, "subject": s, "version": v} for s, v in references],
        **more,
    }


def record(name: str, **fields: object) -> dict[str, object]:
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": field, "type": kind} for field, kind in fields.items()],
    }


POINT = {**record("Point", lat="double", lon="double"), "namespace": "org.geo"}
PLACE = {**record("Place", at="org.geo.Point", kind="Kind"), "namespace": "org.places"}
KIND = {"type": "enum", "name": "org.places.Kind", "symbols": ["A", "B"]}
BARE = record("Bare", a=["null", "int"])
TOUR = {
    **record(
        "Tour",
        start="org.places.Place",
        stops={"type": "array", "items": "org.places.Place"},
        nearest={"type": "map", "values": ["null", "org.geo.Point"]},
        first="org.places.Kind",
    ),
    "namespace": "org.tours",
}
STOP = {"at": {"lat": 1.0, "lon": 2.0}, "kind": "B"}
A_TOUR = {"start": STOP, "stops": [STOP, STOP], "nearest": {"x": STOP["at"]}, "first": "A"}


def test_references(fake: FakeRegistry) -> None:
    """A schema that refers to others is whole: also through others, twice, and within namespaces."""
    fake.documents[7] = held(TOUR, ("places", 3), ("geo/point", 1), ("kind", 2))
    fake.versions["places", 3] = held(PLACE, ("geo/point", 1), ("kind", 2))
    fake.versions["geo/point", 1] = held(POINT)
    fake.versions["kind", 2] = held(KIND)
    buffer = BytesIO()
    named: dict[str, Any] = {}
    for each in (POINT, KIND, PLACE):
        fastavro.parse_schema(deepcopy(each), named_schemas=named)
    fastavro.schemaless_writer(
        buffer, fastavro.parse_schema(deepcopy(TOUR), named_schemas=named), A_TOUR
    )

    with Registry(fake.url) as registry:
        whole = fastavro.parse_schema(registry.schema(7))

    buffer.seek(0)
    assert fastavro.schemaless_reader(buffer, whole, None) == A_TOUR
    assert len(fake.asked) == 4


def test_references_without_a_namespace(fake: FakeRegistry) -> None:
    """A type that is mentioned twice is put in once."""
    fake.documents[8] = held(record("Tour", first="Bare", second="Bare"), ("bare", 1))
    fake.versions["bare", 1] = held(BARE)

    with Registry(fake.url) as registry:
        whole = fastavro.parse_schema(registry.schema(8))

    assert set(whole["__named_schemas"]) == {"Tour", "Bare"}  # type: ignore[call-overload,index]


def test_references_in_a_circle(fake: FakeRegistry) -> None:
    """Schemas that refer to each other are asked for once each."""
    node = record("n.Node", next=["null", "n.Leaf"])
    leaf = record("n.Leaf", back=["null", "n.Node"])
    fake.documents[7] = held(node, ("leaf", 1))
    fake.versions["leaf", 1] = held(leaf, ("node", 1))
    fake.versions["node", 1] = held(node, ("leaf", 1))

    with Registry(fake.url) as registry:
        fastavro.parse_schema(registry.schema(7))

    assert len(fake.asked) == 3


def test_references_without_an_end(fake: FakeRegistry) -> None:
    """A schema that refers to more than anybody reads is refused, after so many requests."""
    fake.documents[7] = held(BARE, ("chain", 0))
    for version in range(2 * MOST_REFERENCES):
        fake.versions["chain", version] = held(record(f"C{version}"), ("chain", version + 1))

    with Registry(fake.url) as registry, pytest.raises(SchemaUnknownError, match="more than"):
        registry.schema(7)

    assert len(fake.asked) == MOST_REFERENCES + 1


def test_references_that_are_missing(fake: FakeRegistry) -> None:
    """What the registry does not hold it says itself; a 404 page in its place is awaited."""
    fake.documents[7] = held(TOUR, ("places", 3))

    with Registry(fake.url) as registry, pytest.raises(SchemaUnknownError, match="places"):
        registry.schema(7)


@pytest.mark.parametrize(
    "references", [5, ["a"], [{"subject": "a"}], [{"subject": "a", "version": "x"}]]
)
def test_references_of_another_form(fake: FakeRegistry, references: object) -> None:
    """References that are none are no registry's answer."""
    fake.documents[7] = {"schema": json.dumps(TOUR), "references": references}

    with Registry(fake.url) as registry, pytest.raises(RegistryUnavailableError):
        registry.schema(7)


@pytest.mark.parametrize("schema", [5, {"type": "record", "name": "A", "fields": ["a"]}, [None]])
def test_references_of_what_is_not_avro(fake: FakeRegistry, schema: object) -> None:
    """Whatever refers to something else, and is not a schema, ends as one that nobody knows."""
    fake.documents[7] = held(schema, ("bare", 1))
    fake.versions["bare", 1] = held(schema)

    with Registry(fake.url) as registry:
        decoder = Decoder("ville_row", registry)

        with pytest.raises(DecodeError):
            decoder.decode(b"\0\0\0\0\x07abc")
