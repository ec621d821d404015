"""Any table in any dialect and encoding, with any single damage: nothing wrong is stored in silence."""

import csv
import io
import random
from pathlib import Path
from typing import NamedTuple
from unicodedata import category, normalize

import pytest

from schemas.outcomes import DOUBTFUL_ENCODING
from tests.examples import seeds
from tests.fix_files import reading

_NAMES = [
    "Boulangerie", "Crêperie Lefèvre", "L’Été & Fils", "Café; bar", "1, rue X", 'Le "Zinc"', "A|B",
    "Bât B\n3e", "O'Brien", "C\\D", "CAFÉ", "À bord", "Œuvre", "", "12\"", "N° 5", "Tab\tici", "Noël",
]  # fmt: skip
_SIRENS = ["900000019", "900000027", "900000035", "900000043", "900000050", "900000068"]
_ENCODINGS = ["utf-8", "utf-8-sig", "cp1252", "utf-16", "mac_roman", "iso8859-15"]


class Table(NamedTuple):
    rows: list[tuple[str, str, str, str]]
    content: bytes
    encoding: str


def table_of(draw: random.Random) -> Table:
    """Companies as a program writes them, with a name that shows the encoding."""
    rows = [(_SIRENS[0], "Été à Sète", "Pâtisserie", "Évreux")]
    rows += [
        (siren, draw.choice(_NAMES) or "Un", draw.choice(_NAMES), draw.choice(_NAMES))
        for siren in _SIRENS[1 : draw.randint(2, len(_SIRENS))]
    ]
    encoding = draw.choice(_ENCODINGS)
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=draw.choice(",;\t|"),
        quoting=draw.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
        lineterminator=draw.choice(["\n", "\r\n"]),
    )
    front = [""] * draw.randint(0, 1)
    writer.writerows([*front, *row] for row in [("siren", "nom", "adresse", "ville_nom"), *rows])
    try:
        return Table(rows, text.getvalue().encode(encoding), encoding)
    except UnicodeEncodeError:
        return table_of(draw)


def damaged(content: bytes, kind: str, draw: random.Random) -> bytes:
    """The content with one damage."""
    at = draw.randrange(len(content))
    lines = content.splitlines(keepends=True)
    chosen = draw.randrange(len(lines))
    match kind:
        case "a byte":
            return content[:at] + draw.randbytes(1) + content[at + 1 :]
        case "a quote":
            return content[:at] + b'"' + content[at:]
        case "cut off":
            return content[:at]
        case _:
            line = lines[chosen]
            lines[chosen] = line[: draw.randrange(len(line))] + b"\n"
            return b"".join(lines)


def seen(table: Table, content: bytes) -> str:
    """What an editor shows of the content and of the table.

    Most texts in ISO-8859-15 are the same in Windows-1252, which is what an editor takes them for, if no
    line that is not damaged shows the difference.
    """
    encodings = {table.encoding}
    written = {*table.content.splitlines()}
    sound = b"\n".join(line for line in content.splitlines() if line in written)
    if table.encoding == "iso8859-15" and sound.decode("cp1252", "replace") == (
        sound.decode(table.encoding)
    ):
        encodings.add("cp1252")
    texts = [one.decode(name, "replace") for one in (content, table.content) for name in encodings]
    return plain("\n".join(texts))


def plain(text: str) -> str:
    """The text without quotes, runs of blanks and invisible marks."""
    shown = (sign for sign in normalize("NFC", text) if sign != '"' and category(sign) != "Cf")
    return " ".join("".join(shown).split())


@pytest.mark.parametrize("numbers", seeds(4000), ids=str)
def test_any_damage(tmp_path: Path, numbers: range) -> None:
    """What is stored without a warning is in the file as a person sees it or wrote it, and is of one row.

    A row that was not damaged is stored as it was, or is a fault, or the file is refused.
    """
    for seed in numbers:
        check(tmp_path / "table.csv", seed)


def check(path: Path, seed: int) -> None:
    """One table, damaged or not."""
    draw = random.Random(seed)
    table = table_of(draw)
    kind = draw.choice(["none", "a byte", "a quote", "cut off", "a line cut"])
    content = table.content
    if kind != "none":
        content = damaged(content, kind, draw)
    path.write_bytes(content)
    visible = seen(table, content)

    rows, warnings = reading(path)

    if kind == "none":
        assert [tuple(row.cells[-4:]) for row in rows] == table.rows
        assert [row.key for row in rows] == [row[0] for row in table.rows]
    for row in rows:
        if row.faults or row.warnings or DOUBTFUL_ENCODING in warnings:
            continue
        for field in ("nom", "adresse", "ville_nom"):
            value = row.record[field] or ""
            # A quote behind a backslash is that of programs which escape so, or the damage.
            found = plain(value)
            assert found in visible or found in visible.replace("\\", ""), (seed, row, content)
            assert not any(siren in value for siren in _SIRENS), (seed, row, content)
