"""JSON files: one object a line, an array, and answers of the API Sirene with nested objects."""

import json
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from producers.imports.preview import preview_of
from producers.reading import FileRow, RefusedError, open_source
from producers.reading.text import json_objects
from producers.reading.text.json_objects import LONGEST
from schemas.import_types import CATEGORIE, ENTREPRISE

ACME = {"siren": "552100554", "nom": "ACME"}
SEAT = {
    "siren": "552100554",
    "siret": "55210055400014",
    "etablissementSiege": True,
    "dateDernierTraitementEtablissement": "2026-03-18T12:01:56",
    "uniteLegale": {
        "denominationUniteLegale": "ACME",
        "etatAdministratifUniteLegale": "A",
        "dateDernierTraitementUniteLegale": "2026-04-01T12:00:00",
    },
    "adresseEtablissement": {"libelleVoieEtablissement": "DE RENNES", "codePostalEtablissement": "35000"},
    "periodesEtablissement": [
        {"dateFin": "2020-01-01", "enseigne1Etablissement": "OLD", "activitePrincipaleEtablissement": "01.11Z"},
        {"dateFin": None, "enseigne1Etablissement": "NEW", "activitePrincipaleEtablissement": "62.01Z"},
    ],
}  # fmt: skip
BRANCH = {**SEAT, "siret": "55210055400022", "etablissementSiege": False}
HEADER = {"statut": 200, "message": "OK", "total": 2}


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "lignes.json"
    path.write_text(text, encoding="utf-8")
    return path


def rows(path: Path) -> list[FileRow]:
    return list(chain.from_iterable(open_source(path, ENTREPRISE).chunks()))


def answer(*objects: Any) -> dict[str, Any]:
    return {"header": HEADER, "etablissements": objects}


FORMS = {
    "array": json.dumps([ACME, ACME]),
    "indented array": json.dumps([ACME, ACME], indent=1),
    "lines": f"{json.dumps(ACME)}\n\n{json.dumps(ACME)}\n",
    "answer of the API": json.dumps(answer(ACME, ACME)),
    "indented answer": json.dumps(answer(ACME, ACME), indent=1),
    "answer without a header": json.dumps({"unitesLegales": [ACME, ACME]}),
    "answers one after another": f"{json.dumps(answer(ACME))}\n{json.dumps(answer(ACME))}\n",
    "objects over several lines": f"{json.dumps(ACME, indent=1)}\n{json.dumps(ACME, indent=1)}",
    "with a BOM": "\ufeff" + json.dumps([ACME, ACME]),
    "answer of another API": json.dumps(
        {"count": 2, "next": None, "results": [ACME, ACME], "a": [1]}
    ),
    "GeoJSON": json.dumps({"type": "FeatureCollection", "features": [{"properties": ACME}] * 2}),
    "rows by number": json.dumps({"0": ACME, "1": ACME}),
    "columns": json.dumps({name: {"0": text, "1": text} for name, text in ACME.items()}),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str, tmp_path: Path) -> None:
    """Each form of a JSON file holds the same rows."""
    found = rows(file(tmp_path, FORMS[form]))

    assert [(row.key, row.record["nom"], row.faults) for row in found] == [
        ("552100554", "ACME", [])
    ] * 2


def test_half_a_character(tmp_path: Path) -> None:
    """Half of a pair of surrogates is a fault: no text can hold it."""
    objects = [ACME | {"nom": "A\ud83d"}, ACME | {"nom": "A😀"}]
    [half, whole] = rows(file(tmp_path, json.dumps(objects, indent=1)))

    assert [fault.code for fault in half.faults] == ["unreadable-character"]
    assert (whole.record["nom"], whole.faults) == ("A😀", [])


def test_lines_of_objects(tmp_path: Path) -> None:
    """A row knows the line on which its object begins."""
    found = rows(file(tmp_path, json.dumps(answer(ACME, ACME), indent=1)))

    assert [row.line for row in found] == [8, 12]


def test_nested_objects(tmp_path: Path) -> None:
    """Values of nested objects and of the present period are fields; a branch is skipped."""
    path = file(tmp_path, json.dumps(answer(BRANCH, SEAT)))

    found = preview_of(path, ENTREPRISE)

    assert (found["total_rows"], found["valid_rows"], found["skipped_rows"]) == (1, 1, 1)
    given = {name: value for name, value in found["preview"][0].items() if value is not None}
    assert given == {
        "siren": "552100554",
        "siret": "55210055400014",
        "nom": "ACME",
        "nom_commercial": "NEW",
        "adresse": "DE RENNES",
        "code_postal": "35000",
        "naf_code": "62.01Z",
        "is_active": True,
        "etablissement_siege": True,
        "source_date": "2026-03-18T12:01:56",
    }


def test_names_that_occur_twice(tmp_path: Path) -> None:
    """The value that is nested least has the name, others are called by their path."""
    owner = {"nom": "MARTIN", "siege": {"nom": "RENNES"}}
    path = file(tmp_path, json.dumps([{"contact": owner, **ACME}]))

    source = open_source(path, ENTREPRISE)

    assert source.header == ["contact.nom", "contact.siege.nom", "siren", "nom"]
    assert rows(path)[0].record["nom"] == "ACME"


def test_a_damaged_line(tmp_path: Path) -> None:
    """Of objects on lines of their own the damaged one is rejected, and the others are read."""
    deep = "[" * 100_000
    text = f'{json.dumps(ACME)}\n{{"siren": "5521\n[1]\n{deep}\n{json.dumps(ACME)}\n'

    found = rows(file(tmp_path, text))

    assert [[fault.code for fault in row.faults] for row in found] == [
        [], ["malformed"], ["malformed"], ["malformed"], [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        '[{"siren": "552100554", "nom": "ACME"}, {"siren": ',
        '[{"siren": "552100554", "nom": "ACME"} {"siren": "552100554"}]',
        '[{"siren": "552100554", "nom": "ACME"}, 5]',
        '{"etablissements": [{"siren": "552100554", "nom": "ACME"}]',
        '[{"siren": ' + "[" * 100_000,
    ],
)
def test_a_damaged_file(text: str, tmp_path: Path) -> None:
    """A file that ends too early or holds something else is refused, with the line."""
    with pytest.raises(RefusedError) as refused:
        open_source(file(tmp_path, text), ENTREPRISE)

    assert refused.value.code == "broken-json"
    assert "ligne 1" in refused.value.message


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are bounded in size, in depth and in the names that they have between them."""
    nested: dict[str, Any] = {"f": 1}
    for name in "edcba":
        nested = {name: nested}
    [row] = rows(file(tmp_path, json.dumps([{**ACME, **nested}])))
    assert row.cells[-1] == '{"f": 1}'

    many = {f"c{number}": 1 for number in range(json_objects.COLUMNS)}
    with pytest.raises(RefusedError) as refused:
        open_source(file(tmp_path, json.dumps([{**ACME, **many}])), ENTREPRISE)
    assert refused.value.code == "too-large"

    monkeypatch.setattr(json_objects, "LONGEST", 1000)
    monkeypatch.setattr(json_objects, "_BLOCK", 100)
    long = {**ACME, "nom": "A" * 3000}
    with pytest.raises(RefusedError) as refused:
        open_source(file(tmp_path, json.dumps([ACME, long])), ENTREPRISE)
    assert refused.value.code == "broken-json"


@pytest.mark.parametrize("indent", [None, 1])
def test_objects_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None
) -> None:
    """Where a block of the file ends makes no difference."""
    path = file(tmp_path, json.dumps(answer(*[SEAT] * 20), indent=indent))
    whole = [(row.line, row.record) for row in rows(path)]

    monkeypatch.setattr(json_objects, "LONGEST", 4096)
    for block in (200, 1024):
        monkeypatch.setattr(json_objects, "_BLOCK", block)
        assert [(row.line, row.record) for row in rows(path)] == whole


def test_names_that_come_late(tmp_path: Path) -> None:
    """A name that only the last object has is a column all the same."""
    late = {**ACME, "telephone": "0145678900"}

    found = rows(file(tmp_path, json.dumps([*[ACME] * 1500, late])))

    assert found[-1].record["telephone"] == "0145678900"


def test_what_is_no_json() -> None:
    """A CSV file may begin with a bracket."""
    assert not json_objects.begins("[ND];nom\n")
    assert not json_objects.begins("{a;b\n")
    assert json_objects.begins(' \n{ "siren"')


def test_lists_of_texts(tmp_path: Path) -> None:
    """A list of texts is read as a cell that holds it, as an export would write it."""
    path = file(tmp_path, json.dumps([{"nom": "Plomberie", "description": ["a", "b"]}]))

    [row] = chain.from_iterable(open_source(path, CATEGORIE).chunks())

    assert row.record["description"] == '["a", "b"]'


def test_a_line_without_end(tmp_path: Path) -> None:
    """It is refused once it is longer than an object may be, whatever its length, and so is one of a report."""
    path = tmp_path / "a.jsonl"
    report = '"_line": "2", "_import": "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e", '
    for own in ("", report):
        first = f'{{{own}"siren": "732829320", "nom": "A"}}\n'
        path.write_text(first + '{"siren": "' + "1" * (LONGEST + 10), encoding="utf-8")
        with pytest.raises(RefusedError) as refusal:
            list(open_source(path, ENTREPRISE).chunks())
        assert refusal.value.code == "line-too-long"


def test_long_lines_are_few_at_once(tmp_path: Path) -> None:
    """A block of lines holds a few million characters at most."""
    lines = [json.dumps({"siren": "732829320", "nom": "A", "x": "y" * 1_500_000})] * 7
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")

    chunks = open_source(tmp_path / "a.jsonl", ENTREPRISE).chunks()

    assert [len(chunk) for chunk in chunks] == [3, 3, 1]


@pytest.mark.parametrize("depth", [985, 1_000, 10_000, 100_000])
def test_deep_json_is_no_crash(tmp_path: Path, depth: int) -> None:
    """Brackets within brackets are a refusal or a text, in a report, in its columns and in a cell too."""
    deep = "[" * depth + "]" * depth
    ours = '"_line": "2", "_import": "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e", '
    files = {
        "a.jsonl": f'{{"siren": "732829320", "nom": "A", "x": {deep}}}\n',
        "b.json": f'[{{"siren": "732829320", "nom": "A", "x": {deep}}}]',
        "c.jsonl": f'{{{ours}"siren": "1", "nom": "A"}}\n{{{ours}"siren": {deep}}}\n',
        "d.csv": f"siren;nom;_columns;_line;_import\n1;A;{deep};2;6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e\n",
        "e.csv": f"siren;nom;x\n732829320;A;{deep}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        with suppress(RefusedError):
            list(open_source(tmp_path / name, ENTREPRISE).chunks())
