"""Cells as people and programs write them: the value that is read, and what is said of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from producers.reading import FileRow, RefusedError, correction, open_source
from producers.reading.row.normalisation import Column, NormalisedRows, normalise
from schemas.import_types import ENTREPRISE, VILLE, ImportType
from schemas.values.empty_words import Meaning, empty_words

SIREN = "055200018"
SIRET = "05520001800012"
COMPANY = {"siren": SIREN, "nom": "ACME"}
CITY = {"nom": "Lyon", "code_postal_principal": "69003"}


def read(import_type: ImportType, cells: Mapping[str, str], **column: Any) -> NormalisedRows:
    given = {field: Column(field, [cell], **column) for field, cell in cells.items()}
    return normalise(import_type, given, 1)


def said(batch: NormalisedRows) -> list[str]:
    """Codes of warnings and faults of the only row."""
    return [*batch.warnings.get(0, []), *(fault.code for fault in batch.faults.get(0, []))]


FINE: list[str] = []
CORRECTED = ["corrected"]
RESTORED = ["zeros-restored"]
DROPPED = ["malformed"]


@pytest.mark.parametrize(
    ("field", "cell", "value", "codes"),
    [
        # Marks that nobody sees, and those that keep Excel from reading a number
        ("siren", f"\u202a{SIREN}\u202c", SIREN, FINE),
        ("siren", "055\u00ad200\u200b018", SIREN, FINE),
        ("siren", f"'{SIREN}", SIREN, CORRECTED),
        ("siren", f"’{SIREN}", SIREN, CORRECTED),
        ("siren", f'="{SIREN}"', SIREN, CORRECTED),
        ("siren", f'=""{SIREN}""', SIREN, CORRECTED),
        ("siren", f"='{SIREN}'", SIREN, CORRECTED),
        ("nom", '="Le ""Zinc"""', 'Le "Zinc"', CORRECTED),
        ("nom", '="a"&"b"', '="a"&"b"', FINE),
        ("nom", "Mé\u00adtal\u200blerie", "Métallerie", FINE),
        ("nom", "Me\u0301tallerie", "Métallerie", FINE),
        ("siren", "０５５２０００１８", SIREN, CORRECTED),
        # Thousands and decimals
        ("siren", "055,200,018", SIREN, CORRECTED),
        ("siren", "055'200'018", SIREN, CORRECTED),
        ("siren", "055_200_018", SIREN, CORRECTED),
        ("siren", "055.200.018", SIREN, FINE),
        ("siren", "055200018,00", SIREN, CORRECTED),
        ("siren", "055-200-018", SIREN, CORRECTED),
        ("siren", "055-200-017", "055-200-017", DROPPED),
        ("siren", "055200.018", "055200.018", DROPPED),
        ("code_postal", "69,003", "69003", CORRECTED),
        ("code_postal", "41,000", "41000", CORRECTED),
        ("code_postal", "29600.0", "29600", CORRECTED),
        # Words beside a number whose check digits are right
        ("siren", "RCS Lyon B 055 200 018", SIREN, CORRECTED),
        ("siren", "055200018 RCS Lyon", SIREN, CORRECTED),
        ("siren", "FR 40 055200018", SIREN, CORRECTED),
        ("siren", "N° SIREN : 055.200.018 (siège)", SIREN, CORRECTED),
        ("siren", "SIREN 055200019", "SIREN055200019", DROPPED),
        ("siren", "ex : 055200018", "ex:055200018", DROPPED),
        ("siret", f"{SIREN}-00012", SIRET, CORRECTED),
        ("siret", "SIRET : 055 200 018 00012", SIRET, CORRECTED),
        # Zeros
        ("siren", "55200018", SIREN, RESTORED),
        ("siren", "55200018.0", SIREN, ["zeros-restored", "corrected"]),
        ("siren", "55200019", "55200019", DROPPED),
        ("siren", "5,52E+07", "5,52E+07", DROPPED),
        ("siret", "5520001800012", SIRET, RESTORED),
        ("siret", "5520001800013", "5520001800013", DROPPED),
        ("code_postal", "1000", "01000", RESTORED),
        ("telephone", "478000000", "0478000000", RESTORED),
        ("telephone", "478000000.0", "0478000000", RESTORED),
        ("telephone", "478 000 000", "0478000000", RESTORED),
        ("telephone", "4 78 00 00 00", "04 78 00 00 00", RESTORED),
        ("telephone", "33478000000", "+33478000000", CORRECTED),
        ("telephone", "9,00E+08", None, DROPPED),
        # Postal codes
        ("code_postal", "69003 CEDEX 03", "69003", CORRECTED),
        ("code_postal", "F-69003", "69003", CORRECTED),
        ("code_postal", "69003 Lyon", "69003", CORRECTED),
        ("code_postal", "BP 12 69003", "69003", CORRECTED),
        ("code_postal", "D-69003", None, DROPPED),
        ("code_postal", "1000 Bruxelles", None, DROPPED),
        ("code_postal", "69003-1234", None, DROPPED),
        ("code_postal", "00000", None, DROPPED),
        # Activities
        ("naf_code", "43.22A - Travaux d'installation", "43.22A", CORRECTED),
        ("naf_code", "6201Z Programmation", "62.01Z", CORRECTED),
        ("naf_code", "APE 6201Z", "62.01Z", CORRECTED),
        ("naf_code", "62-01Z", "62.01Z", CORRECTED),
        ("naf_code", "1.11Z", "01.11Z", RESTORED),
        ("naf_code", "721Z", None, DROPPED),
        ("naf_code", "72.1Z", None, DROPPED),
        ("naf_code", "62,01Z", "62.01Z", CORRECTED),
        ("naf_code", "Programmation (62.01Z)", "62.01Z", CORRECTED),
        ("naf_code", "J6201Z", "62.01Z", CORRECTED),
        ("naf_code", "voir 62.01Z et 62.02A", None, DROPPED),
        ("naf_code", "6201", None, DROPPED),
        ("naf_code", "62.99Z - Inconnue", None, DROPPED),
        # Telephones
        ("telephone", "Tél. : 04 78 00 00 00", "04 78 00 00 00", CORRECTED),
        ("telephone", "04‑78‑00‑00‑00", "04-78-00-00-00", CORRECTED),
        ("telephone", "0478000000.", "0478000000", CORRECTED),
        ("telephone", "04 78 00 00 00 / 06 12 34 56 78", "04 78 00 00 00", CORRECTED),
        ("telephone", "(+33) 4 78 00 00 00", "+33 4 78 00 00 00", CORRECTED),
        ("telephone", "04 78 00 00 00 poste 12", "04 78 00 00 00", CORRECTED),
        ("telephone", "Bureau 0478000000", "0478000000", CORRECTED),
        ("telephone", "0478000000 0612345678", "0478000000", CORRECTED),
        ("telephone", "(33) 4 78 00 00 00", "+33 4 78 00 00 00", CORRECTED),
        ("telephone", "Fax : 04 78 00 00 00", None, DROPPED),
        ("telephone", "45.764043", None, DROPPED),
        ("telephone", "01/02/2024", None, DROPPED),
        ("telephone", "....", None, DROPPED),
        # E-mail
        ("email_contact", "mailto:a@b.fr?subject=x", "a@b.fr", CORRECTED),
        ("email_contact", '"Jean" <a@b.fr>', "a@b.fr", CORRECTED),
        ("email_contact", "a@b.fr;", "a@b.fr", CORRECTED),
        ("email_contact", "a@b.fr.", "a@b.fr", CORRECTED),
        ("email_contact", "a@b.fr / c@d.fr", "a@b.fr", CORRECTED),
        ("email_contact", "a＠b.fr", "a@b.fr", CORRECTED),
        ("email_contact", "a (at) b.fr", "a@b.fr", CORRECTED),
        ("email_contact", "a\u200b@b.fr", "a@b.fr", FINE),
        ("email_contact", "a@b.fr?subject=x", "a@b.fr", CORRECTED),
        ("email_contact", "a@b.fr#mailto:a@b.fr#", "a@b.fr", CORRECTED),
        ("email_contact", "&lt;a@b.fr&gt;", "a@b.fr", CORRECTED),
        ("email_contact", "a@b.fr ou c@d.fr", "a@b.fr", CORRECTED),
        ("email_contact", "a@b", None, DROPPED),
        ("email_contact", "jean dupont@b.fr", None, DROPPED),
        ("email_contact", "a@b.fr c@d.fr", "a@b.fr", CORRECTED),
        ("site_web", "https://exa mple.fr", None, DROPPED),
        # Web
        ("site_web", "https://a.fr;https://b.fr", "https://a.fr", CORRECTED),
        ("site_web", "a.fr ; b.fr", "https://a.fr", CORRECTED),
        ("site_web", "https://a.fr,", "https://a.fr", CORRECTED),
        ("site_web", "http://https://a.fr", "https://a.fr", CORRECTED),
        ("site_web", "https:/a.fr", "https://a.fr", CORRECTED),
        ("site_web", "//a.fr", "https://a.fr", CORRECTED),
        ("site_web", "https://a.fr/x;y,z(1)", "https://a.fr/x;y,z(1)", FINE),
        ("site_web", "a.fr#http://a.fr#", "http://a.fr", CORRECTED),
        ("site_web", "http:\\\\a.fr", "http://a.fr", CORRECTED),
        ("site_web", "https:// www.a.fr", "https://www.a.fr", CORRECTED),
        ("site_web", "https://a.fr/#", "https://a.fr/#", FINE),
        ("site_web", "www.exemple,fr", None, DROPPED),
        ("site_web", "S.A.R.L", None, DROPPED),
        ("site_web", "12.50", None, DROPPED),
        ("site_web", "ftp://a.fr", None, DROPPED),
        # Truth
        *((("is_active", word, True, FINE)) for word in ("O", "T", "Y", "Actif", "VRAI", "WAHR", "Sí", "ouvert")),
        *((("is_active", word, False, FINE)) for word in ("N", "Inactif", "Fermé", "cesse", "FALSCH", "falso")),
    ],
)  # fmt: skip
def test_companies(field: str, cell: str, value: object, codes: list[str]) -> None:
    batch = read(ENTREPRISE, COMPANY | {field: cell})

    assert (batch.records[0][field], sorted(said(batch))) == (value, sorted(codes))


@pytest.mark.parametrize(
    ("cells", "values", "codes"),
    [
        ({"population": "41,000"}, {"population": 41000}, CORRECTED),
        ({"population": "30.000"}, {"population": 30000}, CORRECTED),
        ({"population": "2,148,271"}, {"population": 2148271}, CORRECTED),
        ({"population": "1.234.567,00"}, {"population": 1234567}, CORRECTED),
        ({"population": "49'024"}, {"population": 49024}, CORRECTED),
        ({"population": "44 558"}, {"population": 44558}, FINE),
        ({"population": "10.05"}, {"population": None}, DROPPED),
        ({"population": "1 2 3"}, {"population": None}, DROPPED),
        ({"population": "10 05"}, {"population": None}, DROPPED),
        ({"population": "44 558,00"}, {"population": 44558}, FINE),
        ({"population": "1.000.0"}, {"population": None}, DROPPED),
        ({"population": "2,15E+06"}, {"population": None}, DROPPED),
        ({"lat": "48,85° N", "lng": "2,35 W"}, {"lat": 48.85, "lng": -2.35}, CORRECTED * 2),
        ({"lat": "50°38'N"}, {"lat": 50.63333333}, CORRECTED),
        ({"lat": "48°75'"}, {"lat": None}, DROPPED),
        ({"lat": "2,35 E"}, {"lat": None}, DROPPED),
        (
            {"lat": "48°51.5'", "lng": "2,35 Ouest"},
            {"lat": 48.85833333, "lng": -2.35},
            CORRECTED * 2,
        ),
        ({"departement": "01 - Ain"}, {"departement": "01"}, CORRECTED),
        ({"departement": "069"}, {"departement": "69"}, CORRECTED),
        ({"departement": "000"}, {"departement": None}, DROPPED),
        ({"codes_postaux": "1000,69004"}, {"codes_postaux": ["69003", "01000", "69004"]}, RESTORED),
    ],
)
def test_cities(cells: dict[str, str], values: dict[str, object], codes: list[str]) -> None:
    batch = read(VILLE, CITY | cells)

    assert {field: batch.records[0][field] for field in values} == values
    assert said(batch) == codes


def test_a_number_of_a_workbook_has_no_thousands() -> None:
    """41.123 is a number with decimals there, which its text is not in a file of text."""
    batch = read(VILLE, CITY | {"population": "41.123"}, numeric=[0])

    assert (batch.records[0]["population"], said(batch)) == (None, DROPPED)


def column_of(field: str, words: Sequence[str]) -> NormalisedRows:
    """A row for each word, which is the value of one field."""
    cells = {"siren": [SIREN] * len(words), "nom": ["ACME"] * len(words)} | {field: words}
    given = {name: Column(name, column) for name, column in cells.items()}
    return normalise(ENTREPRISE, given, len(words))


def test_errors() -> None:
    """An error is a fault in a required field, and nothing with a warning elsewhere."""
    words = sorted(empty_words("unavailable") | empty_words("error"))
    required, optional = column_of("nom", words), column_of("ville_nom", words)

    assert {"#N/D", "#CHAMP!", "Err:502", "#VALEUR !", "Loading...", "########"} <= set(words)
    rows = range(len(words))
    codes = {row: [fault.code for fault in faults] for row, faults in required.faults.items()}
    assert codes == {row: ["formula-error"] for row in rows}
    assert optional.warnings == {row: ["formula-error"] for row in rows}
    assert {record["ville_nom"] for record in optional.records} == {None}
    assert not optional.faults


def test_an_error_of_a_siret_alone() -> None:
    """A row that has nothing else for its key is at fault."""
    batch = read(ENTREPRISE, {"nom": "ACME", "siret": "#N/D"})

    assert [fault.code for fault in batch.faults[0]] == ["missing-value"]


@pytest.mark.parametrize(("meaning", "codes"), [("nothing", FINE), ("placeholder", DROPPED)])
def test_words_for_nothing(meaning: Meaning, codes: list[str]) -> None:
    """They are not given, whatever their case; people's own words are counted."""
    words = sorted(empty_words(meaning))
    required, optional = column_of("nom", words), column_of("ville_nom", words)

    found = {row: [fault.code for fault in faults] for row, faults in required.faults.items()}
    assert found == {row: ["missing-value"] for row in range(len(words))}
    assert {record["ville_nom"] for record in optional.records} == {None}
    assert all(optional.warnings.get(row, []) == codes for row in range(len(words)))


def test_a_word_is_named() -> None:
    """The message says why a cell that is not blank counts as blank, and what to do."""
    (fault,) = read(ENTREPRISE, COMPANY | {"nom": "NA"}).faults[0]

    assert "« NA »" in fault.message
    assert "forme juridique" in fault.message


def test_a_number_that_excel_rounded() -> None:
    (fault,) = read(ENTREPRISE, COMPANY | {"siren": "4,43E+08"}).faults[0]

    assert "Excel" in fault.message


def test_a_siren_is_not_a_phone() -> None:
    """Nor with the zero that a telephone of nine digits would have lost."""
    for cell in ("900000019", "900 000 019"):
        batch = read(ENTREPRISE, {"siren": "900000019", "nom": "A", "telephone": cell})
        assert (batch.records[0]["telephone"], said(batch)[-1]) == (None, "malformed")


@pytest.mark.parametrize("name", ["Aucun", "SARL NA", "Ndiaye", "Nantes", "Errol", "#Hashtag"])
def test_words_that_are_names(name: str) -> None:
    assert read(ENTREPRISE, COMPANY | {"nom": name}).records[0]["nom"] == name


def test_a_siret_in_the_column_of_sirens() -> None:
    """It is both, if its check digits are right."""
    batch = read(ENTREPRISE, COMPANY | {"siren": SIRET})
    wrong = read(ENTREPRISE, COMPANY | {"siren": "05520001900012"})

    assert (batch.records[0]["siren"], batch.records[0]["siret"]) == (SIREN, SIRET)
    assert (batch.keys, said(batch)) == ([SIREN], ["siren-from-siret"])
    assert said(wrong) == ["malformed"]


def rows_of(folder: Path, text: str, import_type: ImportType = ENTREPRISE) -> list[FileRow]:
    path = folder / "fichier.csv"
    path.write_text(text, encoding="utf-8")
    return [row for chunk in open_source(path, import_type).chunks() for row in chunk]


@pytest.mark.parametrize(
    ("cell", "lat", "lng", "codes"),
    [
        ("48.97, -1.54", 48.97, -1.54, FINE),
        ("45,76, 4,83", 45.76, 4.83, FINE),
        ("45,76;4,83", 45.76, 4.83, FINE),
        ("45,76,4,83", 45.76, 4.83, FINE),
        ("45.76 4.83", 45.76, 4.83, FINE),
        ("[4.83, 45.76]", 45.76, 4.83, CORRECTED),
        ("POINT(4.83 45.76)", 45.76, 4.83, FINE),
        ("50°38'N 3°03'E", 50.63333333, 3.05, CORRECTED * 2),
        ("45,76", None, None, DROPPED),
        ("45,76,4", None, None, DROPPED),
    ],
)
def test_coordinates(tmp_path: Path, cell: str, lat: object, lng: object, codes: list[str]) -> None:
    """Two values of a cell are both read, or none."""
    text = f'nom|code_postal|geo_point_2d\nLyon|69003|"{cell}"\n'
    (row,) = rows_of(tmp_path, text, VILLE)

    assert (row.record["lat"], row.record["lng"], row.warnings) == (lat, lng, codes)


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        ("SIREN * (9 chiffres);Nom *;Ville (obligatoire);Code postal [5 chiffres]", "siren nom ville_nom code_postal"),
        ("Numéro SIREN;Nom de la société;Téléphone portable;Adresse électronique", "siren nom telephone email_contact"),
        ("SIREN ou SIRET;Société;Localité;Rue;Code NAF/APE", "siren nom ville_nom adresse naf_code"),
        ("SIREN;Account Name;Billing City;Billing Zip/Postal Code;Phone Number", "siren nom ville_nom code_postal telephone"),
        ("\u200bSiren\u200e;Ra\u00adison sociale;Te\u0301le\u0301phone;Mél", "siren nom telephone email_contact"),
        ("1. SIREN;2. Raison sociale;3) Code postal", "siren nom code_postal"),
        ("siren;Prénom;Nom;Société", "siren - - nom"),
        ("siren;Nom;Société", "siren - nom"),
        ("siren;Nom;Nom (dirigeant);Téléphone (ex. 0478000000)", "siren nom - telephone"),
    ],
)  # fmt: skip
def test_headers(tmp_path: Path, header: str, fields: str) -> None:
    path = tmp_path / "fichier.csv"
    path.write_text(f"{header}\n" + ";".join("x" for _ in fields.split()) + "\n", encoding="utf-8")
    source = open_source(path, ENTREPRISE)

    found = [source.mapping.get(name, "-") for name in source.columns.names]
    assert found == fields.split()


def test_two_columns_for_a_field(tmp_path: Path) -> None:
    """The first that is of use gives an optional field; another value is counted."""
    rows = rows_of(
        tmp_path,
        "siren;nom;tel;telephone;commune\n"
        f"{SIREN};A;0478000000;;Lyon\n"
        f"{SIREN};B;0478000000;04 78 00 00 00;Lyon\n"
        f"{SIREN};C;0478000000;0600000000;Lyon\n"
        f"{SIREN};D;0478000000;voir le site;Lyon\n"
        f"{SIREN};E;#N/D;NC;Lyon\n",
    )

    phones = ["0478000000", "04 78 00 00 00", "0600000000", "0478000000", None]
    assert [row.record["telephone"] for row in rows] == phones
    assert [row.warnings for row in rows] == [[], [], ["other-column"], [], ["malformed"]]
    with pytest.raises(RefusedError, match="désignent toutes"):
        rows_of(tmp_path, f"siren;nom;denomination\n{SIREN};A;B\n")


def test_a_cell_that_is_missing_in_the_middle(tmp_path: Path) -> None:
    """A short line whose cells are in the wrong columns is faulty; one that only lacks its end is not."""
    text = "siren;nom;adresse;code_postal;ville_nom\n"
    lines = [f"{SIREN};A;69003;Lyon", f"{SIREN};B;1 rue X;69003", f"{SIREN};C;1 rue X;69003;Lyon"]
    rows = rows_of(tmp_path, text + "\n".join(lines) + "\n")

    assert [[fault.code for fault in row.faults] for row in rows] == [["missing-cell"], [], []]
    assert (rows[0].key, rows[1].record["code_postal"]) == (None, "69003")


def test_a_report_that_excel_saved(tmp_path: Path) -> None:
    """The way back: Excel has dropped zeros, the row is read with them and resolves its line."""
    text = (
        "siren;nom;telephone;code_postal;_line;_column;_code;_message;_import\n"
        "55200018;ACME;478000000;1000;7;siren;malformed;;00000000-0000-4000-8000-000000000001\n"
    )
    path = tmp_path / "erreurs.csv"
    path.write_text(text, encoding="cp1252")

    (row,) = next(iter(correction.open_source(path, ENTREPRISE).chunks()))

    assert (row.key, row.record["telephone"], row.record["code_postal"]) == (
        SIREN,
        "0478000000",
        "01000",
    )
    assert row.warnings == ["zeros-restored"] * 3
    assert row.resolves is not None
    assert row.resolves.line == 7
