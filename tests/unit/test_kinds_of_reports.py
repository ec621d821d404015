"""Small files of the kinds that people report of importers: the rows of each, and what is said of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.import_types import CATEGORIE, DEPARTEMENT, ENTREPRISE, VILLE, ImportType
from tests.fix_files import reading, xlsx

A, B, C = "900000019", "900000027", "900000035"
Row = tuple[Mapping[str, Any], Sequence[str]]
"""Some values of a row, and the codes of its faults and warnings."""

FINE: Sequence[str] = ()
CORRECTED = ("corrected",)
DROPPED = ("malformed",)
REPAIRED = ("encoding-repaired",)


def text(*lines: str, encoding: str = "utf-8") -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(encoding)


def check(path: Path, import_type: ImportType, content: bytes, expected: Sequence[Row]) -> None:
    path.write_bytes(content)

    rows, _ = reading(path, import_type)

    found = [
        (
            {name: row.record.get(name) for name in values},
            sorted([fault.code for fault in row.faults] + row.warnings),
        )
        for row, (values, _) in zip(rows, expected, strict=False)
    ]
    assert found == [(values, sorted(codes)) for values, codes in expected]
    assert len(rows) == len(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            text("siren;nom;ville", f"{A};L\x92Atelier;\x8cuvre", f"{B};a\x81b;Lyon"),
            [
                ({"nom": "L’Atelier", "ville_nom": "Œuvre"}, CORRECTED * 2),
                ({"ville_nom": "Lyon"}, ("corrected", "unreadable-character")),
            ],
            id="Windows-1252 that was taken for ISO-8859-1",
        ),
        pytest.param(
            xlsx(["siren", "nom"], [A, "CrÃªperie L’Ã‰tÃ©"], [B, "SÃO PAULO"], [C, "√∫"]),
            [
                ({"nom": "Crêperie L’Été"}, CORRECTED),
                ({"nom": "SÃO PAULO"}, FINE),
                ({"nom": "√∫"}, FINE),
            ],
            id="a workbook of a text that was opened in another encoding",
        ),
        pytest.param(
            text("siren;nom", f"{A};Crêperie").decode().encode("utf-8").decode("latin-1").encode()
            .decode("latin-1").encode(),
            [({"nom": "Crêperie"}, REPAIRED)],
            id="encoded three times",
        ),
        pytest.param(
            text("siren;nom;ville", f"{A};L\x19Été;Sète", f"{B};L’Été;Lyon"),
            [
                ({"ville_nom": "Sète"}, ("corrected", "unreadable-character")),
                ({"nom": "L’Été"}, FINE),
            ],
            id="half of a letter of UTF-16",
        ),
        pytest.param(
            text("siren;nom", f"{A};L’Église", encoding="utf-32-be"),
            [({"nom": "L’Église"}, FINE)],
            id="UTF-32 without a BOM",
        ),
        pytest.param(
            text("siren;nom", f"{A};Été", f"{B};Évreux", f"{C};") + b"900000043;\x8cuvre\n",
            [
                ({"nom": "Été"}, FINE),
                ({"nom": "Évreux"}, FINE),
                ({"nom": None}, ("missing-value",)),
                ({"nom": "Œuvre"}, REPAIRED),
            ],
            id="one line in Windows-1252 with a capital that Mac OS and DOS have not",
        ),
        pytest.param(
            text("siren;nom;adresse", f"{A};Caf\\u00e9;1 rue\\nBât. 2", f"{B};C:\\new;D:\\temp"),
            [
                ({"nom": "Café", "adresse": "1 rue\nBât. 2"}, CORRECTED * 2),
                ({"nom": "C:\\new", "adresse": "D:\\temp"}, FINE),
            ],
            id="escapes of JSON and PostgreSQL",
        ),
        pytest.param(
            text("siren\tnom\tadresse\tville", f"{A}\t&nbsp;A\t&nbsp;\t0,00"),
            [({"nom": "A", "adresse": None, "ville_nom": None}, DROPPED)],
            id="blanks of HTML, and a number for no city",
        ),
        pytest.param(
            text("siren,nom,adresse", f"{A},A\\, B,1\\, rue", f"{B},C,2"),
            [
                ({"nom": "A, B", "adresse": "1, rue"}, FINE),
                ({"nom": "C", "adresse": "2"}, FINE),
            ],
            id="backslashes before delimiters",
        ),
        pytest.param(
            text("siren;nom;ville", f'{A};"Zinc" et Fils;"Lyon"', f'{B};"Un"deux;Lyon;"'),
            [
                ({"nom": '"Zinc" et Fils', "ville_nom": "Lyon"}, CORRECTED),
                ({}, ("unbalanced-quote",)),
            ],
            id="quotes around the first word of a cell",
        ),
        pytest.param(
            text(
                "siren;nom;ville;nom",
                *(f"{A};Un;Lyon;Un" for _ in range(250)),
                f"{B};Deux;Lyon;Trois",
            ),
            [({"nom": "Un"}, FINE)] * 250 + [({"nom": "Deux"}, ("other-column",))],
            id="a column twice",
        ),
        pytest.param(
            text("siren;nom;dossier;ville", f"{A};A;C:\\;Lyon", f"{B};B;D:\\;Paris"),
            [({"ville_nom": "Lyon"}, FINE), ({"ville_nom": "Paris"}, FINE)],
            id="backslashes that are text",
        ),
        pytest.param(
            xlsx(["siren;nom;ville"], [f"{A};A;Lyon"], [None], [f'{B};"B; b";Paris']),
            [
                ({"nom": "A", "ville_nom": "Lyon"}, FINE),
                ({"nom": "B; b", "ville_nom": "Paris"}, FINE),
            ],
            id="a workbook whose lines are cells",
        ),
        pytest.param(
            text("siren;nom;tel", f"{A};A;+33 (0) 4 78 00 00 00", f"{B};B;05 01 2024"),
            [
                ({"telephone": "+33 4 78 00 00 00"}, CORRECTED),
                ({"telephone": None}, DROPPED),
            ],
            id="a telephone number longer than its column, and a date",
        ),
        pytest.param(
            text("SIREN;Nom;Adresse;;", ";;Rue;CP;Ville", f"{A};A;1 rue;69001;Lyon"),
            [({"adresse": "1 rue", "code_postal": "69001", "ville_nom": "Lyon"}, FINE)],
            id="a header of two lines",
        ),
        pytest.param(
            xlsx(
                ["Clients"],
                ["SIREN", "Nom", "Contact", None, "Ville"],
                [None, None, "Tél.", "E-mail", None],
                [A, "A", "0478000000", "a@b.fr", "Lyon"],
            ),
            [({"telephone": "0478000000", "email_contact": "a@b.fr", "ville_nom": "Lyon"}, FINE)],
            id="a header of two lines below a title",
        ),
        *(
            pytest.param(
                text("siren;nom;ville", line, f"{A};A;Lyon"),
                [({"nom": "A", "ville_nom": "Lyon"}, FINE)],
                id=f"a header above {line}",
            )
            for line in (
                "varchar(9);varchar(255);varchar(100)",
                "Obligatoire;Obligatoire;Facultatif",
                "(9 chiffres);(texte);(texte)",
                "ex : 732829320;ex : Boulangerie;ex : Lyon",
            )
        ),
        pytest.param(
            text("siren;nom;ville;", f"{A};A;Lyon;x", f"{B};B;Paris;y"),
            [({"ville_nom": "Lyon"}, FINE), ({"ville_nom": "Paris"}, FINE)],
            id="a last column without a name",
        ),
        pytest.param(
            text("siren;nom;ville;", f"{A};A;b;Lyon", f"{B};B;Paris;", f"{C};C;Nice;"),
            [
                ({}, ("extra-cell",)),
                ({"ville_nom": "Paris"}, FINE),
                ({"ville_nom": "Nice"}, FINE),
            ],
            id="a delimiter at the end of lines",
        ),
        pytest.param(
            text("SIREN;Nom;;Ville", f"{A};A;x;Lyon", f"{B};B;;Paris"),
            [({"ville_nom": "Lyon"}, FINE), ({"ville_nom": "Paris"}, FINE)],
            id="a column without a title",
        ),
    ],
)  # fmt: skip
def test_companies(tmp_path: Path, content: bytes, expected: Sequence[Row]) -> None:
    check(tmp_path / "fichier", ENTREPRISE, content, expected)


@pytest.mark.parametrize(
    ("import_type", "content", "expected"),
    [
        pytest.param(
            VILLE,
            text("nom;code postal;departement;position;", ";;;lat;lng", "Lyon;69001;69;45,7;4,8"),
            [({"nom": "Lyon", "lat": 45.7, "lng": 4.8}, FINE)],
            id="cities below a header of two lines",
        ),
        *(
            pytest.param(
                DEPARTEMENT,
                text(*lines),
                [({"code": "01", "nom": "Ain"}, FINE)],
                id=f"départements below {lines[0]}",
            )
            for lines in (
                ("Code;Département", "01;Ain"),
                ("Département;Code", "Ain;01"),
                ("Département;Nom", "01;Ain"),
            )
        ),
        pytest.param(
            CATEGORIE,
            xlsx(["nom"], ["Plomberie, chauffage"], ["Nom, métier"]),
            [({"nom": "Plomberie, chauffage"}, FINE), ({"nom": "Nom, métier"}, FINE)],
            id="a workbook of one column",
        ),
    ],
)
def test_other_types(
    tmp_path: Path, import_type: ImportType, content: bytes, expected: Sequence[Row]
) -> None:
    check(tmp_path / "fichier", import_type, content, expected)


@pytest.mark.parametrize(
    "header",
    [
        "N° SIREN;Intitulé;Rue de facturation;Code postal;Ville",  # Sage, Salesforce
        "T_SIREN;T_LIBELLE;T_ADRESSE1;T_CODEPOSTAL;T_VILLE",  # Cegid
        "s.siren;s.nom;s.address;s.zip;s.town",  # Dolibarr
        "siren;billing_company;billing_address_1;billing_postcode;billing_city",  # WooCommerce
    ],
)
def test_headers_of_programs(tmp_path: Path, header: str) -> None:
    given = {"nom": "A", "adresse": "1 rue X", "code_postal": "69003", "ville_nom": "Lyon"}
    content = text(header, ";".join((A, *given.values())))
    check(tmp_path / "fichier", ENTREPRISE, content, [({"siren": A, **given}, FINE)])


def test_delimiters_behind_each_line(tmp_path: Path) -> None:
    """Excel saves lines of commas, which it took for one cell each, with blank cells behind them."""
    content = text("siren,nom,ville;;", f'{A},"A, B",Lyon;;', f"{B},B,Paris;;", f"{C},C,;;")
    expected: Sequence[Row] = [
        ({"nom": "A, B", "ville_nom": "Lyon"}, FINE),
        ({"nom": "B", "ville_nom": "Paris"}, FINE),
        ({"nom": "C", "ville_nom": None}, FINE),
    ]
    check(tmp_path / "fichier", ENTREPRISE, content, expected)


def test_coordinates_that_are_elsewhere(tmp_path: Path) -> None:
    """0;0 is in the Gulf of Guinea, and two columns may be named the other way round."""
    content = text(
        "nom;code postal;departement;latitude;longitude",
        "Lyon;69001;69;4,83;45,76",
        "Sète;34200;34;0;0.0",
        "Paris;75001;75;48,85;0",
        "Berlin;75002;75;52,5;13,4",
    )
    expected: Sequence[Row] = [
        ({"lat": 45.76, "lng": 4.83}, CORRECTED),
        ({"lat": None, "lng": None}, DROPPED * 2),
        ({"lat": 48.85, "lng": 0.0}, FINE),
        ({"lat": 52.5, "lng": 13.4}, FINE),
    ]
    check(tmp_path / "fichier", VILLE, content, expected)
    alone = text("nom;code postal;departement;latitude;longitude", "Sète;34200;34;0;0")
    check(tmp_path / "autre", VILLE, alone, expected[1:2])
