"""No pattern takes much longer for a value that is twice as long: whoever sends it chooses its length.

Each compiled pattern of the code that reads files, records and answers meets, in the way in which the
code calls it, texts that are made of its own repetitions and end wrongly.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import product, starmap
from pathlib import Path
from re import _constants as sre
from re import _parser as parser
from time import process_time
from typing import Any

import pytest

import processors.operator
import processors.texts
import producers
import schemas
from producers.reading import RefusedError, open_source
from schemas.import_types import IMPORT_TYPES, ImportType

PACKAGES = (schemas, producers, processors.texts, processors.operator)
METHODS = ("search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")
LENGTH = 3_000
SHORT_SECONDS = 0.015
"""A quadratic pattern takes longer for twice LENGTH characters; what takes less cannot be compared."""
MOST_GROWTH = 2.5
CHARACTERS = [
    "a",
    "0",
    " ",
    ".",
    "-",
    "/",
    "@",
    "<",
    '"',
    "=",
    "_",
    "(",
    "é",
    "\n",
    "&",
    "[",
    "{",
    "+",
]


Used = tuple[str, re.Pattern[Any], str]


def patterns() -> Iterator[Used]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            loaded = importlib.import_module(module.name)
            source = Path(str(loaded.__file__)).read_text(encoding="utf-8")
            for name, value in vars(loaded).items():
                for label, pattern in named(name, value):
                    yield from used(f"{module.name}.{label}", name, pattern, source)


def named(name: str, value: object) -> Iterator[tuple[str, re.Pattern[Any]]]:
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, re.Pattern):
                yield f"{name}[{key}]", item
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            if isinstance(item, re.Pattern):
                yield f"{name}[{at}]", item


def used(label: str, name: str, pattern: re.Pattern[Any], source: str) -> Iterator[Used]:
    """The methods by which a module calls its pattern; those of a collection are not named there."""
    methods = set(re.findall(rf"\b{name}\.({'|'.join(METHODS)})\b", source))
    if not methods:
        methods = {"fullmatch"} if ".fullmatch" in source else {"search"}
    for method in sorted(methods):
        yield f"{label}.{method}", pattern, method


def pumps(pattern: re.Pattern[Any]) -> set[str]:
    """What the repetitions of a pattern take, and single characters."""
    text = (
        pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    )
    found: set[str] = set()
    walk(parser.parse(text, pattern.flags & ~re.DEBUG), found)
    return {*found, *CHARACTERS}


def walk(parsed: Any, found: set[str]) -> None:
    for operator, argument in parsed:
        if operator in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            found.add(sample(argument[2]))
            walk(argument[2], found)
        elif operator is sre.SUBPATTERN:
            walk(argument[3], found)
        elif operator is sre.BRANCH:
            for branch in argument[1]:
                walk(branch, found)


def sample(parsed: Any) -> str:
    """A text that a part of a pattern takes, nearly: what follows it is wrong anyhow."""
    return "".join(starmap(piece, parsed))


def piece(operator: Any, argument: Any) -> str:
    found = ""
    match operator:
        case sre.LITERAL:
            found = chr(argument)
        case sre.NOT_LITERAL:
            found = "b" if argument == ord("a") else "a"
        case sre.ANY:
            found = "a"
        case sre.IN:
            found = member(argument)
        case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
            found = sample(argument[2]) * max(1, argument[0])
        case sre.SUBPATTERN:
            found = sample(argument[3])
        case sre.BRANCH:
            found = sample(argument[1][0])
    return str(found)


def member(items: Any) -> str:
    allowed = "".join(chr(number) for number in range(32, 256))
    for character in ("a", "0", " ", *allowed):
        if takes(items, character):
            return str(character)
    return "a"


def takes(items: Any, character: str) -> bool:
    negated = bool(items) and items[0][0] is sre.NEGATE
    hit = False
    for operator, argument in items:
        if operator is sre.LITERAL:
            hit |= character == chr(argument)
        elif operator is sre.RANGE:
            hit |= argument[0] <= ord(character) <= argument[1]
        elif operator is sre.CATEGORY:
            word = {sre.CATEGORY_DIGIT: r"\d", sre.CATEGORY_SPACE: r"\s", sre.CATEGORY_WORD: r"\w",
                    sre.CATEGORY_NOT_DIGIT: r"\D", sre.CATEGORY_NOT_SPACE: r"\S", sre.CATEGORY_NOT_WORD: r"\W"}[argument]  # fmt: skip
            hit |= re.fullmatch(word, character) is not None
    return hit != negated


def prefixes(pattern: re.Pattern[Any]) -> set[str]:
    """What a text may begin with so that the pattern gets to its repetitions."""
    text = (
        pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    )
    parsed = list(parser.parse(text, pattern.flags & ~re.DEBUG))
    return {"", *(sample(parsed[:end]) for end in range(1, len(parsed)))}


def seconds(pattern: re.Pattern[Any], method: str, text: str) -> float:
    value: Any = text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")
    arguments = (value,) if method not in ("sub", "subn") else ("" if isinstance(value, str) else b"", value)  # fmt: skip
    began = process_time()
    result = getattr(pattern, method)(*arguments)
    if method == "finditer":
        for _ in result:
            pass
    return process_time() - began


def growing(pattern: re.Pattern[Any], method: str) -> str | None:
    """A text for whose double length the pattern takes more than MOST_GROWTH times as long."""
    for prefix, pump, suffix in product(prefixes(pattern), pumps(pattern), ("", "\n", "\0", "!")):
        count = LENGTH // len(pump) if pump else 0
        short, long = (prefix + times * count * pump + suffix for times in (1, 2))
        if seconds(pattern, method, long) < SHORT_SECONDS:
            continue
        twice, once = (
            min(seconds(pattern, method, text) for _ in range(3)) for text in (long, short)
        )
        if twice >= SHORT_SECONDS and twice > MOST_GROWTH * once:
            return f"{prefix!r}, many {pump!r}, {suffix!r}"
    return None


def test_patterns_are_linear() -> None:
    every = list(patterns())
    found = {label: growing(pattern, method) for label, pattern, method in every}

    assert len(every) > 60
    assert {label: text for label, text in found.items() if text is not None} == {}


@pytest.mark.parametrize("text", [r"https?://[^\s/]+\.[^\s]+", r"\s*(.*\S)\s*\("])
def test_a_quadratic_pattern_is_found(text: str) -> None:
    assert growing(re.compile(text), "fullmatch" if "http" in text else "match")


PUMPS = ("1", "0 ", "a", ".", "(1", "1,", "&#1", "a@")


def reading_seconds(path: Path, import_type: ImportType, pump: str, length: int) -> float:
    """Of a file in which each column in turn has a value of that length, which ends wrongly."""
    names = [field.name for field in import_type.fields]
    value = pump * (length // len(pump)) + "!"
    lines = [
        [value if at == column else "1" for at in range(len(names))] for column in range(len(names))
    ]
    path.write_text("\n".join(map(";".join, [names, *lines])), encoding="utf-8")
    began = process_time()
    with suppress(RefusedError):
        for _ in open_source(path, import_type).chunks():
            pass
    return process_time() - began


@pytest.mark.parametrize("name", ["ENTREPRISE", "VILLE"])
def test_long_cells_are_read_in_linear_time(tmp_path: Path, name: str) -> None:
    """Whatever code a value of a column meets, patterns or not: four times as long takes far less than 16 times."""
    path, import_type = tmp_path / "long.csv", IMPORT_TYPES[name]
    found = {}
    for pump in PUMPS:
        short, long = (
            reading_seconds(path, import_type, pump, length) for length in (8_000, 32_000)
        )
        if long > 1.0 and long > 8 * short:
            found[pump] = (short, long)

    assert found == {}
