"""The objects of a JSON file, one after another in flat memory, and their values under flat names.

A file is one object a line, or an array of objects, or answers of an API: an object whose array, called
`etablissements`, `results` or the like, holds them; or what pandas writes by default, one object
whose values are the rows by their number, or the columns.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from producers.reading.refusals import refusal

DEPTH = 5
"""Objects that are nested deeper are the text of their JSON."""

COLUMNS = 1000
"""How many names the objects of a file may have between them."""

LONGEST = 2 << 20
"""Characters of one object."""

_BLOCK = 1 << 18
_SPARSE = 100  # of so many cells of an object that holds columns one has a value at least
_BEFORE = 1 << 12  # characters of an answer before its objects, at most
_BLANK = re.compile(r"\s*")
_ANSWER = re.compile(
    r'\s*\{(?:\s*"(?:header|count|total\w{0,20}|next|previous|page|per_page|type|name|crs|status|success|nhits|'
    r'parameters|links|@context)"\s*:\s*(?:\{(?:[^{}]|\{[^{}]*\})*\}|"[^"]*"|[a-z0-9.-]+)\s*,)*'
    r'\s*"(?:etablissements|unitesLegales|results|resultats|data|records|items|rows|features|value|@graph)"'
    r"\s*:\s*\[(?=\s*[{\]])"
)
_BEGINS = re.compile(r'\s*(?:\{\s*["}]|\[\s*[{\]])')
_decode = json.JSONDecoder().raw_decode

Path = tuple[str, ...]


class Found(NamedTuple):
    """`line` is where the object begins, from 1. `value` is None if the line is not an object."""

    line: int
    text: str
    value: dict[str, Any] | None


def begins(head: str) -> bool:
    """Whether a file that begins with these characters is JSON."""
    return _BEGINS.match(head) is not None


def objects(file: TextIO) -> Iterator[Found]:
    """The objects of the file. Raises RefusedError if one that is not alone on its line is damaged."""
    for found in _objects(file):
        yield from _rows(found)


def _rows(found: Found) -> Iterator[Found]:
    """The rows of an object that holds them by their number, or columns; any other object as it is."""
    value = found.value or {}
    inner = list(value.values())
    if not inner or not all(isinstance(one, dict) and one for one in inner):
        yield found
    elif _are_numbers(value):
        yield from (found._replace(value=row) for row in inner)
    elif all(map(_are_numbers, inner)):
        numbers = dict.fromkeys(number for column in inner for number in column)
        if len(numbers) * len(inner) > _SPARSE * sum(map(len, inner)):
            raise refusal("too-large", found=f"{len(numbers)} lignes de {len(inner)} colonnes")
        for number in numbers:
            row = {name: column.get(number) for name, column in value.items()}
            yield found._replace(value=row)
    else:
        yield found


def _are_numbers(keys: Iterable[str]) -> bool:
    return all(key.isascii() and key.isdigit() for key in keys)


def _objects(file: TextIO) -> Iterator[Found]:
    first = file.readline(LONGEST)
    whole = _object(first)
    if whole is not None and not _ANSWER.match(first):
        yield Found(1, first, whole)
        yield from _lines(file)
    else:
        yield from _Stream(file, first)


def _lines(file: TextIO) -> Iterator[Found]:
    line = 2
    while text := line_of(file):
        if text.strip():
            yield Found(line, text.strip(), _object(text))
        line += 1


def line_of(file: TextIO) -> str:
    """The next line, none at the end. Raises RefusedError if it is longer than LONGEST."""
    text = file.readline(LONGEST)
    if len(text) == LONGEST and not text.endswith("\n"):
        raise refusal("line-too-long", limit=LONGEST)
    return text


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class _Stream:
    """Objects in arrays, over as many lines as they take."""

    def __init__(self, file: TextIO, text: str) -> None:
        self._file = file
        self._text = text
        self._at = 0
        self._line = 1

    def __iter__(self) -> Iterator[Found]:
        while self._next():
            if self._text[self._at] == "[":
                self._take(self._at + 1)
                yield from self._items()
            elif answer := self._answer():
                self._take(answer)
                yield from self._items()
                self._end_answer()
            else:
                yield self._value()

    def _items(self) -> Iterator[Found]:
        while self._next() != "]":
            yield self._value()
            if self._next() == ",":
                self._take(self._at + 1)
            elif self._next() != "]":
                self._refuse()
        self._take(self._at + 1)

    def _answer(self) -> int | None:
        """Where the objects of an answer of the API begin, if this is one."""
        while len(self._text) - self._at < _BEFORE and self._more():
            pass
        match = _ANSWER.match(self._text, self._at)
        return match and match.end()

    def _value(self) -> Found:
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except (ValueError, RecursionError):
                if len(self._text) - self._at > LONGEST or not self._more():
                    self._refuse()
                continue
            if not isinstance(value, dict):
                self._refuse()
            found = Found(self._line, self._text[self._at : end], value)
            self._take(end)
            return found

    def _next(self) -> str:
        """The next character that is not blank, empty at the end; it is at the present place then."""
        while True:
            match = _BLANK.match(self._text, self._at)
            self._take(match.end() if match else self._at)
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _end_answer(self) -> None:
        """Passes over what an answer has behind its objects."""
        if self._next() == ",":
            self._text, self._at = "{" + self._text[self._at + 1 :], 0
            self._value()
        elif self._next() == "}":
            self._take(self._at + 1)
        else:
            self._refuse()

    def _take(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        block = self._file.read(_BLOCK)
        self._text, self._at = self._text[self._at :] + block, 0
        return bool(block)

    def _refuse(self) -> None:
        raise refusal("broken-json", line=self._line)


def leaves(value: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The values of an object and of the objects in it, by their path. A list of periods is the one
    that has not ended (`dateFin`)."""
    for key, inner in value.items():
        if isinstance(inner, list):
            inner = _current(inner)
        if isinstance(inner, dict) and len(path) + 1 < DEPTH:
            yield from leaves(inner, (*path, key))
        else:
            yield (*path, key), inner


def _current(items: list[Any]) -> Any:
    if not items or not all(isinstance(item, dict) and "dateFin" in item for item in items):
        return items
    return next((item for item in items if item["dateFin"] is None), None)


def names(paths: Sequence[Path]) -> list[str]:
    """What a column of each path is called: as the value, or with the whole path if a value that is
    nested less is called so, or if an earlier one is."""
    taken: dict[str, Path] = {}
    for path in sorted(paths, key=len):
        taken.setdefault(path[-1], path)
    return [path[-1] if taken[path[-1]] == path else ".".join(path) for path in paths]


def text_of(value: Any) -> str:
    """A value as the text of a cell."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "oui" if value else "non"
    return json.dumps(value, ensure_ascii=False)
