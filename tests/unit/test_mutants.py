"""Whether the mutants of tests/mutants are still what they were made for."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.mutants import ROOT, Mutant, known


@cache
def _defined(path: Path) -> frozenset[str]:
    """The tests of a file, as node ids have them."""
    return frozenset(_names(ast.parse(path.read_text(encoding="utf-8")), ""))


def _names(tree: ast.Module | ast.ClassDef, within: str) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield within + node.name
        elif isinstance(node, ast.ClassDef):
            yield from _names(node, f"{within}{node.name}::")


@pytest.mark.parametrize("mutant", known().values(), ids=known())
def test_a_mutant(mutant: Mutant) -> None:
    """What it changes is there, once, is Python where it was, and its tests exist."""
    text = (ROOT / mutant.file).read_text(encoding="utf-8")

    changed = mutant.applied(text)

    assert changed != text
    if mutant.file.endswith(".py"):
        compile(changed, mutant.file, "exec")
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert name.partition("[")[0] in _defined(ROOT / path), test


@pytest.mark.parametrize("text", ["", "ab", "a guard, and a guard"])
def test_a_mutant_of_what_is_not_there_once(text: str) -> None:
    mutant = Mutant("a", "b", "c.sql", "a guard", "none", ())

    with pytest.raises(ValueError, match="not once"):
        mutant.applied(text)


def test_two_mutants_of_one_name(tmp_path: Path) -> None:
    told = '[a]\nwhy = ""\nfile = ""\nold = ""\nnew = ""\ntests = []\n'
    for name in ("one.toml", "other.toml"):
        (tmp_path / name).write_text(told, encoding="utf-8")

    with pytest.raises(ValueError, match="called a"):
        known(tmp_path)
