from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.reading.row.cell_values import CONVERSIONS
from producers.reading.row.column_values import Memo
from producers.reading.row.normalisation import Column, NormalisedRows, normalise
from schemas.faults import Fault
from schemas.import_types import ENTREPRISE, IMPORT_TYPES, VILLE, ImportType
from schemas.rules import Luhn, violations

SIREN = "732829320"


def batch_of(
    import_type: ImportType,
    numeric: Sequence[str] = (),
    calculated: Sequence[str] = (),
    **cells: Sequence[str],
) -> NormalisedRows:
    """The batch of columns given as cells by field, in columns headed as in HEADERS."""
    count = max(map(len, cells.values()))
    given = {
        field: Column(
            field.upper(), values, range(count) if field in numeric else (), field in calculated
        )
        for field, values in cells.items()
    }
    return normalise(import_type, given, count)


NOT_GIVEN = dict.fromkeys(field.name for field in ENTREPRISE.fields if not field.detail)


def company(**cells: str | int) -> tuple[dict[str, Any], list[str], list[Fault]]:
    """The record and warnings of one company; numeric cells are given as numbers."""
    texts = {"siren": [SIREN], "nom": ["ACME"]} | {name: [str(v)] for name, v in cells.items()}
    numeric = [name for name, value in cells.items() if not isinstance(value, str)]
    batch = batch_of(ENTREPRISE, numeric, (), **texts)
    return batch.records[0], batch.warnings.get(0, []), batch.faults.get(0, [])


def city(**cells: str) -> tuple[dict[str, Any], list[str]]:
    """The record and warnings of one city."""
    texts = {"nom": ["Rennes"], "code_postal_principal": ["35000"]}
    batch = batch_of(VILLE, (), (), **texts | {name: [value] for name, value in cells.items()})
    return batch.records[0], batch.warnings.get(0, [])


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        ("siren", "732 829 320", SIREN),
        ("siren", "732\u00a0829\u202f320", SIREN),
        ("siren", "732.829.320", SIREN),
        ("siren", "\u200b732829320\ufeff", SIREN),
        ("siret", "732 829 320 00074", "73282932000074"),
        ("nom", "  L\u00a0 Été \t SARL ", "L Été SARL"),
        ("nom", "北京", "北京"),
        ("nom", "@LEF INFORMATIQUE", "@LEF INFORMATIQUE"),
        ("nom", "=1+1", "=1+1"),
        ("nom", "Jean-Pierre", "Jean-Pierre"),
        ("adresse", "1 rue A\nBât B", "1 rue A\nBât B"),
        ("code_postal", "35 000", "35000"),
        ("telephone", "02\u00a099\u202f00 00 00", "02 99 00 00 00"),
        ("telephone", "+33 (0)2.99.00-00/00", "+33 (0)2.99.00-00/00"),
        ("email_contact", " a@b.fr\u00a0", "a@b.fr"),
        ("site_web", "acme.fr/page?x=1", "https://acme.fr/page?x=1"),
        ("site_web", "http://acme.fr", "http://acme.fr"),
        ("site_web", "HTTPS://ACME.FR", "HTTPS://ACME.FR"),
    ],
)
def test_texts(field: str, cell: str, value: object) -> None:
    """Texts of a company are brought into one form, and nothing is warned of."""
    assert company(**{field: cell}) == (
        NOT_GIVEN | {"siren": SIREN, "nom": "ACME", field: value},
        [],
        [],
    )


@pytest.mark.parametrize(
    "word", ["", " ", "\u00a0", "None", "nan", "NaN", "null", "NULL", "Null", "NA", "<NA>", "\\N"]
)
@pytest.mark.parametrize("import_type", IMPORT_TYPES.values(), ids=IMPORT_TYPES)
def test_nothing(import_type: ImportType, word: str) -> None:
    """What spreadsheets write for nothing is not given, in every field."""
    batch = batch_of(import_type, (), (), **{field.name: [word] for field in import_type.fields})

    assert batch.records == [dict.fromkeys(import_type.field)]
    assert batch.warnings == {}
    assert batch.keys == [None]
    required = sum(field.required for field in import_type.fields)
    assert [fault.code for fault in batch.faults[0]] == ["missing-value"] * required


@pytest.mark.parametrize(
    ("cell", "value"),
    [(word, True) for word in ("true", "1", "OUI", "Yes", "vrai", "x", "X", "1.0")]
    + [(word, False) for word in ("false", "0", "Non", "no", "FAUX", "0.0")],
)
def test_booleans(cell: str, value: object) -> None:
    """Truth is told in French, in English and by a cross, in any case."""
    record, warnings, _ = company(is_active=cell)

    assert (record["is_active"], warnings) == (value, [])


def test_a_number_does_not_rewrite_its_neighbours() -> None:
    """A cell is converted only if it is a number as a whole, whatever the others of its column are."""
    phones: list[str | None] = ["01.02.03.04.05", "478000000.0", "10.05"]
    assert CONVERSIONS["phone"](phones, [1]).values == ["01.02.03.04.05", "0478000000", "10.05"]
    whole = CONVERSIONS["integer"](["10.05", "12.0", "1.000.0"], [])
    assert (whole.values, whole.malformed) == ([None, 12, None], [0, 2])


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("is_active", "peut-être"),
        ("code_postal", "2A300"),
        ("code_postal", "123"),
        ("naf_code", "00.10"),
        ("telephone", "voir le site"),
        ("email_contact", "a@b"),
        ("site_web", "néant"),
        ("site_web", "javascript:alert(1)"),
    ],
)
def test_malformed_and_optional(field: str, cell: str) -> None:
    """A malformed value of an optional field is dropped with a warning, and the row is kept."""
    record, warnings, faults = company(**{field: cell})

    assert (record[field], warnings, faults) == (None, ["malformed"], [])


@pytest.mark.parametrize(
    ("field", "number", "value"),
    [
        ("siren", 5520135, "005520135"),
        ("siren", 325175, "000325175"),
        ("siren", 55201354, "055201354"),
        ("siret", 32517500008, "00032517500008"),
        ("siret", 5520135400002, "05520135400002"),
        ("siret", 552013500012, "00552013500012"),
        ("code_postal", 1000, "01000"),
        ("telephone", 299000000, "0299000000"),
    ],
)
def test_lost_zeros(field: str, number: int, value: str) -> None:
    """A number in place of digits gets its leading zeros back, with a warning."""
    cells = {"siren": value[:9] if field == "siret" else "005520135"} | {field: number}
    record, warnings, faults = company(**cells)

    assert (record[field], warnings, faults) == (value, ["zeros-restored"], [])


@pytest.mark.parametrize(
    ("field", "number", "value", "codes"),
    [
        ("siren", 25175, "25175", ["malformed"]),
        ("siret", 2517500008, "2517500008", ["malformed"]),
        ("code_postal", 100, None, ["malformed"]),
        ("telephone", 99000000, "99000000", []),
        ("telephone", 2990000000, "2990000000", []),
    ],
)
def test_too_few_digits(field: str, number: int, value: object, codes: list[str]) -> None:
    """A number that has lost more than leading zeros is something else: nothing is made of it."""
    record, warnings, faults = company(**{field: number})

    assert record[field] == value
    assert [*warnings, *(fault.code for fault in faults)] == codes


@pytest.mark.parametrize("cell", ["6201z", "62.01Z", " 62 01 Z"])
def test_activities(cell: str) -> None:
    """Activities get their dot back; their label is not the reader's to give."""
    record, warnings, _ = company(naf_code=cell)

    assert (record["naf_code"], record["naf_libelle"], warnings) == ("62.01Z", None, [])


@pytest.mark.parametrize(
    ("cell", "value", "warning"),
    [
        ("12.34Z", "12.34Z", "unknown-naf"),
        ("52.2C", None, "malformed"),
        ("00.10", None, "malformed"),
    ],
)
def test_foreign_activities(cell: str, value: str | None, warning: str) -> None:
    """A code that the nomenclature lacks stays, one of an older nomenclature does not."""
    record, warnings, faults = company(naf_code=cell)

    assert (record["naf_code"], warnings, faults) == (value, [warning], [])
    assert record["naf_libelle"] is None


def test_siren_from_siret() -> None:
    """A blank SIREN is the beginning of the SIRET, where that is one."""
    batch = batch_of(
        ENTREPRISE,
        siren=["", "", SIREN],
        nom=["A", "B", "C"],
        siret=["73282932000017", "7328293200001", ""],
    )

    assert [record["siren"] for record in batch.records] == [SIREN, None, SIREN]
    assert batch.keys == [SIREN, None, SIREN]
    assert batch.warnings == {0: ["siren-from-siret"]}
    assert [fault.code for fault in batch.faults[1]] == ["malformed"]


@pytest.mark.parametrize(
    ("luhn", "warnings", "faults"),
    [("warning", {0: ["checksum", "checksum"]}, {}), ("error", {}, {0: 2}), ("off", {}, {})],
)
def test_check_digits(luhn: Luhn, warnings: dict[int, list[str]], faults: dict[int, int]) -> None:
    """Wrong check digits are a warning, a fault or nothing; the value and the key stay."""
    given = {
        "siren": Column("SIREN", ["123456789", "356000000"]),
        "nom": Column("Nom", ["A", "La Poste"]),
        "siret": Column("SIRET", ["12345678900001", "35600000049837"]),
    }

    batch = normalise(ENTREPRISE, given, 2, luhn)

    assert batch.keys == ["123456789", "356000000"]
    assert batch.warnings == warnings
    assert {row: len(told) for row, told in batch.faults.items()} == faults


def test_check_digit_of_a_siren_from_a_siret() -> None:
    """Of a SIREN that was taken from a SIRET nothing is told that is the SIRET's own fault."""
    _, warnings, _ = company(siren="", siret="12345678900001")

    assert warnings == ["siren-from-siret", "checksum"]


def test_memos_are_bounded() -> None:
    """However many different texts a column has, and however long: memory stays flat."""
    memo = Memo(str.upper)
    texts = [str(number) for number in range(memo._ENTRIES + 9)]

    assert [memo[text] for text in texts] == texts
    assert memo["x" * 65] == "X" * 65

    assert len(memo) <= memo._ENTRIES
    assert "x" * 65 not in memo
    assert memo[None] is None


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("Dupont &amp; Fils", "Dupont & Fils"),
        ("L&#039;&Eacute;t&eacute;", "L'Été"),
        ("A&B; C&D", "A&B; C&D"),
        ("R&D &co", "R&D &co"),
        ("--- &amp;nbsp; ---", "--- &nbsp; ---"),
    ],
)
def test_entities(cell: str, name: str) -> None:
    """HTML's entities in a name are decoded once; what is none stays."""
    assert company(nom=cell)[0]["nom"] == name


@pytest.mark.parametrize("error", ["#REF!", "#DIV/0!", "#NOM?", "#CALC!"])
@pytest.mark.parametrize("field", ["siren", "nom", "code_postal", "is_active", "adresse"])
def test_formula_errors(error: str, field: str) -> None:
    """A formula in error is a fault in every column of a workbook, where it can be corrected."""
    cells = {"siren": [SIREN], "nom": ["ACME"]} | {field: [error]}
    batch = batch_of(ENTREPRISE, (), [field], **cells)

    found = [(fault.column, fault.code) for fault in batch.faults[0]]
    assert found == [(field.upper(), "formula-error")]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ({"latitude": "48,1173", "longitude": "-1,6778"}, {"latitude": 48.1173, "longitude": -1.6778}),
        ({"domain": "WWW.Exemple.FR"}, {"domain": "www.exemple.fr"}),
        ({"domain": "https://exemple.fr:8080/contact"}, {"domain": "exemple.fr"}),
        ({"domain": "http://exemple.fr"}, {"domain": "exemple.fr"}),
        ({"logo": "exemple.fr/l.png"}, {"logo": "https://exemple.fr/l.png"}),
        ({"google_place_id": "ChIJN1t_tDeuEmsR-UsoyG83frY4"}, {"google_place_id": "ChIJN1t_tDeuEmsR-UsoyG83frY4"}),
        ({"enrichi_insee": "oui", "siren_temporaire": "0"}, {"enrichi_insee": True, "siren_temporaire": False}),
    ],
)  # fmt: skip
def test_details_of_a_company(cells: dict[str, str], values: dict[str, object]) -> None:
    """Columns that few files have are checked and written in the form of their kind."""
    record, _, faults = company(**cells)

    assert {field: record[field] for field in values} == values
    assert faults == []


@pytest.mark.parametrize(
    "cells",
    [
        {"latitude": "91"}, {"longitude": "nulle part"}, {"domain": "chez moi"}, {"domain": "a@b.fr"},
        {"google_place_id": "https://maps.google.com/?cid=1"}, {"logo": "voir le site"},
    ],
)  # fmt: skip
def test_details_of_another_form(cells: dict[str, str]) -> None:
    """A value that is not of its kind is left out with a warning."""
    record, warnings, faults = company(**cells)

    assert [record[field] for field in cells] == [None]
    assert (warnings, faults) == (["malformed"], [])


def test_lost_zeros_of_a_text() -> None:
    """A text gets its zeros back if its check digit proves them; postal codes and phones always."""
    record, warnings, faults = company(siren="5520135", code_postal="1000", telephone="478000000")

    assert (record["siren"], record["code_postal"]) == ("005520135", "01000")
    assert record["telephone"] == "0478000000"
    assert (warnings, faults) == (["zeros-restored"] * 3, [])
    _, _, faults = company(siren="5520136")
    assert [(fault.column, fault.code) for fault in faults] == [("SIREN", "malformed")]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ({"lat": "48,11", "lng": "-1,68"}, {"lat": 48.11, "lng": -1.68}),
        ({"lat": "48.11", "lng": "0"}, {"lat": 48.11, "lng": 0.0}),
        ({"lat": "1e-05"}, {"lat": 1e-05}),
        ({"population": "217 728"}, {"population": 217728}),
        ({"population": "217\u202f728"}, {"population": 217728}),
        ({"population": "217\u2009728.0"}, {"population": 217728}),
        ({"population": "0"}, {"population": 0}),
        ({"departement": "1"}, {"departement": "01"}),
        ({"departement": "2a"}, {"departement": "2A"}),
        ({"departement": "971"}, {"departement": "971"}),
        ({"codes_postaux": '["35200", "35000", "35700"]'}, {"codes_postaux": ["35000", "35200", "35700"]}),
        ({"codes_postaux": "[35200, 35700]"}, {"codes_postaux": ["35000", "35200", "35700"]}),
        ({"codes_postaux": "35200;35700"}, {"codes_postaux": ["35000", "35200", "35700"]}),
        ({"codes_postaux": "[]"}, {"codes_postaux": None}),
    ],
)  # fmt: skip
def test_cities(cells: dict[str, str], values: dict[str, object]) -> None:
    """Numbers and lists of a city are read as French files write them."""
    record, warnings = city(**cells)

    assert {field: record[field] for field in values} == values
    assert warnings == []


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("lat", "91"),
        ("lat", "inf"),
        ("lat", "NAN°"),
        ("lat", "1e999"),
        ("lat", "1_0"),
        ("lng", "48,11,5"),
        ("population", "-1"),
        ("population", "3000000000"),
        ("population", "beaucoup"),
        ("population", "9" * 5000),
        ("codes_postaux", "35200,ABC"),
        ("departement", "Ain"),
    ],
)
def test_malformed_cities(field: str, cell: str) -> None:
    """What is no number, list or code of the kind is dropped with a warning."""
    record, warnings = city(**{field: cell})

    assert (record[field], warnings) == (None, ["malformed"])


def test_all_faults_of_a_row() -> None:
    """A row with three faults reports all three, in the words of its own columns."""
    batch = batch_of(
        ENTREPRISE,
        siren=["12-3", SIREN],
        nom=["-.-", "A"],
        siret=["x", "12345678900001"],
        ville_nom=["v" * 101, ""],
    )

    assert [(fault.column, fault.code) for fault in batch.faults[0]] == [
        ("SIREN", "malformed"),
        ("NOM", "malformed"),
        ("SIRET", "malformed"),
        ("VILLE_NOM", "too-long"),
    ]
    assert "« 12-3 » de la colonne SIREN doit être 9 chiffres" in batch.faults[0][0].message
    assert [(fault.column, fault.code) for fault in batch.faults[1]] == [("SIRET", "mismatch")]


def test_keys() -> None:
    """A row has its natural key, unless the key itself is at fault."""
    batch = batch_of(ENTREPRISE, siren=[SIREN, SIREN, "ABC", ""], nom=["A", "", "C", "D"])
    cities = batch_of(VILLE, nom=["St-Malo", "---"], code_postal_principal=["35400", "35400"])

    assert batch.keys == [SIREN, SIREN, None, None]
    assert cities.keys == ["st-malo-35400", None]


def test_no_column_is_not_given() -> None:
    """A field without a column is in every record, as not given; a detail is not."""
    batch = batch_of(ENTREPRISE, siren=[SIREN], nom=["A"], logo=[""])

    usual = [field.name for field in ENTREPRISE.fields if not field.detail]
    assert list(batch.records[0]) == [*usual, "logo"]


def test_messages_hold_on_one_line() -> None:
    """A value with line ends and NUL is told on one line that PostgreSQL stores."""
    batch = batch_of(ENTREPRISE, siren=["1\n2\0"], nom=["A"])

    assert "« 1 2␀ »" in batch.faults[0][0].message


_CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["1", "1400", "35000", SIREN, "1.0", "48,5", "[1]", "62.01z", "a.fr", "NULL", "²", "٣٣٣٣", "\0"]
)


_code = attrgetter("code")


@pytest.mark.parametrize("import_type", IMPORT_TYPES.values(), ids=IMPORT_TYPES)
@given(data=st.data())
def test_any_cells(import_type: ImportType, data: st.DataObject) -> None:
    """Any cells give valid values, or a fault or warning: the worker finds nothing else.

    A letter that an earlier program lost is seen by the reader alone.
    """
    names = list(import_type.field)
    rows = data.draw(
        st.lists(st.lists(_CELL, min_size=len(names), max_size=len(names)), min_size=1, max_size=5)
    )
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))

    batch = batch_of(import_type, names, (), **columns)

    found = violations(
        import_type, {name: [record[name] for record in batch.records] for name in names}
    )
    lost = {
        row for row, faults in batch.faults.items() if "unreadable-character" in map(_code, faults)
    }
    assert all(problem.fatal for problem in found)
    assert {problem.row for problem in found} | lost == set(batch.faults)


@settings(deadline=None)
@given(st.lists(_CELL, min_size=1, max_size=20))
def test_a_row_does_not_depend_on_its_neighbours(cells: list[str]) -> None:
    """A cell gives the same value in a column of its own as among others."""
    for field in ("nom", "code_postal", "naf_code", "telephone", "site_web", "siren", "is_active"):
        columns = {"siren": [SIREN] * len(cells), "nom": ["A"] * len(cells)} | {field: cells}
        together = batch_of(ENTREPRISE, (), (), **columns)
        alone = [
            batch_of(ENTREPRISE, (), (), **{name: [column[at]] for name, column in columns.items()})
            for at in range(len(cells))
        ]

        assert together.records == [batch.records[0] for batch in alone]
