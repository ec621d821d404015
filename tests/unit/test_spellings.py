"""Names that a file spells in several ways."""

from pathlib import Path

from producers.imports.preview import preview_of
from schemas.import_types import CATEGORIE, SOUS_CATEGORIE, ImportType


def warnings(path: Path, import_type: ImportType, text: str) -> dict[str, int]:
    """The warnings of a check of a file."""
    path.write_text(text, encoding="utf-8")
    found: dict[str, int] = preview_of(path, import_type)["warnings_by_code"]
    return found


def test_other_spellings_are_warned_of(tmp_path: Path) -> None:
    """A category is its slug: each later spelling is told, the same one again is not."""
    text = "nom\nCafé\nBar\nCAFE\nCafé\n  Café \ncafé\n"

    assert warnings(tmp_path / "c.csv", CATEGORIE, text) == {"other-spelling": 2}


def test_spellings_are_of_one_category(tmp_path: Path) -> None:
    """The same trade of two categories, spelled in two ways, is two trades."""
    text = "nom,categorie\nAutre,A\nAUTRE,B\nautre,a\n"

    assert warnings(tmp_path / "s.csv", SOUS_CATEGORIE, text) == {"other-spelling": 1}


def test_a_faulty_row_is_no_spelling(tmp_path: Path) -> None:
    """What is rejected is not compared."""
    text = "nom,categorie\nAutre,A\nAUTRE,\n"

    assert warnings(tmp_path / "s.csv", SOUS_CATEGORIE, text) == {}
