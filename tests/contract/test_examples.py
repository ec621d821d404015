"""The examples beside the schemas: what stands under valid/ is valid, what stands under invalid/ is not.

An example is plain JSON: times are ISO 8601 texts, and a value of several possible records is
{"full name of the record": {...}}, as Avro's own JSON encoding has it.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.validation import ValidationError, validate

from schemas.codec.framing import Decoder, Encoder, load
from schemas.codec.schema import Schema
from schemas.import_types import IMPORT_TYPES
from schemas.rules import Violation, violations
from schemas.topics import TOPICS

SCHEMAS = Path(str(resources.files("schemas")))
EXAMPLES = SCHEMAS / "examples"
RECORDS = sorted({topic.record for topic in TOPICS if topic.record is not None})
ROWS = {str(import_type.topic.record): import_type for import_type in IMPORT_TYPES.values()}
FILES = sorted(EXAMPLES.rglob("*.json"))


class OneSchema:
    """A registry that holds the schema of one record, under every id."""

    def __init__(self, record: str) -> None:
        self._schema = load(record)

    def schema(self, schema_id: int) -> Schema:
        return self._schema


def examples(kind: str) -> list[Any]:
    """Record and file of each example under `kind`."""
    found = [(file.parent.parent.name, file) for file in FILES if file.parent.name == kind]
    return [pytest.param(record, file, id=f"{record}/{file.stem}") for record, file in found]


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def typed(value: Any, schema: Any, *, complete: bool = False) -> Any:
    """A value of an example as the codec takes it; `complete`: as it gives it, with defaults."""
    match schema:
        case list():
            branches = [branch for branch in schema if branch != "null"]
            if len(branches) == 1:
                return None if value is None else typed(value, branches[0], complete=complete)
            [(name, body)] = value.items()
            named = {f"fr.foxreviews.foxstream.{branch['name']}": branch for branch in branches}
            return name, typed(body, named[name], complete=complete)
        case {"logicalType": "timestamp-millis"}:
            return _time(value)
        case {"type": "record", "fields": fields} if isinstance(value, Mapping):
            return _record(value, fields, complete=complete)
        case {"type": "array", "items": items} if isinstance(value, list):
            return [typed(item, items, complete=complete) for item in value]
        case _:
            return value


def _time(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return value


def _record(
    value: Mapping[str, Any], fields: list[dict[str, Any]], *, complete: bool
) -> dict[str, Any]:
    unknown = set(value) - {field["name"] for field in fields}
    assert not unknown, f"no such field: {unknown}"
    given = {field["name"]: field.get("default") for field in fields if complete} | dict(value)
    types = {field["name"]: field["type"] for field in fields}
    return {name: typed(given[name], types[name], complete=complete) for name in given}


def row_violations(record: str, example: Mapping[str, Any]) -> list[Violation]:
    """What the rules find in an example of a row."""
    import_type = ROWS[record]
    return violations(import_type, {name: [example.get(name)] for name in import_type.field})


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("kind", ["valid", "invalid"])
def test_each_record_has_examples(record: str, kind: str) -> None:
    """Every record that a topic carries has an example of either kind."""
    assert any(file.parent == EXAMPLES / record / kind for file in FILES)


def test_no_orphans() -> None:
    """Every file below examples is looked at here, and every schema is some topic's or part of one."""
    everything = {file for file in EXAMPLES.rglob("*") if file.is_file()}
    parts = {"import_line"}

    assert everything == {
        file
        for file in FILES
        if file.parent.name in ("valid", "invalid") and file.parent.parent.name in RECORDS
    }
    assert {file.stem for file in (SCHEMAS / "avro").iterdir()} == {*RECORDS, *parts}
    for part in parts:
        name = json.loads((SCHEMAS / "avro" / f"{part}.avsc").read_text(encoding="utf-8"))["name"]
        assert any(f'"name": "{name}"' in json.dumps(load(record)) for record in RECORDS)


@pytest.mark.parametrize(("record", "file"), examples("valid"))
def test_valid(record: str, file: Path) -> None:
    """A valid example is encoded and decoded to itself, and no rule is broken by it."""
    example, schema = read(file), load(record)

    value = Encoder(record, 1).encode(typed(example, schema))

    assert Decoder(record, OneSchema(record)).decode(value) == typed(example, schema, complete=True)
    if record in ROWS:
        assert row_violations(record, example) == []


@pytest.mark.parametrize(("record", "file"), examples("invalid"))
def test_invalid(record: str, file: Path) -> None:
    """An invalid example fails for what its name says: the field, and the code or the schema."""
    field, _, code = file.stem.partition("-")
    example, schema = read(file), load(record)
    given = typed(example, schema)

    if code == "schema":
        assert field in _misfits(given, schema)
        with pytest.raises((ValueError, TypeError)):
            Encoder(record, 1).encode(given)
    else:
        assert [(found.field, found.code) for found in row_violations(record, example)] == [
            (field, code)
        ]
        Encoder(record, 1).encode(given)


@pytest.mark.parametrize("record", ROWS)
def test_all_codes_have_an_example(record: str) -> None:
    """Every code that the rules have for a row, and every required field, stands in an example."""
    shown = {
        tuple(file.stem.partition("-")[::2])
        for file in FILES
        if file.parent == EXAMPLES / record / "invalid"
    }
    strict = {(field.name, "malformed") for field in ROWS[record].fields if field.strict}
    required = {(field.name, "missing-value") for field in ROWS[record].fields if field.required}

    assert strict | required <= shown
    assert {"schema", "malformed", "missing-value", "too-long", "nul-byte"} <= {
        code for _, code in shown
    }


def _misfits(given: Any, schema: Schema) -> set[str]:
    """Names of the fields whose values fit no branch of their type."""
    try:
        validate(given, fastavro.parse_schema(schema))
    except ValidationError as error:
        return {str(wrong.field).rpartition(".")[2] for wrong in error.errors}
    return set()
