"""A next version of foxstream: this one with a field more in cities and in states of imports."""

import json
from pathlib import Path
from shutil import copytree

from tests.fix_files import ROOT

FIELD = "gentile"
"""What people of a city are called."""


def write_next_version(folder: Path) -> None:
    """Writes its packages into `folder`, for Python's path."""
    for package in ("processors", "producers", "schemas", "deploy"):
        copytree(ROOT / package, folder / package)
    _add_field(folder, "ville_row", FIELD)
    _add_field(folder, "import_state", "comment")
    _replace(
        folder / "schemas/import_types.py",
        '        Field(\n            "code_insee",',
        f'        Field("{FIELD}", "text", (), 100),\n        Field(\n            "code_insee",',
    )
    (folder / "processors/database/migrations/9000_next.sql").write_text(
        f"ALTER TABLE location_ville ADD COLUMN {FIELD} varchar(100) NOT NULL DEFAULT '';\n",
        encoding="utf-8",
    )
    statements = folder / "processors/rows/merge/ville.sql"
    for before, after in (
        (
            "lat, lng, population,\n    departement AS own",
            "lat, lng, population, {},\n    departement AS own",
        ),
        ("t.lng, t.population, m.code)", "t.lng, t.population, t.{}, m.code)"),
        (
            ", 0) AS population",
            ", 0) AS population, ingest.pick(s.policy, s.{0}, t.{0}, '') AS {0}",
        ),
        ("lng, population, code_insee)\n", "lng, population, {}, code_insee)\n"),
        ("population = j.population,", "population = j.population, {0} = j.{0},"),
        ("lng, population, ingest_observed_at", "lng, population, {}, ingest_observed_at"),
        ("coalesce(population, 0),", "coalesce(population, 0), coalesce({}, ''),"),
    ):
        _replace(statements, before, after.format(FIELD))


def _add_field(folder: Path, record: str, name: str) -> None:
    path = folder / f"schemas/avro/{record}.avsc"
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["fields"].append({"name": name, "type": ["null", "string"], "default": None})
    path.write_text(json.dumps(schema), encoding="utf-8")


def _replace(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, (path.name, before)
    path.write_text(text.replace(before, after), encoding="utf-8")
