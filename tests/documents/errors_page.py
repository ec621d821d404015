"""docs/errors.md: the refusals of a file in it are those of the code; and all codes of the code."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from processors.rows.merge import isolation
from producers.reading import correction
from producers.reading.refusals import SENTENCES
from producers.reading.row import normalisation, spellings
from producers.reports import error_report
from schemas import outcomes, rules
from tests.documents.markdown import table

ROOT = Path(__file__).parents[2]

_PLACES = {
    "Fault": 1,
    "fault": 1,
    "RefusedError": 0,
    "refusal": 0,
    "fail": 1,
    "CommandError": 1,
    "DecodeError": 0,
    "_give_up": 1,
    "_reject": 1,
    "__init__": 0,
}
"""Which argument is the code, of what makes one."""

_ELSEWHERE = (rules, outcomes, normalisation, spellings, correction, isolation, error_report)
"""Modules that hold codes in constants and tables, beside what is none."""

_FORM = re.compile(r"[a-z]+(?:-[a-z]+)*")


def filled(text: str) -> str:
    """The page with its generated part anew."""
    begin, end = "<!-- refusals -->", "<!-- end refusals -->"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n\n{_refusals()}\n\n{end}{tail}"


def _refusals() -> str:
    return table(
        ("code", "what it says"), [(f"`{code}`", told) for code, told in SENTENCES.items()]
    )


def problems() -> dict[str, set[int]]:
    """The statuses of each code of the API."""
    found: dict[str, set[int]] = defaultdict(set)
    for path in (ROOT / "producers" / "gateway").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        numbers = _numbers(tree)
        for call in _calls(tree, {"Problem", "_BeyondError"}):
            status, code = map(ast.unparse, call.args[:2])
            known = int(status) if status.isdigit() else numbers.get(status)
            if known is not None and code.startswith("'"):
                found[ast.literal_eval(code)].add(known)
    return found


def codes() -> set[str]:
    """Every code that a row, a file or a command may get."""
    found = set(SENTENCES)
    for folder in ("producers", "processors", "schemas"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for call in _calls(tree, set(_PLACES)):
                found |= _code(call, _PLACES[_name(call)])
    return found


def words() -> set[str]:
    """What may be a code in modules that keep theirs in constants: some words are none."""
    return {
        node.value
        for module in _ELSEWHERE
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and _FORM.fullmatch(node.value)
    }


def _code(call: ast.Call, place: int) -> set[str]:
    argument = call.args[place] if len(call.args) > place else None
    if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
        return set()
    plain = "-" in argument.value or _name(call) != "__init__"
    return {argument.value} if plain and _FORM.fullmatch(argument.value) else set()


def _calls(tree: ast.Module, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) in names:
            yield node


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _numbers(tree: ast.Module) -> dict[str, int]:
    """Whole numbers that a module names."""
    return {
        ast.unparse(node.targets[0]): node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, int)
    }
