"""docs/architecture.md: its paths are short, and no folder is left out."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SIDES = ("producers", "processors")
MOST_FILES = {
    "A file to Kafka": 8,
    "A row from Kafka to its table": 10,
    "The state of an import": 5,
    "A text": 8,
    "An upload": 6,
}
MOST_ENTRIES = 12
MOST_LINES = 400


def section(title: str) -> str:
    return re.split(r"^##+ ", PAGE.split(f"## {title}\n", 1)[1], flags=re.M)[0]


@pytest.mark.parametrize("title", MOST_FILES)
def test_a_path_is_short(title: str) -> None:
    """Each step names an existing file, and the path has at most that many steps."""
    steps = re.findall(r"^\d+\. `([\w/]+\.py)`", section(title), re.M)

    assert 0 < len(steps) <= MOST_FILES[title]
    assert [step for step in steps if not (ROOT / step).is_file()] == []


@pytest.mark.parametrize("side", SIDES)
def test_every_folder_is_on_the_page(side: str) -> None:
    """Also those of the gateway, by their names alone."""
    folders = {
        path.parent.relative_to(ROOT)
        for path in (ROOT / side).rglob("*.py")
        if path.parent != ROOT / side
    }
    table = section("Folders")

    assert [
        f for f in sorted(folders) if f"{f}/`" not in table and f"`{f.name}/`" not in table
    ] == []


@pytest.mark.parametrize("side", SIDES)
def test_folders_are_small(side: str) -> None:
    """No folder has more than MOST_ENTRIES modules and folders."""
    sizes = {
        folder: len(
            {p for p in folder.iterdir() if p.suffix == ".py" or any(p.rglob("*.py"))}
            - hidden(folder)
        )
        for folder in {path.parent for path in (ROOT / side).rglob("*.py")}
    }

    assert {f for f, size in sizes.items() if size > MOST_ENTRIES} == set()


def hidden(folder: Path) -> set[Path]:
    return {folder / "__init__.py", folder / "__pycache__"}


@pytest.mark.parametrize("side", SIDES)
def test_a_name_says_which_module(side: str) -> None:
    """No two modules or classes of a side have one name, and no module is too long to read at once."""
    modules = [path for path in (ROOT / side).rglob("*.py") if path.name != "__init__.py"]
    names = [path.name for path in modules]

    assert {name for name in names if names.count(name) > 1} == set()
    classes = [
        node.name
        for path in modules
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert {name for name in classes if classes.count(name) > 1} == set()
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    assert {path for path, count in lines.items() if count > MOST_LINES} == set()
