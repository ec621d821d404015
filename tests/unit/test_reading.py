import codecs as encodings
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.reading import FileRow, Options, RefusedError, open_source
from producers.reading import source as reading_source
from producers.reading.header.labels import fold
from producers.reading.refusals import CODES
from schemas.import_types import ENTREPRISE, IMPORT_TYPES, VILLE, ImportType
from tests.examples import examples

SIREN = "732829320"
OTHER = "005520135"


Files = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Files:
    def write(content: str | bytes, name: str = "fichier.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def workbook(tmp_path: Path) -> Files:
    def workbook(hidden: Sequence[str] = (), **sheets: list[list[object]]) -> Path:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, rows in sheets.items():
            sheet = book.create_sheet(title)
            for row in rows:
                sheet.append(row)
            if title in hidden:
                sheet.sheet_state = "hidden"
        book.save(tmp_path / "classeur.xlsx")
        return tmp_path / "classeur.xlsx"

    return workbook


def rows_of(path: Path, import_type: ImportType = ENTREPRISE, **options: Any) -> list[FileRow]:
    return list(chain.from_iterable(open_source(path, import_type, Options(**options)).chunks()))


def refused(path: Path, import_type: ImportType = ENTREPRISE, **options: Any) -> RefusedError:
    with pytest.raises(RefusedError) as refusal:
        open_source(path, import_type, Options(**options))
    assert refusal.value.code in CODES
    return refusal.value


def codes(row: FileRow) -> list[str]:
    return [fault.code for fault in row.faults]


class TestText:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_delimiters(self, write: Files, delimiter: str) -> None:
        """The delimiter is the one that makes the header known."""
        path = write(f"siren{delimiter}nom\n{SIREN}{delimiter}Été; ou, |\n".replace("; ou, |", ""))

        source = open_source(path, ENTREPRISE)

        assert source.delimiter == delimiter
        assert source.mapping == {"siren": "siren", "nom": "nom"}
        assert [row.record["nom"] for row in rows_of(path)] == ["Été"]

    @pytest.mark.parametrize(
        ("encoding", "found"),
        [
            ("utf-8", "utf-8"),
            ("utf-8-sig", "utf-8-sig"),
            ("cp1252", "cp1252"),
            ("utf-16", "utf-16"),
            ("utf-16-be-bom", "utf-16"),
            ("utf-16-le", "utf-16-le"),
            ("utf-16-be", "utf-16-be"),
        ],
    )
    def test_encodings(self, write: Files, encoding: str, found: str) -> None:
        """UTF-8 with and without BOM, Windows-1252 and Excel's Unicode text read the same."""
        text = f"siren;nom\r\n{SIREN};L’Été à Œuilly\r\n"
        with_bom = encodings.BOM_UTF16_BE + text.encode("utf-16-be")
        path = write(with_bom if encoding == "utf-16-be-bom" else text.encode(encoding))

        source = open_source(path, ENTREPRISE)

        assert source.encoding == found
        assert source.header == ["siren", "nom"]
        assert [row.record["nom"] for row in rows_of(path)] == ["L’Été à Œuilly"]

    def test_the_whole_file_decides_on_the_encoding(self, write: Files) -> None:
        """One byte that is not UTF-8 after two megabytes makes the file Windows-1252."""
        path = write(b"siren;nom\n" + f"{SIREN};ACME\n".encode() * 150_000 + b"1;\xc9T\xc9\n")

        source = open_source(path, ENTREPRISE)

        assert source.encoding == "cp1252"
        assert list(source.chunks())[-1][-1].cells == ["1", "ÉTÉ"]

    def test_a_letter_that_is_cut_off(self, write: Files) -> None:
        """Half a letter at the very end of a file is a fault of its line, which is cut off."""
        path = write(f"siren;nom\n{SIREN};É\n{SIREN};AÉ".encode()[:-1])

        assert open_source(path, ENTREPRISE).encoding == "utf-8"
        assert [(row.record["nom"], codes(row)) for row in rows_of(path)] == [
            ("É", []),
            (None, ["unreadable-character"]),
        ]

    def test_zeros_of_another_kind(self, write: Files) -> None:
        """A text that an old program filled up with zeros is none in UTF-16."""
        text = b"siren;nom\n" + SIREN.encode() + b";A" + b"\0" * 600 + b"\n"

        assert open_source(write(text), ENTREPRISE).encoding == "utf-8"

    def test_told_encoding(self, write: Files) -> None:
        """An encoding that the operator names is taken, or refused where the file is not in it."""
        path = write(f"siren;nom\n{SIREN};Été\n".encode("mac-roman"))

        assert rows_of(path, encoding="mac-roman")[0].record["nom"] == "Été"
        assert refused(path, encoding="utf-8").code == "encoding"
        assert refused(path, encoding="klingon").code == "unknown-encoding"

    def test_undecodable(self, write: Files) -> None:
        """A file that reads as French in no encoding is a question."""
        assert refused(write(b"siren;nom\n1;\x81\xff\n")).code == "doubtful-encoding"

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_line_numbers(self, write: Files, end: str) -> None:
        """Lines are numbered as an editor shows them, over blank lines and quoted line ends."""
        text = end.join(
            ["siren;nom", f"{SIREN};A", "", ";", f'{SIREN};"B{end}bis{end}{end}"', f"{SIREN};C"]
        )
        source = open_source(write(text), ENTREPRISE)

        rows = list(chain.from_iterable(source.chunks()))

        assert [(row.line, row.record["nom"]) for row in rows] == [(2, "A"), (5, "B bis"), (9, "C")]
        assert source.blank_lines == 2

    def test_blank_lines(self, write: Files) -> None:
        """Lines of nothing but delimiters and spaces are counted, and are no rows."""
        path = write(f"siren;nom;cp\n{SIREN};A;\n" + ";;\n" * 5000 + "  ; ;\n\n")
        source = open_source(path, ENTREPRISE)

        assert len(list(chain.from_iterable(source.chunks()))) == 1
        assert source.blank_lines == 5002
        assert len(list(chain.from_iterable(source.chunks()))) == 1
        assert source.blank_lines == 5002

    @pytest.mark.parametrize("at", ["before", "behind"])
    def test_blank_lines_without_end(
        self, write: Files, monkeypatch: pytest.MonkeyPatch, at: str
    ) -> None:
        """A file of hardly anything else is refused; one with as many rows is not."""
        monkeypatch.setattr(reading_source, "BLANK_LINES", 1000)
        row, blank = f"{SIREN};A\n", "\n" * 1500
        few = {"before": blank + row, "behind": row + blank}[at]
        many = {"before": blank + row * 150, "behind": row * 150 + blank}[at]

        with pytest.raises(RefusedError, match="1000 lignes vides"):
            list(open_source(write("siren;nom\n" + few), ENTREPRISE).chunks())
        chunks = open_source(write("siren;nom\n" + many), ENTREPRISE).chunks()
        assert sum(map(len, chunks)) == 150

    def test_a_limit_of_rows(self, write: Files) -> None:
        """Nothing is read behind it; blank lines do not count."""
        source = open_source(write("siren;nom\n" + f"{SIREN};A\n\n" * 10), ENTREPRISE)
        assert source.has_more_rows_than(9)
        assert not source.has_more_rows_than(10)

    def test_chunks(self, write: Files) -> None:
        """Rows come in order, a thousand at most at a time."""
        sirens = [f"{number:09d}" for number in range(1, 25_001)]
        path = write("siren,nom\n" + "".join(f"{siren},Nom {siren}\n" for siren in sirens))

        chunks = list(open_source(path, ENTREPRISE).chunks())

        assert max(map(len, chunks)) == 1000
        assert [row.key for row in chain.from_iterable(chunks)] == sirens
        assert [row.line for row in chain.from_iterable(chunks)] == list(range(2, 25_002))

    def test_short_and_long_lines(self, write: Files) -> None:
        """A line without a required cell or with too many is faulty; blank ones at its end may lack."""
        path = write(f"siren;nom;cp\n{SIREN}\n{SIREN};A\n{SIREN};B;35000;x\n{SIREN};C;35000;;\n")

        short, blank, long, padded = rows_of(path)

        assert (codes(short), codes(long), codes(padded)) == (["missing-cell"], ["extra-cell"], [])
        assert "1 cellule" in short.faults[0].message
        assert "3" in short.faults[0].message
        assert (short.key, set(short.record.values())) == (None, {None})
        assert (blank.cells, codes(blank)) == ([SIREN, "A", ""], [])
        assert long.cells == [SIREN, "B", "35000", "x"]
        assert padded.cells == [SIREN, "C", "35000"]

    def test_unclosed_quote(self, write: Files) -> None:
        """A quote that is never closed costs its own line, not the rest of the file."""
        lines = [f"{SIREN},Nom {number}" for number in range(5000)]
        lines[10] = f'{SIREN},"Nom 10'
        lines[4990] = f'{SIREN},"Nom 4990'

        rows = rows_of(write("siren,nom\n" + "\n".join(lines)))

        assert [row.line for row in rows] == list(range(2, 5002))
        assert {row.line: codes(row) for row in rows if row.faults} == {
            12: ["unbalanced-quote"],
            4992: ["unbalanced-quote"],
        }

    @pytest.mark.parametrize("lines", [3, 101, 4000])
    @pytest.mark.parametrize("last", ["", '"'])
    def test_stray_quotes_that_happen_to_close(self, write: Files, lines: int, last: str) -> None:
        """Two quotes do not swallow the rows that are between them.

        Whether or not another quote of the file, which never closes, has its records looked at one
        by one.
        """
        plain = f"{SIREN},Nom,Rue"
        record = [f'{SIREN},Nom,"Rue', *[plain] * (lines - 2), f'{SIREN},Nom,Rue"']
        text = ["siren,nom,adresse", plain, *record, plain, f"{SIREN},Nom,{last}Rue"]

        rows = rows_of(write("\n".join(text)))

        unclosed = [len(text)] if last else []
        faulty = [row.line for row in rows if codes(row) == ["unbalanced-quote"]]
        assert (len(rows), faulty) == (len(text) - 1, [3, *unclosed])

    def test_quote_in_the_middle(self, write: Files) -> None:
        """A quote inside an unquoted cell is text, one inside a quoted cell with a warning."""
        path = write(f'siren,nom\n{SIREN},Tuyau 12" inox\n{SIREN},"Le "Zinc" bar"\n{SIREN},C\n')

        plain, quoted, after = rows_of(path)

        assert plain.record["nom"] == 'Tuyau 12" inox'
        assert (quoted.record["nom"], quoted.warnings) == ('Le "Zinc" bar', ["corrected"])
        assert after.record["nom"] == "C"

    def test_quoted_line_ends_everywhere(self, write: Files) -> None:
        """Records of several lines read the same wherever a block of the file ends."""
        names = [f"Nom {number}" + "\n" * (number % 4) + "fin" for number in range(30_000)]
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=";").writerows([["siren", "nom"], *([SIREN, n] for n in names)])
        expected, line = [], 2
        for name in names:
            expected.append(line)
            line += 1 + name.count("\n")

        rows = rows_of(write(text.getvalue()))

        assert [row.cells[1] for row in rows] == names
        assert [row.line for row in rows] == expected
        assert not any(row.faults for row in rows)

    def test_giant_cell(self, write: Files) -> None:
        """A cell beyond what the csv module takes is a fault of its line."""
        path = write(f"siren,nom\n{SIREN},{'x' * 200_000}\n{SIREN},B\n")

        giant, after = rows_of(path)

        assert codes(giant) == ["cell-too-large"]
        assert after.record["nom"] == "B"

    def test_endless_line(self, write: Files) -> None:
        """A file without line ends is refused before it fills the memory."""
        assert refused(write(b"siren,nom" + b"x" * (3 << 20))).code == "line-too-long"

    def test_a_line_may_end_with_a_carriage_return(self, write: Files) -> None:
        """A file of old Macs has lines, however long it is."""
        path = write("siren,nom\r" + f"{SIREN},{'x' * 1000}\r" * 3000)

        assert len(rows_of(path)) == 3000

    def test_nul(self, write: Files) -> None:
        """A NUL byte is a fault of the row that holds it."""
        bad, good = rows_of(write(f"siren,nom\n{SIREN},A\0B\n{SIREN},C\n"))

        assert codes(bad) == ["nul-byte"]
        assert good.faults == []

    def test_the_header_that_is_blamed(self, write: Files) -> None:
        """Of lines none of which names all that is required, the one that names the most fields."""
        path = write(
            f"Nos clients;;\nle 1er mars;;\nsiren;code postal;ville\n{SIREN};35000;Rennes\n"
        )

        reason = refused(path)

        assert reason.code == "missing-label"
        assert "« siren », « code postal », « ville »" in reason.message

    def test_title_above_the_header(self, write: Files) -> None:
        """The header may stand below a title or Excel's sep= line."""
        source = open_source(write(f"sep=;\nExport du jour\n\nsiren;nom\n{SIREN};A\n"), ENTREPRISE)

        assert source.header_line == 4
        assert [row.line for chunk in source.chunks() for row in chunk] == [5]

    def test_told_delimiter(self, write: Files) -> None:
        """A delimiter that the operator names is taken, if it is one character."""
        path = write(f"siren:nom\n{SIREN}:A\n")

        assert rows_of(path, delimiter=":")[0].record["nom"] == "A"
        assert refused(path, delimiter="::").code == "delimiter"
        assert rows_of(write(f"siren\tnom\n{SIREN}\tA\n"), delimiter="\\t")[0].key == SIREN

    def test_fingerprint(self, write: Files) -> None:
        """The SHA-256 is that of the bytes."""
        content = f"siren;nom\n{SIREN};Été\n".encode("cp1252")

        assert open_source(write(content), ENTREPRISE).sha256 == hashlib.sha256(content).hexdigest()

    def test_what_cannot_be_opened(self, tmp_path: Path) -> None:
        """A missing file and a directory are errors of the system, not refusals."""
        with pytest.raises(FileNotFoundError):
            open_source(tmp_path / "absent.csv", ENTREPRISE)
        with pytest.raises(IsADirectoryError):
            open_source(tmp_path, ENTREPRISE)


class TestHeader:
    @pytest.mark.parametrize(
        "spelling", ["Code_Postal", "CODE POSTAL", "code-postal", " codé\npostal* "]
    )
    def test_spellings(self, write: Files, spelling: str) -> None:
        """Case, accents, punctuation and line ends in a header do not matter."""
        path = write(f'SIREN;Nom;"{spelling}"\n{SIREN};A;35000\n')

        source = open_source(path, ENTREPRISE)

        assert source.mapping[" ".join(spelling.split())] == "code_postal"

    @pytest.mark.parametrize("import_type", IMPORT_TYPES.values(), ids=IMPORT_TYPES)
    def test_no_alias_names_two_fields(self, import_type: ImportType) -> None:
        """A header names one field at most."""
        spellings = [
            (fold(name), field.name)
            for field in import_type.fields
            for name in {fold(name) for name in (field.name, *field.aliases)}
        ]

        assert len(dict(spellings)) == len(spellings)

    def test_unknown_columns(self, write: Files) -> None:
        """Columns that are not imported are told."""
        source = open_source(write(f"siren;nom;slogan;;slogan2\n{SIREN};A;x;;y\n"), ENTREPRISE)

        assert source.unknown_columns == ["slogan", "slogan2"]

    def test_told_columns(self, write: Files) -> None:
        """A column that the operator names feeds that field, whatever else would."""
        path = write(f"siren;nom;Sigle\n{SIREN};A;B\n")

        assert rows_of(path, columns={"sigle": "nom"})[0].record["nom"] == "B"
        assert refused(path, columns={"Sigle": "surnom"}).code == "unknown-field"
        assert refused(path, columns={"Logo": "nom"}).code == "unknown-column"

    def test_two_columns_for_a_field(self, write: Files) -> None:
        """Two columns for one field are refused, both named."""
        refusal = refused(write(f"siren;nom;Raison sociale\n{SIREN};A;B\n"))

        assert refusal.code == "duplicate-label"
        assert "« nom »" in refusal.message
        assert "« Raison sociale »" in refusal.message
        assert refused(write(f"siren;nom;NOM\n{SIREN};A;B\n")).code == "duplicate-label"

    def test_missing_column(self, write: Files) -> None:
        """A missing required column is named, with what was found and what resembles it."""
        refusal = refused(write("sirenn;nom;ville\n12;A;Rennes\n"))

        assert refusal.code == "missing-label"
        assert "« siren » manque" in refusal.message
        assert "La colonne « sirenn » y ressemble" in refusal.message
        assert "« ville »" in refusal.message

    def test_siret_alone(self, write: Files) -> None:
        """A file with a SIRET and no SIREN is read, its SIREN taken from the SIRET."""
        path = write(f"siret;nom\n{SIREN}00017;A\n73282932;B\n;C\n")

        taken, bad, blank = rows_of(path)

        assert (taken.key, taken.warnings, taken.faults) == (SIREN, ["siren-from-siret"], [])
        assert [(fault.column, fault.code) for fault in bad.faults] == [("siret", "malformed")]
        assert [(fault.column, fault.code) for fault in blank.faults] == [
            ("siret", "missing-value")
        ]

    def test_a_column_that_resembles_none(self, write: Files) -> None:
        """Nothing is guessed of a column whose name has little to do with the field."""
        for name in ("numero", "tarif"):
            assert "ressemble" not in refused(write(f"{name};nom\n1;A\n")).message

    @pytest.mark.parametrize(
        ("titles", "code"), [(26, None), (199, None), (200, "unknown-columns")]
    )
    def test_a_header_far_below(self, write: Files, titles: int, code: str | None) -> None:
        """It is looked for among the first 200 lines that hold anything, and not in the rows."""
        path = write("Export;\n" * titles + f"siren;nom\n{SIREN};A\n")

        if code is None:
            assert open_source(path, ENTREPRISE).header_line == titles + 1
        else:
            assert refused(path).code == code

    def test_a_header_that_fits_two_types(self, write: Files) -> None:
        """Where another type has as many of the columns, the one that was chosen is not called wrong."""
        refusal = refused(write("nom;code_postal\nRennes;35000\n"), ENTREPRISE)

        assert refusal.code == "missing-label"
        assert "« siren »" in refusal.message

    def test_no_known_column(self, write: Files) -> None:
        """A file without any known column is refused."""
        assert refused(write("a;b\n1;2\n")).code == "unknown-columns"

    @pytest.mark.parametrize(
        ("import_type", "right", "text"),
        [
            (ENTREPRISE, "VILLE", "nom_commune;code_postal;population\nRennes;35000;1\n"),
            (ENTREPRISE, "VILLE", "Villes\nRennes (35000)\n"),
            (VILLE, "ENTREPRISE", f"siren;nom;code_postal\n{SIREN};A;35000\n"),
            (VILLE, "ENTREPRISE", f"siren;nom;ville;code_postal\n{SIREN};A;Rennes;35000\n"),
        ],
    )
    def test_wrong_type(self, write: Files, import_type: ImportType, right: str, text: str) -> None:
        """A file of another type is refused, and the right type named."""
        refusal = refused(write(text), import_type)

        assert refusal.code == "wrong-type"
        assert f"choisissez le type {right}" in refusal.message

    @pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\r\n  \n", b";;\n;;\n"])
    def test_empty_file(self, write: Files, content: bytes) -> None:
        """A file of nothing is refused as empty."""
        assert refused(write(content)).code == "empty-file"

    @pytest.mark.parametrize("tail", ["", "\n", "\n;\n\n"])
    def test_header_only(self, write: Files, tail: str) -> None:
        """A header without a row is refused."""
        assert refused(write("siren;nom" + tail)).code == "no-rows"

    def test_names_of_the_register(self, write: Files) -> None:
        """INSEE's columns fill in for each other where the first is blank."""
        path = write(
            "siren,denominationUniteLegale,prenomUsuelUniteLegale,nomUniteLegale\n"
            f"{SIREN},ACME,,\n{SIREN},,THIERRY,JANOYER\n{SIREN},,,JANOYER\n{SIREN},,,\n"
        )

        rows = rows_of(path)

        assert [row.record["nom"] for row in rows] == ["ACME", "THIERRY JANOYER", "JANOYER", None]
        assert [fault.column for fault in rows[3].faults] == ["denominationUniteLegale"]


class TestCityList:
    def test_one_column(self, write: Files) -> None:
        """A list of "Nom (CP)" gives the name and the code, zeros restored."""
        path = write("Villes\nL Abergement Clemenciat (1400)\nParis 01 (75001)\nA (B) (02100)\n")

        source = open_source(path, VILLE)
        rows = rows_of(path, VILLE)

        assert source.mapping == {"Villes": "nom"}
        assert [(row.record["nom"], row.record["code_postal_principal"]) for row in rows] == [
            ("L Abergement Clemenciat", "01400"),
            ("Paris 01", "75001"),
            ("A (B)", "02100"),
        ]
        assert rows[0].key == "l-abergement-clemenciat-01400"
        assert [row.warnings for row in rows] == [["zeros-restored"], [], []]

    def test_a_value_without_a_code(self, write: Files) -> None:
        """A value that lacks the form is a fault of its row."""
        _, bad, _ = rows_of(write("Ville\nRennes (35000)\nBrest\nDinan (22100)\n"), VILLE)

        assert codes(bad) == ["malformed"]
        assert "« Brest »" in bad.faults[0].message
        assert bad.cells == ["Brest"]

    def test_too_few_codes(self, write: Files) -> None:
        """A column of which most values lack the form is a column of names."""
        path = write("Ville\nRennes (35000)\nBrest\nDinan\n")

        assert refused(path, VILLE).code == "missing-label"

    def test_a_code_that_is_too_short(self, write: Files) -> None:
        """Three digits in brackets are no postal code."""
        _, bad = rows_of(write("Ville\nRennes (35000)\nBrest (292)\n"), VILLE)

        assert codes(bad) == ["malformed"]

    def test_only_without_a_code_column(self, write: Files) -> None:
        """Where a column holds the postal code, names in brackets are names."""
        (row,) = rows_of(write("nom;cp\nRennes (35000);35200\n"), VILLE)

        assert (row.record["nom"], row.record["code_postal_principal"]) == (
            "Rennes (35000)",
            "35200",
        )


class TestWorkbook:
    def test_same_as_csv(self, write: Files, workbook: Files) -> None:
        """The same rows from a workbook and from a text file give the same records."""
        rows = [
            ["siren", "nom", "code_postal", "telephone", "is_active", "site_web"],
            [SIREN, "ACME", "35000", "0299000000", "oui", "acme.fr"],
            [SIREN, "Été  SARL", "1000", "", "", ""],
            ["x", "", "", "", "", ""],
        ]
        text = "\n".join(";".join(row) for row in rows)

        from_text = rows_of(write(text))
        from_workbook = rows_of(workbook(Feuille=rows))

        assert [row.record for row in from_workbook] == [row.record for row in from_text]
        assert [row.faults for row in from_workbook] == [row.faults for row in from_text]
        assert [row.line for row in from_workbook] == [row.line for row in from_text]

    def test_lost_zeros(self, workbook: Files) -> None:
        """Numbers in place of digits get their leading zeros back, with a warning each."""
        path = workbook(
            F=[
                ["siren", "nom", "siret", "cp", "telephone"],
                [int(OTHER), "A", int(OTHER + "00012"), 1000, 299000000],
                [SIREN, "B", SIREN + "00017", "35000", "02 99 00 00 00"],
                ["5520136", "C", None, None, None],
                [42, "D", None, None, None],
            ]
        )

        restored, whole, text, tiny = rows_of(path)

        assert restored.record | {"nom": None} == dict.fromkeys(restored.record) | {
            "siren": OTHER,
            "siret": OTHER + "00012",
            "code_postal": "01000",
            "telephone": "0299000000",
        }
        assert restored.warnings == ["zeros-restored"] * 4
        assert (whole.faults, whole.warnings) == ([], [])
        assert codes(text) == ["malformed"]
        assert codes(tiny) == ["malformed"]

    def test_cells_as_a_person_sees_them(self, workbook: Files) -> None:
        """Numbers, dates and truth values come as the text that Excel shows, blanks as nothing."""
        path = workbook(
            F=[
                ["siren", "nom", "actif", "note", "note 2", "note 3", "adresse"],
                [
                    732829320.0,
                    29600.0,
                    True,
                    date(2020, 1, 2),
                    datetime(2020, 1, 2, 3, 4),  # noqa: DTZ001 - Excel knows no time zones
                    0.1 + 0.2,
                ],
            ]
        )

        (row,) = rows_of(path)

        assert row.cells == [
            SIREN, "29600", "VRAI", "2020-01-02", "2020-01-02 03:04:00", "0.3", "",
        ]  # fmt: skip
        assert row.record["is_active"] is True
        assert row.record["adresse"] is None

    def test_line_numbers(self, workbook: Files) -> None:
        """Lines are numbered as in Excel, over blank lines before and between the rows."""
        path = workbook(
            F=[[], [], [None, "siren", "nom"], [], [None, SIREN, "A"], [], [None, OTHER, "B"]]
        )
        source = open_source(path, ENTREPRISE)

        assert source.header_line == 3
        assert [row.line for chunk in source.chunks() for row in chunk] == [5, 7]
        assert source.blank_lines == 2

    def test_sheets_that_are_known(self, workbook: Files) -> None:
        """Sheets with a known header are read, each with its own, but not hidden ones."""
        header = ["siren", "nom"]
        path = workbook(
            hidden=["Cachée"],
            Notice=[["Mode d'emploi"]],
            Nord=[header, [SIREN, "A"]],
            Autre=[["siren", "nom", "cp"], [SIREN, "X", "35000"]],
            Cachée=[header, [SIREN, "Y"]],
            Sud=[header, [OTHER, "B"]],
        )

        assert open_source(path, ENTREPRISE).sheet == "Nord, Autre, Sud"
        assert [(row.sheet, row.line, row.record["nom"]) for row in rows_of(path)] == [
            ("Nord", 2, "A"),
            ("Autre", 2, "X"),
            ("Sud", 2, "B"),
        ]
        assert [row.record["nom"] for row in rows_of(path, sheet="Autre")] == ["X"]
        assert refused(path, sheet="Ouest").code == "unknown-sheet"
        assert refused(path, sheet="Notice").code == "unknown-columns"

    def test_columns_beyond_the_header(self, workbook: Files) -> None:
        """Cells beyond the header are not read, and are not a fault in a workbook."""
        lines = [[SIREN, "A", "remarque"], [OTHER, "B"], [OTHER, "C"], [OTHER, "D"]]

        first, *_ = rows_of(workbook(F=[["siren", "nom"], *lines]))

        assert (first.cells, first.faults) == ([SIREN, "A"], [])

    def test_empty_workbook(self, workbook: Files) -> None:
        """A workbook of empty sheets is refused, and so is one with a header only."""
        assert refused(workbook(F=[])).code == "empty-file"
        assert refused(workbook(F=[["siren", "nom"], [None, " "]])).code == "no-rows"

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (b"PK\x03\x04 and nothing more", "broken-workbook"),
            (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "broken-workbook"),
            (b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "encrypted-workbook"),
            (b"%PDF-1.7\n", "unsupported-format"),
            (b"\x1f\x8b\x08\x00", "broken-archive"),
            (b"<html><body><table>", "unsupported-format"),
            (b"\xfd7zXZ\x00", "unsupported-format"),
        ],
    )
    def test_what_is_no_workbook(self, write: Files, content: bytes, code: str) -> None:
        """What is no readable workbook is refused with its own reason, whatever its name."""
        assert refused(write(content, "classeur.xlsx")).code == code

    def test_damaged_parts(self, workbook: Files, tmp_path: Path) -> None:
        """A workbook cut short or with a broken part is refused, never half read."""
        content = workbook(F=[["siren", "nom"], [SIREN, "A"]]).read_bytes()
        for end in range(0, len(content), 97):
            (tmp_path / "coupé.xlsx").write_bytes(content[:end])
            refused(tmp_path / "coupé.xlsx")
        damaged = _with_sheet(content, b"<worksheet><sheetData><row r='1'><c r='A1'>")
        (tmp_path / "cassé.xlsx").write_bytes(damaged)

        assert refused(tmp_path / "cassé.xlsx").code == "broken-workbook"

    @pytest.mark.parametrize(
        "cell",
        [
            b'<c r="XFD1048576"><v>1</v></c>',
            b"<c t='n' r='xfd1048576'><v>1</v></c>",
            b'<c\n r = "XFD1048576"><v>1</v></c>',
        ],
    )
    def test_far_cell(self, workbook: Files, tmp_path: Path, cell: bytes) -> None:
        """Two cells far apart are read one by one: loading what lies between would abort the process."""
        content = workbook(F=[["siren", "nom"], [SIREN, "A"]]).read_bytes()
        sheet = b'<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576">' + cell + b"</row>"
        (tmp_path / "loin.xlsx").write_bytes(_with_sheet(content, _SHEET % sheet))

        assert refused(tmp_path / "loin.xlsx").code == "unknown-columns"

    @pytest.mark.parametrize(
        "reference", [b"Dsiret2", b"AAAAAAAA1", b"A99999999999", b"&#65;", b"1"]
    )
    def test_references_that_are_none(
        self, workbook: Files, tmp_path: Path, reference: bytes
    ) -> None:
        """A cell whose reference is none is refused: calamine would look for its column far away."""
        content = workbook(F=[["siren", "nom"], [SIREN, "A"]]).read_bytes()
        sheet = b'<row r="1"><c r="%s"><v>1</v></c></row>' % reference
        (tmp_path / "faux.xlsx").write_bytes(_with_sheet(content, _SHEET % sheet))

        assert refused(tmp_path / "faux.xlsx").code == "broken-workbook"

    def test_far_cell_without_references(self, workbook: Files, tmp_path: Path) -> None:
        """Cells without a reference count in their order; few of them are read one by one."""
        content = workbook(F=[["siren", "nom"], [SIREN, "A"]]).read_bytes()
        wide = (
            b"<row>" + b"<c><v>1</v></c>" * 16_384 + b'</row><row r="1048576"><c><v>1</v></c></row>'
        )
        (tmp_path / "large.xlsx").write_bytes(_with_sheet(content, _SHEET % wide))

        assert refused(tmp_path / "large.xlsx").code == "unknown-columns"

    def test_cells_without_references(self, workbook: Files, tmp_path: Path) -> None:
        """A sheet whose cells do not say where they are is read like any other."""
        content = workbook(F=[["siren", "nom"], [SIREN, "A"]]).read_bytes()
        lines = [b"siren", b"nom"], [SIREN.encode(), b"A"]
        sheet = b"".join(
            b"<row>" + b"".join(b'<c t="str"><v>%s</v></c>' % cell for cell in line) + b"</row>"
            for line in lines
        )
        (tmp_path / "sans.xlsx").write_bytes(_with_sheet(content, _SHEET % sheet))

        assert [row.record["nom"] for row in rows_of(tmp_path / "sans.xlsx")] == ["A"]

    def test_bomb(self, workbook: Files, tmp_path: Path) -> None:
        """What inflates beyond the limit is refused, even where its directory lies."""
        content = workbook(F=[["siren", "nom"], [SIREN, "A"]]).read_bytes()
        size = 600 << 20
        bomb = _with_sheet(content, [_SHEET % b"", *[b" " * (1 << 20)] * (size >> 20)])
        stated = (size + len(_SHEET % b"")).to_bytes(4, "little")
        assert stated in bomb
        (tmp_path / "bombe.xlsx").write_bytes(bomb)
        (tmp_path / "menteur.xlsx").write_bytes(bomb.replace(stated, (1000).to_bytes(4, "little")))

        assert refused(tmp_path / "bombe.xlsx").code == "too-large"
        assert refused(tmp_path / "menteur.xlsx").code == "too-large"


_SHEET = (
    b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    b"<sheetData>%s</sheetData></worksheet>"
)


def _with_sheet(content: bytes, sheet: bytes | list[bytes]) -> bytes:
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as copy,
    ):
        for part in source.infolist():
            if part.filename != "xl/worksheets/sheet1.xml":
                copy.writestr(part.filename, source.read(part))
                continue
            with copy.open(part.filename, "w") as stream:
                for block in [sheet] if isinstance(sheet, bytes) else sheet:
                    stream.write(block)
    return target.getvalue()


_MEMORY = """
import resource, sys
from pathlib import Path
from producers.reading import open_source
from schemas.import_types import ENTREPRISE
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(map(len, open_source(Path(sys.argv[1]), ENTREPRISE).chunks()))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_flat(write: Files) -> None:
    """Reading 40 MB takes no more than 20 MiB on top of what Python takes."""
    line = f"{SIREN};{'Établissement ' * 10}\n"
    path = write("siren;nom\n" + line * (40_000_000 // len(line.encode())))

    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, path], capture_output=True, text=True, check=True
    )
    rows, kibibytes = map(int, done.stdout.split())

    assert rows > 200_000
    assert kibibytes < 20 << 10


def _read_or_refused(path: Path, import_type: ImportType) -> None:
    try:
        source = open_source(path, import_type)
    except RefusedError:
        return
    last = 0
    details = {field.name for field in import_type.fields if field.detail}
    for chunk in source.chunks():
        assert 0 < len(chunk) <= 1000
        for row in chunk:
            assert row.line > last
            assert set(row.record) - details == set(import_type.field) - details
            assert row.key is None or isinstance(row.key, str)
            last = row.line


_PIECES = st.sampled_from(
    [
        b"siren", b"nom", b"siret", b"Villes", b"cp", b"lat", b"population",
        b"732829320", b"A (1400)", b"inf", b"-1", b"1e999", b"PK\x03\x04",
        b",", b";", b"\t", b"|", b'"', b'""', b"\n", b"\r", b"\r\n", b" ",
        b"\0", b"\xe9", b"\xc3\xa9", b"\xc2\xa0", b"\xef\xbb\xbf", b"\xff\xfe", b"\x81",
    ]
)  # fmt: skip


@settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.one_of(st.binary(max_size=300), st.lists(_PIECES, max_size=60).map(b"".join)),
    st.sampled_from([b"", b"siren;nom\n", b"nom,cp,lat,population,codes_postaux\n"]),
)
def test_any_bytes(tmp_path: Path, content: bytes, header: bytes) -> None:
    """Any bytes give rows or a refusal, nothing else."""
    path = tmp_path / "octets"
    path.write_bytes(header + content)

    for import_type in IMPORT_TYPES.values():
        _read_or_refused(path, import_type)


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_damage_to_a_workbook(tmp_path: Path, workbook: Files, data: st.DataObject) -> None:
    """A workbook with damaged bytes or a foreign sheet gives rows or a refusal."""
    path = tmp_path / "classeur.xlsx"
    if not path.exists():
        workbook(F=[["siren", "nom", "cp"], [SIREN, "A", 1000], [OTHER, None, "x"]])
    content = path.read_bytes()
    if data.draw(st.booleans()):
        damaged = bytearray(content)
        places = st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)
        for place in data.draw(places):
            damaged[place] = data.draw(st.integers(0, 255))
    else:
        pieces = [b'<row r="2">', b"</row>", b"<row>", b'<c r="B2" t="s">', b"<v>1</v>", b"</c>"]
        pieces += [b'<c r="A1" t="b">', b"<c>", b"<v>x</v>", b'<c t="e">', b"&", b"<", b'<c r="A">']
        sheet = b"".join(data.draw(st.lists(st.sampled_from(pieces), max_size=12)))
        damaged = bytearray(_with_sheet(content, _SHEET % sheet))
    (tmp_path / "abîmé").write_bytes(damaged)

    _read_or_refused(tmp_path / "abîmé", ENTREPRISE)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=30
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_csv_writes_is_read_back(
    tmp_path: Path, names: list[str], delimiter: str, end: str
) -> None:
    """Cells that the csv module writes come back as they were, each on its line."""
    text = io.StringIO(newline="")
    # QUOTE_ALL: by default the module leaves line ends other than its own unquoted.
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["siren", "nom"])
    writer.writerows([[SIREN, name] for name in names])
    path = tmp_path / "noms.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")

    rows = rows_of(path, delimiter=delimiter)

    assert [row.cells for row in rows] == [[SIREN, name] for name in names]
