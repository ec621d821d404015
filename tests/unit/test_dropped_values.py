"""Optional values that are not stored, although their row is: nothing is dropped quietly."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from producers.imports.preview import preview_of
from producers.kafka.import_state import new_state
from producers.kafka.reject_log import Reject
from producers.reading import FileRow, Options, RefusedError, open_source
from producers.reports.error_report import FORMATS, report, write
from schemas.codec.framing import Decoder, Encoder, load
from schemas.codec.schema import Schema
from schemas.import_types import ENTREPRISE, IMPORT_TYPES, VILLE, ImportType

KEPT = "n'a pas été enregistré"


def preview(folder: Path, text: str, import_type: ImportType = ENTREPRISE) -> dict[str, Any]:
    """What a check finds in a file of this text."""
    file = folder / "file.csv"
    file.write_text(text, encoding="utf-8")
    return preview_of(file, import_type, Options())


@pytest.mark.parametrize(
    ("header", "cell", "code", "message"),
    [
        ("email", "x@", "malformed", "L'adresse e-mail « x@ » n'est pas valide : elle ne sera pas enregistrée ; le reste de la ligne le sera."),
        ("cp", "2A300", "malformed", "Le code postal « 2A300 » n'est pas valide : il ne sera pas enregistré ; le reste de la ligne le sera."),
        ("tel", "demander", "malformed", "Le numéro de téléphone « demander » n'est pas valide : il ne sera"),
        ("tel", "3,36E+10", "malformed", "Le numéro de téléphone « 3,36E+10 » est un nombre qu'Excel a arrondi : il ne sera"),
        ("site", "http://", "malformed", "L'adresse web « http:// » n'est pas valide : elle ne sera"),
        ("naf", "commerce", "malformed", "Le code NAF « commerce » n'est pas valide : il ne sera"),
        ("actif", "peut-être", "malformed", "La valeur « peut-être » de la colonne actif n'est pas valide : elle ne sera"),
        ("adresse", "#REF!", "formula-error", "La cellule « #REF! » de la colonne adresse est une formule en erreur"),
    ],
)  # fmt: skip
def test_a_check_lists_them(
    tmp_path: Path, header: str, cell: str, code: str, message: str
) -> None:
    """With line, column, value and reason; the line is valid all the same."""
    found = preview(tmp_path, f"siren;nom;{header}\n732829320;ACME;{cell}\n")

    assert (found["valid_rows"], found["dropped_rows"], found["examples"]) == (1, 1, [])
    [value] = found["dropped"]
    assert (value["line"], value["sheet"], value["column"]) == (2, None, header)
    assert (value["code"], value["value"]) == (code, cell)
    assert value["message"].startswith(message)
    assert KEPT not in value["message"]  # nothing has been imported


def test_a_city_with_a_latitude_beyond_the_pole(tmp_path: Path) -> None:
    """Other types have such values as well."""
    text = "nom;code_postal_principal;lat\nRennes;35000;148.1\n"

    [value] = preview(tmp_path, text, VILLE)["dropped"]

    assert value["message"].startswith("La latitude « 148.1 » n'est pas valide : elle ne sera")


def test_an_activity_of_an_old_nomenclature_is_only_counted(tmp_path: Path) -> None:
    """The line says so itself, and SIRENE has millions of them, of companies that closed long ago."""
    text = (
        "siren,denominationUniteLegale,activitePrincipaleUniteLegale,"
        "nomenclatureActivitePrincipaleUniteLegale\n732829320,ACME,74.1G,NAFRev1\n"
        "552013500,Été,62.01Z,NAFRev2\n"
    )

    found = preview(tmp_path, text)

    assert (found["dropped"], found["warnings_by_code"]) == ([], {"other-nomenclature": 1})


def test_of_a_rejected_line_nothing_is_stored_anyway(tmp_path: Path) -> None:
    """Its own faults say so."""
    found = preview(tmp_path, "siren;nom;email\n;ACME;x@\n")

    assert (found["rejected_rows"], found["dropped_rows"], found["dropped"]) == (1, 0, [])
    [row] = sent_back(tmp_path / "file.csv")
    assert (len(row.faults), row.dropped) == (1, ())


def test_what_the_source_does_not_disclose_is_not_a_value(tmp_path: Path) -> None:
    """SIRENE writes [ND] in place of what it must not publish."""
    found = preview(tmp_path, "siren;nom;adresse\n732829320;ACME;[ND]\n")

    assert (found["valid_rows"], found["dropped"]) == (1, [])


@pytest.mark.parametrize("word", ["non renseigné", "NC", "à compléter", "null", "-"])
def test_a_word_for_nothing_is_not_a_value(tmp_path: Path, word: str) -> None:
    """Nothing is lost, and half of the lines of some files have one."""
    found = preview(tmp_path, f"siren;nom;email;adresse\n732829320;ACME;{word};{word}\n")

    assert (found["valid_rows"], found["dropped"]) == (1, [])


def test_the_list_is_short_and_the_count_whole(tmp_path: Path) -> None:
    """A file of any length is checked in the same memory."""
    rows = "".join(f"{siren:09d};ACME;x@\n" for siren in range(1, 3001))

    found = preview(tmp_path, "siren;nom;email\n" + rows)

    assert (found["dropped_rows"], len(found["dropped"])) == (3000, 20)
    assert found["dropped"][-1]["line"] == 21


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    """A cell may hold a mebibyte."""
    [value] = preview(tmp_path, f"siren;nom;email\n732829320;ACME;{'x' * 100_000}\n")["dropped"]

    assert len(value["value"]) == 1000
    assert len(value["message"]) < 300


def test_every_type_is_read() -> None:
    """A message needs a name only of kinds that a field has."""
    from schemas.dropped_value import dropped_value

    for import_type in IMPORT_TYPES.values():
        for field in import_type.fields:
            assert KEPT in dropped_value(field, "malformed", "x").message


IMPORT = "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e"
FILE = """siren;nom;email;tel;note
732829320;ACME;x@;0299010203;=1+1
552013500;Été;a@b.fr;demander;
"""


class Registered:
    """A registry that holds the schema of companies."""

    def schema(self, schema_id: int) -> Schema:
        return load("entreprise_row")


def lacking(row: FileRow) -> Reject:
    """What a worker publishes of a row that lacks values."""
    values = [value._asdict() for value in row.dropped]
    place = {"id": IMPORT, "number": 1, "line": row.line, "cells": row.cells, "dropped": values}
    record = {**row.record, "import": place}
    return Reject(row.line, row.sheet, values, Encoder("entreprise_row", 1).encode(record))


def reported(folder: Path, suffix: str, text: str = FILE, rejects: Sequence[Reject] = ()) -> Path:
    """The error report of a file."""
    file = folder / "file.csv"
    file.write_text(text, encoding="utf-8")
    source = open_source(file, ENTREPRISE)
    rows = [lacking(row) for chunk in source.chunks() for row in chunk if row.dropped]
    state = new_state(id=IMPORT, import_type="ENTREPRISE", header=source.header, options={})
    path = folder / f"report{suffix}"
    content = report(state, rejects, Decoder("entreprise_row", Registered()), dropped=rows)
    write(path, content, ";")
    return path


def sent_back(path: Path) -> list[FileRow]:
    return [row for chunk in open_source(path, ENTREPRISE).chunks() for row in chunk]


def changed(path: Path, change: Callable[[str], str]) -> Path:
    path.write_text(change(path.read_text(encoding="utf-8-sig")), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_report_that_comes_back_as_it_is(tmp_path: Path, suffix: str) -> None:
    """Its lines are imported already: the table may hold something newer by now."""
    path = reported(tmp_path, suffix)

    with pytest.raises(RefusedError) as refused:
        sent_back(path)

    assert refused.value.code == "nothing-corrected"
    found = preview_of(path, ENTREPRISE)
    assert (found["refusal"]["code"], found["total_rows"]) == ("nothing-corrected", 0)


def test_a_line_of_a_report_that_was_corrected(tmp_path: Path) -> None:
    """It stands for the line of its import; the one beside it is left out, and counted."""
    path = changed(reported(tmp_path, ".csv"), lambda text: text.replace('"x@"', '"x@y.fr"', 1))
    source = open_source(path, ENTREPRISE)

    [[row]] = source.chunks()

    assert (row.record["email_contact"], row.resolves) == ("x@y.fr", (IMPORT, 2, None))
    assert (row.cells[4], row.dropped, source.untouched_rows) == ("=1+1", (), 1)
    found = preview_of(path, ENTREPRISE)
    assert (found["valid_rows"], found["untouched_rows"], found["dropped_rows"]) == (1, 1, 0)


def test_another_value_of_the_line_was_corrected(tmp_path: Path) -> None:
    """What the operator changed is imported, and the value that is still wrong is reported again."""
    path = changed(reported(tmp_path, ".csv"), lambda text: text.replace("ACME", "ACME SARL"))

    [row] = sent_back(path)

    assert row.record["nom"] == "ACME SARL"
    assert [value.value for value in row.dropped] == ["x@"]


def test_a_value_that_is_wrong_in_another_way(tmp_path: Path) -> None:
    """It was changed, so it is looked at again."""
    path = changed(reported(tmp_path, ".csv"), lambda text: text.replace('"x@"', '"y@"', 1))

    assert [value.value for row in sent_back(path) for value in row.dropped] == ["y@"]


def test_a_program_that_writes_values_in_another_form(tmp_path: Path) -> None:
    """A zero that a spreadsheet lost is not a correction."""
    path = changed(
        reported(tmp_path, ".csv"), lambda text: text.replace(";0299010203;", ";299010203;")
    )

    with pytest.raises(RefusedError):
        sent_back(path)


def test_a_line_without_its_fingerprint(tmp_path: Path) -> None:
    """It counts as corrected: who empties the column wants the line imported."""
    path = reported(tmp_path, ".csv")
    lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter=";"))
    place = lines[0].index("_dropped")
    lines[1][place] = ""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows(lines)

    assert [row.line for row in sent_back(path)] == [2]


def test_a_report_without_dropped_values_has_no_column_of_theirs(tmp_path: Path) -> None:
    """The order of the columns that programs know does not change."""
    path = reported(tmp_path, ".csv", FILE.replace("x@", "x@y.fr").replace("demander", ""))

    header = path.read_text(encoding="utf-8-sig").splitlines()[0]
    assert (
        header.replace('"', "") == "siren;nom;email;tel;note;_line;_column;_code;_message;_import"
    )


def test_a_row_that_is_rejected_in_the_end(tmp_path: Path) -> None:
    """It waited for another row, and PostgreSQL refused it then: the report has it once."""
    fault: dict[str, str | None] = {"column": "nom", "code": "refused", "message": "Non."}
    value = Encoder("entreprise_row", 1).encode({"siren": "732829320", "nom": "ACME"})

    path = reported(tmp_path, ".csv", rejects=[Reject(2, None, [fault], value)])

    lines = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter=";")
    assert [(line["_line"], line["_code"], bool(line["_dropped"])) for line in lines] == [
        ("2", "refused", False),
        ("3", "malformed", True),
    ]


def test_no_cell_of_a_report_starts_a_formula(tmp_path: Path) -> None:
    """A dropped value is what a stranger wrote."""
    path = reported(tmp_path, ".csv", FILE.replace("x@", "=cmd|x"))

    [line, _] = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter=";")

    assert (line["email"], line["note"]) == ("'=cmd|x", "'=1+1")
