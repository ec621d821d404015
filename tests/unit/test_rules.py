from collections.abc import Sequence

import pytest

from schemas.faults import fault
from schemas.import_types import CATEGORIE, ENTREPRISE, IMPORT_TYPES, VILLE, ImportType
from schemas.rules import Violation, violations
from schemas.values.slugs import SLUG_LENGTH

SIREN = "732829320"


def violations_of(import_type: ImportType, **columns: Sequence[object]) -> list[Violation]:
    """The violations of columns, those of other fields being valid or not given."""
    count = len(next(iter(columns.values())))
    valid = {"siren": SIREN, "nom": "A", "code_postal_principal": "35000"}
    return violations(
        import_type,
        {name: [valid.get(name)] * count for name in import_type.field} | columns,
    )


@pytest.mark.parametrize("import_type", IMPORT_TYPES.values(), ids=IMPORT_TYPES)
def test_required_fields(import_type: ImportType) -> None:
    """A row without its required fields is rejected for each of them."""
    nothing = {name: [None] for name in import_type.field}

    required = [field.name for field in import_type.fields if field.required]
    assert violations(import_type, nothing) == [
        Violation(0, name, "missing-value", fatal=True) for name in required
    ]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("siren", SIREN, "73282932"),
        ("siren", "000000018", "73282932O"),
        ("siren", SIREN, "000000000"),
        ("siret", SIREN + "00074", "0" * 14),
        ("code_postal", "75000", "00000"),
        ("siren", SIREN, "73282932²"),
        ("siren", SIREN, SIREN + "\n"),
        ("siret", SIREN + "00074", SIREN),
        ("code_postal", "01000", "1000"),
        ("nom", "北京", "---- ----"),
        ("nom", "-A-", " . "),
        ("naf_code", "62.01Z", "6201Z"),
        ("telephone", "+33 (0)2.99-00/00", "rien"),
        ("telephone", "3949", "394"),
        ("telephone", "+" + "1" * 19, "+" + "1" * 21),
        ("telephone", "0478000000", "----"),
        ("telephone", "04.78.00.00.00", "....."),
        ("telephone", "118 218", "2024-01-05"),
        ("telephone", "99000000", "20240105"),
        ("telephone", "04 78 00 00 00", "01/02/2024"),
        ("telephone", "118.218", "12.50"),
        ("telephone", "00334780000 00", "73282932000074"),
        ("telephone", "0800 000 000", "00.00.00.00.00"),
        ("email_contact", "a@b.fr", "a@b@c.fr"),
        ("email_contact", "o'neil+x@b-c.fr", "a@b.fr;"),
        ("email_contact", "é@b.fr", "<a@b.fr>"),
        ("email_contact", "a@b.c.fr", "mailto:a@b.fr"),
        ("email_contact", "a.b@c.fr", "a\u200b@b.fr"),
        ("site_web", "https://a.fr", "ftp://a.fr"),
        ("site_web", "https://a.fr:80/x;y?u=https://b.fr", "https://a.fr;https://b.fr"),
    ],
)
def test_forms(field: str, good: object, bad: object) -> None:
    """A value that lacks the form of its kind is told, at its row, and no other."""
    strict = ENTREPRISE.field[field].strict

    found = violations_of(ENTREPRISE, **{field: [good, bad, good, bad]})

    assert found == [Violation(row, field, "malformed", strict) for row in (1, 3)]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("lat", -90.0, 90.1),
        ("lat", 90.0, -90.1),
        ("lng", 180.0, -180.1),
        ("lng", -180.0, 180.1),
        ("lng", 180.0, float("nan")),
        ("lng", 0.0, float("inf")),
        ("population", 0, -1),
        ("population", 2**31 - 1, 2**31),
        ("codes_postaux", ["35000", "35200"], ["35000", "352"]),
        ("departement", "2A", "2C"),
        ("departement", "01", "1"),
        ("departement", "971", "9711"),
    ],
)
def test_bounds(field: str, good: object, bad: object) -> None:
    """A value beyond its bounds is a warning of its row."""
    found = violations_of(VILLE, **{field: [bad, good, None]})

    assert found == [Violation(0, field, "malformed", fatal=False)]


@pytest.mark.parametrize("field", ["nom", "nom_commercial", "ville_nom", "naf_libelle"])
def test_lengths(field: str) -> None:
    """A text that its column in the database does not take rejects the row."""
    limit = ENTREPRISE.field[field].max_length or 0

    found = violations_of(ENTREPRISE, **{field: ["x" * limit, "x" * (limit + 1)]})

    assert found == [Violation(1, field, "too-long", fatal=True)]


@pytest.mark.parametrize(
    ("import_type", "field", "value"),
    [(ENTREPRISE, "telephone", "x" * 21), (VILLE, "departement", "Loire-Atlantique")],
)
def test_malformed_and_too_long(import_type: ImportType, field: str, value: object) -> None:
    """An optional value that is dropped for its form does not reject the row for its length."""
    assert violations_of(import_type, **{field: [value]}) == [
        Violation(0, field, "malformed", fatal=False)
    ]


def test_a_slug_that_is_longer_than_its_name() -> None:
    """Signs such as ﬃ become several letters: a slug that its column does not take is told."""
    names = ["ﬃ" * (SLUG_LENGTH // 3), "ﬃ" * (SLUG_LENGTH // 3 + 1), "ﬃ" * 100]

    assert violations(
        CATEGORIE, {**{name: [None] * 3 for name in CATEGORIE.field}, "nom": names}
    ) == [Violation(row, "nom", "malformed", fatal=True) for row in (1, 2)]


def test_nul() -> None:
    """A NUL, which PostgreSQL does not store, rejects the row."""
    assert violations_of(ENTREPRISE, adresse=["A", "B\0"]) == [
        Violation(1, "adresse", "nul-byte", fatal=True)
    ]


def test_siret_of_another() -> None:
    """A SIRET begins with the SIREN of its row."""
    sirets = [SIREN + "00074", "12345678900001", None]

    assert violations_of(ENTREPRISE, siret=sirets) == [
        Violation(1, "siret", "mismatch", fatal=True)
    ]


def test_siret_of_a_malformed_siren() -> None:
    """Where the SIREN or the SIRET is malformed, that is told and not that they differ."""
    found = violations_of(ENTREPRISE, siren=["X", SIREN], siret=[SIREN + "00074", "bad_siret"])

    assert found == [
        Violation(0, "siren", "malformed", fatal=True),
        Violation(1, "siret", "malformed", fatal=True),
    ]


@pytest.mark.parametrize("import_type", IMPORT_TYPES.values(), ids=IMPORT_TYPES)
@pytest.mark.parametrize("code", ["missing-value", "too-long", "nul-byte", "mismatch", "malformed"])
def test_every_fault_has_a_sentence(import_type: ImportType, code: str) -> None:
    """The message of each violation names the column as the file spells it."""
    for field in import_type.fields:
        told = fault(field, code, "Ma colonne", "valeur")

        assert (told.column, told.code) == ("Ma colonne", code)
        assert told.message.endswith(".")
        assert "Ma colonne" in told.message or code == "mismatch"


def test_the_siren_as_phone() -> None:
    """A company's SIREN in the column of phones is not a phone."""
    found = violations_of(ENTREPRISE, telephone=["0" + SIREN, SIREN, "0478000320"])

    assert found == [Violation(row, "telephone", "malformed", fatal=False) for row in (0, 1)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("telephone", "0478000000"),
        ("email_contact", "a@b.fr"),
        ("site_web", "https://b.fr"),
    ],
)
def test_a_line_end_within_a_value(field: str, value: str) -> None:
    """Two values in one cell are not a value, although a column is looked at as a whole."""
    found = violations_of(ENTREPRISE, **{field: [value, f"{value}\n{value}", value]})

    assert [(one.row, one.field, one.code) for one in found] == [(1, field, "malformed")]
