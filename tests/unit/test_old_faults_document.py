"""docs/old-faults.md names every fault of our work, and tests that there are."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "old-faults.md").read_text(encoding="utf-8")

ELSEWHERE = {29, *range(46, 51)}
"""Of the Google Maps importer, and of the INSEE API."""


def test_every_fault_has_a_test() -> None:
    """Each of B1 to B54 that lies within our work has its line, in order."""
    told = [int(number) for number in re.findall(r"^\| B(\d+) \|.*::test_", TEXT, re.MULTILINE)]

    assert told == [number for number in range(1, 55) if number not in ELSEWHERE]


def test_every_test_is_there() -> None:
    """A test that is renamed or removed is missed here."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    lines = [line for line in TEXT.splitlines() if "::" in line]
    missing = [f"{path}::{name}" for path, name in named if name not in functions(ROOT / path)]

    assert missing == []
    assert len(named) == sum(line.count("::") for line in lines)


def functions(path: Path) -> set[str]:
    """The names of a module's functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
