"""WordPress's taxonomy export and INSEE's nomenclature, as categories and sub-categories."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from producers.imports.preview import preview_of
from producers.kafka.import_state import new_state
from producers.reading import FileRow, RefusedError, open_source
from producers.reading.header.stored_header import header_of
from schemas.import_types import CATEGORIE, ENTREPRISE, SOUS_CATEGORIE, ImportType
from schemas.values.naf import category_of, codes

HEADER = "Term ID,Term Name,Term Slug,Description,Parent ID,Parent Name,Parent Slug,Count\n"
TAXONOMY = HEADER + (
    "1,Bâtiment &amp; Travaux,batiment,Tout le bâtiment,0,,,12\n"
    "2,Maçon,macon,,1,Bâtiment &amp; Travaux,batiment,3\n"
    "3,Santé,sante,,,,,1\n"
    "4,Perdu,perdu,,99,,,0\n"
)

File = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    def write(text: str) -> Path:
        path = tmp_path / "termes.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def rows_of(path: Path, import_type: ImportType) -> list[FileRow]:
    return list(chain.from_iterable(open_source(path, import_type).chunks()))


def shown(row: FileRow) -> list[tuple[str | None, str]]:
    return [(fault.column, fault.code) for fault in row.faults]


def test_terms_without_parent_are_categories(file: File) -> None:
    """Terms without a parent are categories; the others say that they are of the other type."""
    first, child, third, lost = rows_of(file(TAXONOMY), CATEGORIE)

    assert (first.record["nom"], first.record["description"]) == (
        "Bâtiment & Travaux",
        "Tout le bâtiment",
    )
    assert [row.key for row in (first, third)] == ["batiment-travaux", "sante"]
    assert shown(child) == shown(lost) == [("Parent Name", "other-type")]
    assert "SOUS_CATEGORIE" in child.faults[0].message


def test_terms_with_a_parent_are_sub_categories(file: File) -> None:
    """Terms with a parent are its sub-categories; every term is written or reported."""
    first, child, third, lost = rows_of(file(TAXONOMY), SOUS_CATEGORIE)

    assert (child.record["nom"], child.record["categorie"]) == ("Maçon", "Bâtiment & Travaux")
    assert child.key == "batiment-travaux/macon"
    assert shown(first) == shown(third) == [("Parent Name", "other-type")]
    assert shown(lost) == [("Parent Name", "missing-value")]


def test_every_term_is_written_once(file: File) -> None:
    """The two imports of a taxonomy take each term once, but for those that lack something."""
    found = [preview_of(file(TAXONOMY), kind) for kind in (CATEGORIE, SOUS_CATEGORIE)]

    assert [one["valid_rows"] for one in found] == [2, 1]
    assert [one["errors_by_code"] for one in found] == [
        {"other-type": 2},
        {"other-type": 2, "missing-value": 1},
    ]
    assert found[1]["mapping"] == {
        "Term Name": "nom",
        "Description": "description",
        "Parent Name": "categorie",
    }
    assert found[1]["unknown_columns"] == ["Term ID", "Term Slug", "Parent Slug", "Count"]


def test_a_taxonomy_as_another_type(file: File) -> None:
    """A taxonomy is no list of companies, and the message says what it is."""
    with pytest.raises(RefusedError, match="CATEGORIE ou SOUS_CATEGORIE"):
        open_source(file(TAXONOMY), ENTREPRISE)


def test_nomenclature(file: File) -> None:
    """Activities are sub-categories of their division's category; what is no activity is passed over."""
    path = file(
        "ligne;Code;Intitulés de la NAF rév. 2, version finale\n"
        "1;SECTION F;CONSTRUCTION\n2;;\n3;43;Travaux\n4;43.2;Installation\n"
        "5;43.21A;Travaux d'installation électrique\n6;62.01;Non\n7;6201z;Programmation\n"
    )
    source = open_source(path, SOUS_CATEGORIE)

    first, second = chain.from_iterable(source.chunks())

    assert source.skipped_rows == 5
    assert source.mapping == {
        "Code": "categorie",
        "Intitulés de la NAF rév. 2, version finale": "nom",
    }
    assert (first.line, first.record["nom"]) == (6, "Travaux d'installation électrique")
    assert first.record["categorie"] == "batiment-et-construction"
    assert first.record["description"] == "NAF 43.21A : Travaux d'installation électrique"
    assert second.record["description"] == "NAF 62.01Z : Programmation"
    assert second.key == "informatique-et-communication/programmation"


def test_codes_that_are_no_activities(file: File) -> None:
    """A table of codes and labels that are no activities is no nomenclature."""
    with pytest.raises(RefusedError) as refusal:
        open_source(file("Code;Libellé\nA1;Un\nA2;Deux\n"), SOUS_CATEGORIE)

    assert refusal.value.code in {"unknown-columns", "wrong-type"}


@pytest.mark.parametrize(
    ("code", "slug"),
    [
        ("01.11Z", "jardinage-et-paysage"),
        ("33.20D", "artisanat-et-production"),
        ("35.11Z", "autres-activites"),
        ("41.10A", "batiment-et-construction"),
        ("47.99B", "commerce-et-distribution"),
        ("68.31Z", "immobilier"),
        ("84.11Z", "autres-activites"),
        ("85.10Z", "enseignement-et-formation"),
        ("96.09Z", "services-a-la-personne"),
        ("99.00Z", "autres-activites"),
    ],
)
def test_category_of_a_division(code: str, slug: str) -> None:
    """The division of an activity gives its category."""
    assert category_of(code) == slug


def test_every_activity_has_a_category() -> None:
    """All activities of both nomenclatures have one of the site's sixteen categories."""
    assert len(codes()) == 732 + 747
    assert len(set(map(category_of, codes()))) == 16


COMPANIES = "SIREN,Nom,{}\n732829320,Boulangerie,{}\n552100554,Fournil,{}\n"


@pytest.mark.parametrize(
    ("columns", "first", "second", "expected"),
    [
        ("Activité", "10.71C", "", ("10.71C", None)),
        ("Activité", "1071c", "Pain frais", ("10.71C", None)),
        ("Activité", "Boulangerie", "Pâtisserie", (None, "Boulangerie")),
        ("Activité,Code NAF", "10.71D,10.71C", "10.71D,10.71C", ("10.71C", "10.71D")),
    ],
)
def test_a_column_of_activities_that_holds_codes(
    file: File, columns: str, first: str, second: str, expected: tuple[str | None, str | None]
) -> None:
    """It is taken for the codes where at least half of it are, and no other column has them."""
    path = file(COMPANIES.format(columns, first, second))

    source = open_source(path, ENTREPRISE)

    row, _ = chain.from_iterable(source.chunks())
    assert (row.record["naf_code"], row.record["naf_libelle"]) == expected
    again = new_state(
        options={"columns": json.dumps(source.mapping, ensure_ascii=False)}, header=source.header
    )
    assert header_of(again, ENTREPRISE) == source.columns
