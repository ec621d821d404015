"""What pages say of the code, compared with the code: each function finds what is not so."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from typer.core import TyperGroup

from producers.gateway.api import imports_api, texts_api
from producers.gateway.uploads import tus
from schemas.outcomes import ACTIONS
from tests.documents import commands_page, settings_page

ROOT = Path(__file__).parents[2]

CODE = re.compile(r"```[^\n]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_DIAGRAM = re.compile(r"```mermaid.*?```", re.DOTALL)
_BLOCK = re.compile(r"```.*?```", re.DOTALL)
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_FOLDERS = ("producers", "processors", "schemas", "deploy", "tests", "docs")
_PATH = re.compile(rf"(?:{'|'.join(_FOLDERS)})/[\w./-]*[\w/]|[\w-]+\.(?:py|md|sql|avsc|toml|yml)")
_PROGRAM = re.compile(r"foxstream(?:-worker|-gateway|-local)?(?= [a-z-])")
_ENDS = re.compile(r"\s(?:[#|;&>)»·]|·|—).*", re.DOTALL)
_SUFFIX = re.compile(r"_(?:total|bucket|sum|count|info)$")
_WORD = re.compile(r"[a-z][a-z-]*")
_MADE = ("tests/benchmarks/results/", "tests/faults/results/")
"""Folders that a command makes."""

_ADDRESS = re.compile(r"/api/imports/[\w./-]*")
_OPTION = re.compile(r"--[a-z][a-z-]+")


def pages() -> list[Path]:
    """Every page, of the root and of docs/."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def code(text: str) -> Iterator[str]:
    """What stands in code blocks, line by line, and in code spans; not in diagrams."""
    for block, span in CODE.findall(_DIAGRAM.sub("", text)):
        yield from (line for line in block.splitlines() if line) if block else (span,)


def links(page: Path, text: str) -> list[str]:
    """Links to files and headings that are not there."""
    return [
        target
        for target in _LINK.findall(_BLOCK.sub("", text))
        if not re.match(r"https?:|mailto:", target) and not _leads(page, target)
    ]


def _leads(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists() or not anchor:
        return path.exists()
    return anchor in anchors(path.read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    found: set[str] = set()
    for heading in _HEADING.findall(_BLOCK.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        found.add(anchor)
    return found


def targets(text: str) -> list[str]:
    """`make` targets that the Makefile has not."""
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    said = [name for line in code(text) for name in re.findall(r"(?:^|\s)make ([a-z-]+)", line)]
    return [name for name in said if name not in known]


def commands(text: str) -> list[str]:
    """Commands and options of foxstream that there are not."""
    lines = list(code(text))
    wrong = [found for line in lines for found in _wrong(line)]
    every = set.union(*map(commands_page.options, commands_page.commands().values()))
    # Of other programs that the page shows.
    others = {option for line in lines if "foxstream" not in line for option in _given(line)}
    alone = [option for line in lines if line.startswith("--") for option in _OPTION.findall(line)]
    return wrong + [option for option in alone if option not in every | others]


def _given(line: str) -> list[str]:
    return [] if line.startswith("--") else _OPTION.findall(line)


def _wrong(line: str) -> Iterator[str]:
    known = commands_page.commands()
    for found in _PROGRAM.finditer(line):
        words = _ENDS.sub("", line[found.start() :]).split()
        name = words.pop(0)
        while words and isinstance(known[name], TyperGroup) and (word := _WORD.match(words[0])):
            name = f"{name} {word[0]}"
            words.pop(0)
            if name not in known:
                yield name
                return
        typed = {word.partition("=")[0].strip("[]…") for word in words if word.startswith("--")}
        yield from (f"{name} {option}" for option in typed - commands_page.options(known[name]))


@cache
def _variables() -> frozenset[str]:
    readers = (*settings_page.READERS, *settings_page.LOCAL)
    names = {setting.name for setting in settings_page.settings(readers)}
    return frozenset(names | {f"{name}_FILE" for name in settings_page.FROM_FILES})


def variables(text: str) -> list[str]:
    """Variables that nothing reads. `FOX_AI_` stands for all that begin so."""
    return [
        name
        for name in re.findall(r"\bFOX_[A-Z_]+", text)
        if name not in _variables()
        and not (name.endswith("_") and any(known.startswith(name) for known in _variables()))
    ]


@cache
def _tests() -> frozenset[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        found |= {path.stem, *(node.name for node in ast.walk(tree) if isinstance(node, kinds))}
    return frozenset(found)


def tests(text: str) -> list[str]:
    """Tests that there are not."""
    said = [name for line in code(text) for name in re.findall(r"\btest_\w+", line)]
    return [name for name in said if name not in _tests()]


@cache
def _names() -> frozenset[str]:
    hidden = (path for path in ROOT.iterdir() if not path.name.startswith("."))
    inside = (path for top in hidden if top.is_dir() for path in top.rglob("*.*"))
    return frozenset({path.name for path in (*inside, *ROOT.iterdir())})


def paths(text: str) -> list[str]:
    """Files and folders of the repository that are not there."""
    said = (line for line in code(text) if _PATH.fullmatch(line.split("::")[0]))
    return [path for path in (line.split("::")[0] for line in said) if not _is_there(path)]


def _is_there(path: str) -> bool:
    if "/" not in path:
        return path in _names()
    return path.startswith(_MADE) or (ROOT / path).exists()


def modules(text: str) -> list[str]:
    """Modules after `python -m` that cannot be run."""
    said = [name for line in code(text) for name in re.findall(r"python -m ([\w.]+)", line)]
    return [name for name in said if not _runs(name)]


def _runs(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@cache
def _sources() -> str:
    found = [path for top in _FOLDERS[:4] for path in (ROOT / top).rglob("*")]
    kinds = (".py", ".sql", ".avsc", ".yml")
    return "\n".join(path.read_text("utf-8") for path in found if path.suffix in kinds)


def names(text: str) -> list[str]:
    """Metrics, and names in PostgreSQL's schema or headers, that no source mentions."""
    said = re.findall(r"`(fox_[a-z_]+|ingest\.[a-z_]+)[`{.]", text)
    return [name for name in said if _SUFFIX.sub("", name) not in _sources()]


def addresses(text: str) -> list[str]:
    """Paths of the API that nothing answers."""
    said = [path for line in code(text) for path in _ADDRESS.findall(line)]
    return [path for path in said if not _answers(path)]


def _answers(path: str) -> bool:
    routes = [*texts_api.router.routes, *imports_api.router.routes, *tus.router.routes]
    found = [match for route in routes if (match := route.path_regex.match(path))]  # type: ignore[attr-defined]
    actions = [given for match in found if (given := match.groupdict().get("action"))]
    return len(found) > len(actions) or any(given in ACTIONS for given in actions)
