"""What the client of the schema registry takes for an answer, and what it does without one."""

from collections.abc import Iterator

import pytest

from schemas.codec.framing import load
from schemas.codec.schema import SchemaUnknownError
from schemas.runtime.registry import Registry, RegistryUnavailableError
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
    """Whatever else stands in front of the registry says nothing about a schema: it is awaited."""
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
