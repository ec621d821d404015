"""Text files of other programs and with damage: encodings, quotes and lines that are not rows."""

import random
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from producers.reading import FileRow, Options, RefusedError, open_source
from producers.reading.text import delimited_lines
from producers.reading.text.encoding.decision import EIGHT_BITS, text_of
from producers.reading.text.lines import Lines
from producers.reading.text.quoting import Dialect
from producers.reading.text.swallowed import Table
from schemas.import_types import CATEGORIE, ENTREPRISE, VILLE, ImportType

A, B, C, D = "900000019", "900000027", "900000035", "900000043"
READ = list[tuple[int, str | None, list[str]]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[FileRow]]:
    def read(
        content: str | bytes, import_type: ImportType = ENTREPRISE, encoding: str | None = None
    ) -> list[FileRow]:
        path = tmp_path / "fichier.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        source = open_source(path, import_type, Options(encoding=encoding))
        return list(chain.from_iterable(source.chunks()))

    return read


class Lookups(list[str]):
    """Lines that count how often one of them is read."""

    reads = 0

    def __getitem__(self, at: Any) -> Any:
        self.reads += 1
        return super().__getitem__(at)

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


def test_a_sample_of_blank_lines_is_read_once() -> None:
    """Not once more for each of its lines: 64 K of them took five seconds."""
    lines = Lookups([*["\n"] * 5000, "siren;nom\n"])

    [record] = delimited_lines.records(lines, Dialect(";"))

    assert (record.line, record.cells) == (5001, ["siren", "nom"])
    assert lines.reads < 5 * len(lines)


def said(rows: list[FileRow]) -> READ:
    """Line, name, and what is wrong or repaired."""
    return [
        (row.line, row.record["nom"], [fault.code for fault in row.faults] + row.warnings)
        for row in rows
    ]


# --- encodings

FIXED = ["encoding-repaired"]
UNREADABLE = ["unreadable-character"]
HEAD = b"siren;nom\n"
UTF8 = f"{A};Lefèvre\n".encode()


@pytest.mark.parametrize(
    ("content", "encoding", "expected"),
    [
        (HEAD + UTF8 + b"900000027;L\x92\xc3\xa9toile\n", "utf-8", ("L’étoile", FIXED)),
        (HEAD + UTF8 * 50 + b"900000027;Caf\xe9\n", "utf-8", ("Café", FIXED)),
        (HEAD + UTF8 + b"900000027;Caf\x8e\n", "utf-8", (None, UNREADABLE)),
        (HEAD + UTF8 + b"900000027;x\x81y\n", "utf-8", (None, UNREADABLE)),
        (HEAD + UTF8 + b"900000027;Cr\xc3", "utf-8", (None, UNREADABLE)),
        (HEAD + UTF8 + b"900000027;L\xe2\x80", "utf-8", (None, UNREADABLE)),
        (HEAD + UTF8 + b"900000027;l\xe2", "utf-8", (None, UNREADABLE)),
        (HEAD + b"900000027;A\xc3", "utf-8", (None, UNREADABLE)),
        (HEAD + b"900000027;CAF\xc9", "cp1252", ("CAFÉ", [])),
        (HEAD + UTF8 + b"900000027;\xed\xa0\xbc\xed\xbd\x95\n", "utf-8", ("🍕", FIXED)),
        (HEAD + "900000027;CrÃªperie â€™\n".encode(), "utf-8", ("Crêperie ’", FIXED)),
        (HEAD + "900000027;Cr√™perie\n".encode(), "utf-8", ("Crêperie", FIXED)),
        (HEAD + "900000027;Cr├¬perie\n".encode(), "utf-8", ("Crêperie", FIXED)),
        (HEAD + "900000027;CAFÉ » PÂTÉ √∫\n".encode(), "utf-8", ("CAFÉ » PÂTÉ √∫", [])),
        ("siren;nom\n900000027;Été\n".encode("utf-32"), "utf-32", ("Été", [])),
        ("siren;nom\n900000027;Été\n".encode("utf-32-be"), "utf-32-be", ("Été", [])),
        ("siren;nom\n900000027;Été\n".encode("utf-16")[:-1], "utf-16", (None, UNREADABLE)),
        (b"\xef\xbb\xbf" + HEAD + b"900000027;Caf\xe9\n", "cp1252", ("Café", [])),
        (HEAD + b"900000019;Caf\xe9\n900000027;x\x81y\n", "cp1252", (None, UNREADABLE)),
        (HEAD + b"900000027;Cr\x90perie\n", "mac_roman", ("Crêperie", [])),
        (HEAD + b"900000027;\x90picerie B\x82ziers\n", "cp850", ("Épicerie Béziers", [])),
        (HEAD + b"900000027;C\xbdur\n", "iso8859-15", ("Cœur", [])),
        (HEAD + b"900000027;MU\xd1OZ\n", "cp1252", ("MUÑOZ", [])),
    ],
)  # fmt: skip
def test_encodings(
    read: Callable[..., list[FileRow]],
    tmp_path: Path,
    content: bytes,
    encoding: str,
    expected: tuple[str | None, list[str]],
) -> None:
    """The encoding that the evidence shows; what is damaged in the last line is repaired or a fault."""
    rows = said(read(content))

    assert open_source(tmp_path / "fichier.csv", ENTREPRISE).encoding == encoding
    assert rows[-1][1:] == expected
    assert all(codes == [] and name in ("Lefèvre", "Café") for _, name, codes in rows[:-1])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (HEAD + "1;Привет мир\n".encode("cp1251"), ["cp1252"]),
        (HEAD + UTF8 * 1000 + b"900000027;\xc9t\xe9\n" * 101, ["utf-8", "cp1252", "Lefèvre", "LefÃ¨vre"]),
        (b"siren;nom\n1;\x81\xff\n", ["cp850"]),
    ],
)  # fmt: skip
def test_a_doubtful_encoding_is_a_question(
    read: Callable[..., list[FileRow]], content: bytes, named: list[str]
) -> None:
    """Two readings of a real line, and the option and the menu that choose."""
    with pytest.raises(RefusedError) as refusal:
        read(content)

    assert refusal.value.code == "doubtful-encoding"
    assert all(name in refusal.value.message for name in [*named, "--encoding", "« Encodage »"])


def test_the_question_can_be_answered(read: Callable[..., list[FileRow]]) -> None:
    """A file of two encodings that the operator says to be UTF-8 is read, its other lines repaired."""
    rows = read(HEAD + UTF8 * 300 + b"900000027;\xc9t\xe9\n" * 300, encoding="utf-8")

    assert [codes for _, _, codes in said(rows)] == [[]] * 300 + [FIXED] * 300
    assert rows[-1].record["nom"] == "Été"


def test_damage_late_in_a_large_file(read: Callable[..., list[FileRow]]) -> None:
    """Evidence is that of the whole file, and so are the numbers of damaged lines."""
    content = HEAD + UTF8 * 100_000 + b"900000027;Caf\xe9\n" + UTF8 * 10_000

    rows = read(content)

    assert [row.line for row in rows if row.warnings] == [100_002]


_NAMES = [
    "Lefèvre",
    "Désiré",
    "Hélène",
    "François",
    "Müller",
    "Bénédicte",
    "Noël",
    "Gaëlle",
    "Chloé",
    "Léa",
    "Théo",
    "Rémy",
    "Benoît",
    "Jérôme",
    "Peña",
    "Durand",
    "Martin",
    "Côté",
    "Lemaître",
    "Garçon",
    "& Fils",
    "SARL",
    "du Port",
]
_TRADES = [
    "Boulangerie",
    "Pâtisserie",
    "Crêperie",
    "Épicerie",
    "Électricité générale",
    "Maçonnerie",
    "Plomberie",
    "Hôtel",
    "Café",
    "Cabinet d’études",
    "L’Étoile",
    "À la bonne heure",
    "Pizza à emporter",
    "Fenêtres et façades",
    "Sœurs",
    "Œuvre",
    "Îles",
]
_CITIES = [
    "Orléans",
    "Béziers",
    "Sète",
    "Besançon",
    "Saint-Étienne",
    "Évreux",
    "Nîmes",
    "Angoulême",
    "Lyon",
    "Paris",
    "Nice",
    "Brest",
    "Compiègne",
]
_NOT_IN = {"cp850": "’'œoŒOŸY", "iso8859-15": "’'"}


def company_list(draw: random.Random, length: int, encoding: str) -> str:
    """A list of companies as French programs write it, in letters that the encoding has."""
    lines = ["siren;nom;ville"]
    for number in range(length):
        name = f"{draw.choice(_TRADES)} {draw.choice(_NAMES)}"
        lines.append(f"{100_000_000 + number};{name};{draw.choice(_CITIES)}")
    signs = _NOT_IN.get(encoding, "")
    text = "\n".join(lines).translate(dict(zip(map(ord, signs[::2]), signs[1::2], strict=True)))
    return text.upper().replace("Ÿ", "Y") if draw.random() < 0.3 else text


@pytest.mark.parametrize(("length", "lists"), [(3, 60), (30, 30), (3000, 1)])
def test_french_lists(tmp_path: Path, length: int, lists: int) -> None:
    """At least 95 % of generated lists in the four 8-bit encodings of French programs are read right."""
    right = wrong = 0
    for encoding in EIGHT_BITS:
        for seed in range(lists):
            text = company_list(random.Random(f"{encoding} {seed}"), length, encoding)
            path = tmp_path / "liste.csv"
            path.write_bytes(text.encode(encoding))
            try:
                with path.open("rb") as file:
                    found = text_of(file, None).encoding
            except RefusedError:
                found = "ascii"
            if path.read_bytes().decode(found, "replace") == text:
                right += 1
            else:
                wrong += 1
    share = right / (right + wrong)
    print(f"{share:.1%} of lists of {length} lines are read right")  # noqa: T201 - for who measures
    assert share >= 0.95


# --- quotes

_FIELDS = "siren;nom;ville_nom\n"
_UNBALANCED = ["unbalanced-quote"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            _FIELDS + f'{A};"Le Bistrot;Lyon\n{B};BETA;Paris\n{C};Tubes 12";Lille\n{D};D;Brest\n',
            [(2, None, _UNBALANCED), (3, "BETA", []), (4, 'Tubes 12"', []), (5, "D", [])],
        ),
        (
            f'siren;ville_nom;nom\n{A};Lyon;"Le Bistrot\n{B};Paris;BETA\n{C};Lille;Tubes 12"\n',
            [(2, None, _UNBALANCED), (3, "BETA", []), (4, 'Tubes 12"', [])],
        ),
        (
            _FIELDS.replace(";", "\t") + f'{A}\t"Le Bistrot\tLyon\n{B}\tB\tParis\n{C}\t12"\tX\n',
            [(2, '"Le Bistrot', []), (3, "B", []), (4, '12"', [])],
        ),
        (
            "siren, nom, ville_nom\n" + f'{A}, "ACME, SARL", "Lyon"\n{B}, "B", "Paris"\n',
            [(2, "ACME, SARL", []), (3, "B", [])],
        ),
        (_FIELDS + f'"{A}" ;"ACME" ; "Lyon"\n {B};B;x\n', [(2, "ACME", []), (3, "B", [])]),
        (
            "siren,nom,adresse\n" + f'{A},"Le \\"Zinc\\" bar","1, rue"\n{B},"L\\\'Été","a\\\\b"\n',
            [(2, 'Le "Zinc" bar', []), (3, "L'Été", [])],
        ),
        (
            _FIELDS + f"{A};A;x\n" * 9000 + f'{B};"Le \\"Zinc\\"";y\n',
            [*[(n, "A", []) for n in range(2, 9002)], (9002, 'Le "Zinc"', [])],
        ),
        (
            "'siren';'nom';'ville_nom'\n" + f"'{A}';'ACME';'1; x'\n'{B}';'L''Été';'y'\n",
            [(2, "ACME", []), (3, "L'Été", [])],
        ),
        (
            '"siren,nom,ville_nom"\n' + f'"{A},""ACME, SARL"",Lyon"\n{B},B,Paris\n',
            [(2, "ACME, SARL", []), (3, "B", [])],
        ),
        (
            _FIELDS + f'{A};"Le "Zinc" bar";x\n{B};"L\'Été \\ x";y\n',
            [(2, 'Le "Zinc" bar', ["corrected"]), (3, "L'Été \\ x", [])],
        ),
        (_FIELDS + f'{A};"A";"a;\nb;c"\n{B};"B";x\n', [(2, "A", []), (4, "B", [])]),
    ],
)  # fmt: skip
def test_quotes_of_companies(read: Callable[..., list[FileRow]], text: str, expected: READ) -> None:
    """No row is lost or invented by any way of quoting; what cannot be read is one faulty line."""
    assert said(read(text)) == expected


def test_quotes(read: Callable[..., list[FileRow]]) -> None:
    """A quoted text of many lines is whole, even if its lines look like rows."""
    lines = "\n".join(f"Fantôme {number};texte {number};{number}" for number in range(150))
    rows = read(f'nom;description;ordre\nA;"Exemple :\n{lines}\nfin;x";1\nB;"x";2\n', CATEGORIE)

    assert said(rows) == [(2, "A", []), (154, "B", [])]
    assert rows[0].record["description"].count("\n") == 151

    swallowed = 'nom;description;ordre\nA;"Un;1\nB;Deux;2\nC;Trois";3\nD;Quatre;4\n'
    assert said(read(swallowed, CATEGORIE)) == [
        (2, None, _UNBALANCED), (3, "B", []), (4, "C", []), (5, "D", []),
    ]  # fmt: skip


def test_an_unclosed_quote_is_bounded() -> None:
    """It is looked for its end in a million characters, not in the rest of the file."""
    text = f'{A};"Le Bistrot\n' + f"{B};BETA\n" * 500_000
    lines = Lines(StringIO(text, newline=""), repair=False)
    table = Table(Dialect(";"), 2, {}, frozenset())

    block = next(delimited_lines.blocks(lines, table, 1, None))

    assert [fault.code for fault in block.broken.values()] == ["unbalanced-quote"]
    assert lines.read < 150_000


# --- lines and cells


@pytest.mark.parametrize(
    "line",
    [
        "SIREN;NOM;VILLE_NOM", "\ufeffsiren;nom;ville_nom", "# exporté le 3 mai", "---;---;---",
        "+----+-----+----+", "\x1a", "\0\0\0\0\0", ":---;:---:;---:",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [0, 1])
def test_lines_that_are_not_rows(
    read: Callable[..., list[FileRow]], line: str, before: int
) -> None:
    """They are passed over anywhere in the file."""
    rows = read(_FIELDS + f"{A};A;x\n" * before + f"{line}\n{B};B;y\n")

    assert said(rows) == [(2, "A", [])] * before + [(3 + before, "B", [])]


def test_lines_that_are_rows(read: Callable[..., list[FileRow]]) -> None:
    """A name that begins with a number sign, or is like the header's, is a name."""
    rows = read("nom;description\n#Agence;x\nNom de code;y\nnom;z\n", CATEGORIE)

    assert [row.record["nom"] for row in rows] == ["#Agence", "Nom de code", "nom"]


def test_labels_below_technical_names(read: Callable[..., list[FileRow]]) -> None:
    text = f"siren;nom;code_postal\nNuméro SIREN;Raison sociale;Code postal\n{A};A;69003\n"

    assert said(read(text)) == [(3, "A", [])]


def test_missing_cells(read: Callable[..., list[FileRow]]) -> None:
    """Blank optional cells may be missing at the end of a line, unless the file is cut off there."""
    whole = _FIELDS + f"{A};A;x\n"

    assert said(read(whole + f"{B};B\n")) == [(2, "A", []), (3, "B", [])]
    assert said(read(whole + f"{B};B\n{C};C"))[-1] == (4, "C", [])
    assert said(read(whole + f"{B};B")) == [(2, "A", []), (3, None, ["missing-cell"])]
    assert said(read("ville_nom;siren;nom\n" + f"x;{B}\n")) == [(2, None, ["missing-cell"])]


def test_a_header_that_lacks_a_column(read: Callable[..., list[FileRow]]) -> None:
    """Where most lines have a cell more than the header, that is what is wrong."""
    rows = read(f"siren;nom\n{A};A;x\n{B};B;y\n")

    assert all("complétez l'en-tête" in row.faults[0].message for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        ";".join(["siren;nom", *(f"colonne numero {n:05}" for n in range(6000))]) + f"\n{A};A\n",
        "siren;nom;notes\n" + f"{A};A;{'x' * 140_000}\n",
        f"sep=^\nsiren^nom\n{A}^A\n",
        f"sep=#\nsiren#nom\n{A}#A\n",
        f"siren;nom\n{A};A\0\0\0",
        f"siren;nom\n{A};A\x1a",
    ],
    ids=["wide header", "long cell", "sep=^", "sep=#", "NULs", "Ctrl-Z"],
)
def test_one_row(read: Callable[..., list[FileRow]], text: str) -> None:
    assert [codes for _, _, codes in said(read(text))] == [[]]


def test_a_long_cell_of_an_imported_column(read: Callable[..., list[FileRow]]) -> None:
    assert said(read(f"siren;nom\n{A};{'x' * 140_000}\n"))[0][2] == ["cell-too-large"]


def test_a_stray_quote_in_a_list_of_cities(read: Callable[..., list[FileRow]]) -> None:
    rows = read('Villes\nDinan (22100)\n"Rennes (35000)\nBrest (29200)\nLens (62300)"\n', VILLE)

    assert [row.line for row in rows] == [2, 3, 4, 5]
    assert next(row.line for row in rows if row.faults) == 3


def test_half_a_letter_in_front(tmp_path: Path) -> None:
    """Each letter beyond ISO-8859-1 would get half of its neighbour: "Œuvre" becomes "Rŵvre"."""
    content = '\ufeff"nom";"siren";"ville"\n"Un";"900000027";"Œuvre"\n'.encode("utf-16-le")
    path = tmp_path / "clients.csv"
    path.write_bytes(content[:1] + b'"' + content[1:])

    with pytest.raises(RefusedError) as refused:
        open_source(path, ENTREPRISE)

    assert refused.value.code == "encoding"


@pytest.mark.parametrize("name", ["Évreux½", "R½e", "½té à Sète"])
def test_a_letter_that_no_word_has_there(read: Callable[..., list[FileRow]], name: str) -> None:
    """One byte that is "½" in Windows-1252 and "œ" in ISO-8859-15 does not decide alone."""
    content = f"siren;nom\n900000027;{name}\n".encode("cp1252")

    with pytest.raises(RefusedError) as refused:
        read(content)

    assert refused.value.code == "doubtful-encoding"


def test_lines_that_speak_for_two_encodings(read: Callable[..., list[FileRow]]) -> None:
    """A byte of the header that is damaged outweighs no line that ISO-8859-15 alone makes sense of."""
    content = b"sir\x9cn;siren;nom\n;900000027;\xbcuvre\n"

    with pytest.raises(RefusedError) as refused:
        read(content)

    assert refused.value.code == "doubtful-encoding"
