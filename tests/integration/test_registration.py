"""Schemas in a real registry: registered once, never replaced by one that reads less."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import count
from typing import Any

import httpx
import pytest
from fastavro import parse_schema

from deploy.local.processes.ports import free_port
from deploy.local.stack import Stack
from schemas.codec.framing import DecodeError, Decoder, Encoder, load
from schemas.codec.schema import Schema, SchemaUnknownError
from schemas.runtime.registry import IncompatibleSchemaError, Registry, RegistryUnavailableError
from schemas.topics import TOPICS
from tests.fix_stack import Site

RECORDS = sorted({topic.record for topic in TOPICS if topic.record is not None})
SUBJECTS = [f"{topic.name}-value" for topic in TOPICS if topic.record is not None]

_numbers = count(1)


@pytest.fixture
def registry(stack: Stack) -> Iterator[Registry]:
    with Registry(stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as found:
        yield found


@pytest.fixture
def subject() -> str:
    """A subject that no other test uses."""
    return f"registration{next(_numbers)}-value"


def changed(record: str, name: str, **fields: Any) -> Schema:
    """A schema in which one field is another; without `fields` it is left out."""
    schema = deepcopy(load(record))
    schema["fields"] = [
        {**field, **fields} if field["name"] == name else field
        for field in schema["fields"]
        if fields or field["name"] != name
    ]
    return schema


def grown(record: str, **field: Any) -> Schema:
    """A schema with one field more."""
    schema = deepcopy(load(record))
    schema["fields"].append({"name": "later", **field})
    return schema


@pytest.mark.parametrize("record", RECORDS)
def test_registered_twice(registry: Registry, subject: str, record: str) -> None:
    """A schema that is registered again keeps its id, and the id gives it, with its keys in any order.

    A decoder knows its own schema by that, and need not go through resolution.
    """
    first = registry.register(subject, load(record))

    assert registry.register(subject, load(record)) == first
    assert registry.schema_id(subject, load(record)) == first
    assert parse_schema(registry.schema(first)) == parse_schema(load(record))


def test_same_schema_of_two_topics(registry: Registry) -> None:
    """A schema has one id, whichever topics it stands for: a decoder asks for it once."""
    ids = {registry.register(f"registration-{name}", load("ville_row")) for name in "ab"}

    assert len(ids) == 1


@pytest.mark.parametrize(
    "schema",
    [
        grown("ville_row", type="string"),
        changed("ville_row", "nom", type="int", default=0),
        changed("ville_row", "population", type=["null", "string"]),
        {**load("ville_row"), "name": "CityRow"},
    ],
    ids=["required-field", "other-type", "other-branch", "other-name"],
)
def test_incompatible(registry: Registry, subject: str, schema: Schema) -> None:
    """A schema that cannot read what was written before is refused, and leaves what there was."""
    first = registry.register(subject, load("ville_row"))

    with pytest.raises(IncompatibleSchemaError):
        registry.register(subject, schema)

    with pytest.raises(SchemaUnknownError):
        registry.schema_id(subject, schema)
    assert registry.register(subject, load("ville_row")) == first


@pytest.mark.parametrize(
    "schema",
    [
        grown("ville_row", type=["null", "string"], default=None),
        changed("ville_row", "population"),
        changed("ville_row", "population", type=["null", "int", "long"]),
    ],
    ids=["nullable-field", "removed-field", "wider-type"],
)
def test_compatible(registry: Registry, subject: str, schema: Schema) -> None:
    """A schema that reads all that was written before is a new version, and reads it."""
    first = registry.register(subject, load("ville_row"))

    second = registry.register(subject, schema)

    assert second != first
    value = Encoder("ville_row", first).encode({"nom": "Rennes"})
    assert Decoder("ville_row", registry).decode(value)["nom"] == "Rennes"


def test_versions_side_by_side(registry: Registry, subject: str) -> None:
    """An upstream system's newer version is read beside ours, in one batch, by its id."""
    ours = registry.register(subject, load("ville_row"))
    theirs = registry.register(subject, grown("ville_row", type=["null", "string"], default=None))
    value = Encoder("ville_row", ours).encode({"nom": "Rennes"})
    newer = value[:1] + theirs.to_bytes(4, "big") + value[5:] + b"\x02\x02x"
    unknown = value[:1] + b"\x7f\xff\xff\xff" + value[5:]

    results = Decoder("ville_row", registry).decode_all([value, newer, unknown, value])

    names = [r.code if isinstance(r, DecodeError) else r["nom"] for r in results]
    assert names == ["Rennes", "Rennes", "unknown-schema", "Rennes"]


@pytest.mark.parametrize("kind", ["PROTOBUF", "JSON"])
def test_schema_of_another_kind(registry: Registry, subject: str, kind: str) -> None:
    """A record that names a schema which is not Avro is refused, and no trouble of the registry."""
    body = {
        "schemaType": kind,
        "schema": {
            "PROTOBUF": 'syntax = "proto3"; message Ville { string nom = 1; }',
            "JSON": '{"type": "object", "properties": {"nom": {"type": "string"}}}',
        }[kind],
    }
    answer = httpx.post(f"{registry.url}/subjects/{subject}/versions", json=body, trust_env=False)
    assert answer.is_success, answer.text
    value = b"\0" + int(answer.json()["id"]).to_bytes(4, "big") + b"\x0cRennes"

    with pytest.raises(DecodeError):
        Decoder("ville_row", registry).decode(value)


def test_unknown(registry: Registry, subject: str) -> None:
    """What the registry does not hold is told from a registry that does not answer."""
    with pytest.raises(SchemaUnknownError):
        registry.schema(2_000_000_000)
    with pytest.raises(SchemaUnknownError):
        registry.schema_id(subject, load("ville_row"))


def test_nobody_there() -> None:
    """A registry that cannot be reached is no unknown schema."""
    with Registry(f"http://127.0.0.1:{free_port()}") as registry:
        for ask in (
            lambda: registry.schema(1),
            lambda: registry.schema_id("a", load("ville_row")),
            lambda: registry.register("a", load("ville_row")),
        ):
            with pytest.raises(RegistryUnavailableError):
                ask()


@pytest.fixture
def elsewhere(site: Site) -> Site:
    """The site's commands with a prefix under which nothing is registered yet."""
    site.prefix = f"{site.prefix}registration."
    return site


def test_command(elsewhere: Site, registry: Registry) -> None:
    """`schemas register` registers every topic's schema and says the ids; again, the same ones."""
    first = elsewhere.foxstream_worker("schemas", "register")
    second = elsewhere.foxstream_worker("schemas", "register")

    assert (first.code, second.code) == (0, 0), first.stderr
    assert first.stdout == second.stdout
    ids = dict(line.split(" has id ") for line in first.stdout.splitlines())
    assert ids.keys() == {elsewhere.prefix + subject for subject in SUBJECTS}
    for topic in TOPICS:
        if topic.record is not None:
            subject = f"{elsewhere.prefix}{topic.name}-value"
            assert registry.schema_id(subject, load(topic.record)) == int(ids[subject])


def test_command_that_is_refused(elsewhere: Site, registry: Registry) -> None:
    """`schemas register` ends with 2 where a version is incompatible, and says which subject."""
    subject = f"{elsewhere.prefix}{SUBJECTS[0]}"
    other = {"type": "record", "name": "Other", "fields": [{"name": "a", "type": "string"}]}
    registry.register(subject, other)

    done = elsewhere.foxstream_worker("schemas", "register")

    assert done.code == 2
    assert "not BACKWARD compatible" in done.stderr
    assert subject in done.stderr
    assert "Traceback" not in done.stderr


def test_command_without_a_registry(elsewhere: Site) -> None:
    """`schemas register` ends with 5 if the registry cannot be reached."""
    elsewhere.settings = {"FOX_SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{free_port()}"}

    done = elsewhere.foxstream_worker("schemas", "register")

    assert done.code == 5
    assert done.stderr.startswith("foxstream-worker: the schema registry at ")
    assert len(done.stderr.splitlines()) == 1


def test_worker_without_schemas(elsewhere: Site) -> None:
    """A worker whose schemas nobody has registered says what to run and ends with 2."""
    done = elsewhere.foxstream_worker("topics")
    assert done.code == 0, done.stderr

    done = elsewhere.foxstream_worker("run")

    assert done.code == 2
    assert done.stderr.splitlines()[-1].endswith("run 'foxstream-worker schemas register'")


def test_schemas_alone_registers(site: Site) -> None:
    """`foxstream-worker schemas` does what its one subcommand does."""
    alone = site.foxstream_worker("schemas")

    assert (alone.code, alone.stdout) == (0, site.foxstream_worker("schemas", "register").stdout)
