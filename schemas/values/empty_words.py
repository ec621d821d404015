"""Words that mean "no value": what spreadsheets, databases, languages and people write in an empty cell.

schemas/reference/empty_words.csv names the source of each. A word counts only if it is the whole cell.
"""

import csv
from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import product
from typing import Literal

Meaning = Literal["nothing", "unavailable", "error", "placeholder"]
"""`nothing`: what a program writes for NULL. `unavailable`: a spreadsheet had no value for the cell.
`error`: a formula came to an error. `placeholder`: what people write if they do not know."""

_EVERY_CASE = 6
_BLANKS = ("", " ", "\u00a0", "\u202f")
_BRACKETS = (("(", ")"), ("[", "]"), ("<", ">"), ("{", "}"))
_ABBREVIATED = 2
_RULE, _WIDEST = 3, 80
"""A word of three signs that are the same may be wider: dashes, or a column too narrow for its number."""


@cache
def empty_words(meaning: Meaning) -> frozenset[str]:
    """The words of a meaning, in every case in which programs and people write them."""
    text = resources.files("schemas").joinpath("reference", "empty_words.csv")
    rows = csv.DictReader(text.read_text(encoding="utf-8").splitlines())
    words = [row["word"] for row in rows if row["meaning"] == meaning]
    return frozenset(spelled for word in words for spelled in _spellings(word))


def _spellings(word: str) -> Iterator[str]:
    if len(word) >= _RULE and len({*word}) == 1:
        yield from (word[0] * width for width in range(len(word), _WIDEST))
        return
    if len(word) > _ABBREVIATED and word[0].isalpha():
        for cased in {word, word.lower(), word.upper(), word.capitalize()}:
            yield from (f"{opening}{cased}{closing}" for opening, closing in _BRACKETS)
    for cased in _cases(word):
        yield cased
        # French typography has a blank before these signs.
        if cased.startswith("#") and cased.endswith(("!", "?")):
            yield from (f"{cased[:-1]}{blank}{cased[-1]}" for blank in _BLANKS)


def _cases(word: str) -> set[str]:
    if sum(map(str.isalpha, word)) <= _EVERY_CASE:
        return set(map("".join, product(*({sign.lower(), sign.upper()} for sign in word))))
    return {word, word.lower(), word.upper(), word.capitalize(), word.title()}
