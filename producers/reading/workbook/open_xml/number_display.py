"""What a number format shows of a number, in a French spreadsheet (ECMA-376 part 1, 18.8.31).

Old workbooks have the same formats. Of interest are those that show more than the number itself: zeros in
front of it, a word, a currency, a percentage.
"""

import re
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import NamedTuple

_LONGEST = 255
_MOST_DIGITS = 18
_SECTION = re.compile(r'((?:"[^"]*+"|\\.|\[[^\[\]]*+\]|[^;])*+)(?:;|$)', re.DOTALL)
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_(?P<blank>.)|\*(?P<fill>.)|\[\$(?P<currency>[^\]-]*)[^\]]*\]'
    r"|\[(?P<aside>[^\]<>=]*)\]|(?P<digit>[0#?])|(?P<sign>[.,%])|(?P<plain>[-+$€£()! &'~{}:\u00a0\u202f])"
)

Display = Callable[[float], str | None]
"""The text that a number is shown as; None if only a spreadsheet knows."""


class _Token(NamedTuple):
    """`kind` is "digit", "sign" or "text"."""

    kind: str
    text: str


@lru_cache(maxsize=4096)
def display_of(code: str) -> Display | None:
    """How a format shows numbers; None if it shows nothing but the number, or a date."""
    sections = _SECTION.findall(code[:_LONGEST])[: code.count(";") + 1]
    if not code or sections[0].casefold() in ("general", "standard", "@"):
        return None
    tokens = [_tokens(section) for section in sections[:3]]
    if tokens[0] is not None and not _is_telling(tokens[0]):
        return None
    return lambda value: _shown(tokens, value)


def _tokens(section: str) -> Sequence[_Token] | None:
    """None if something of the section is not of a plain number, as of a fraction or a condition."""
    tokens: list[_Token] = []
    at = 0
    while at < len(section):
        found = _TOKEN.match(section, at)
        if found is None:
            return None
        at = found.end()
        kind = found.lastgroup or ""
        if kind in ("digit", "sign"):
            tokens.append(_Token(kind, found[0]))
        elif kind == "blank":
            tokens.append(_Token("text", " "))
        elif kind not in ("fill", "aside"):
            tokens.append(_Token("text", found[kind]))
    return tokens


def _is_telling(tokens: Sequence[_Token]) -> bool:
    """Whether a person sees more than the number, or nothing: a word, zeros, a percentage, thousands."""
    if any(kind == "text" and text.strip(" \u00a0\u202f()-") for kind, text in tokens):
        return True
    signs = [text for kind, text in tokens if kind != "text"]
    return bool({"%", ".", ","} & {*signs}) or not signs or "0" in signs[:-1]


def _shown(sections: Sequence[Sequence[_Token] | None], value: float) -> str | None:
    at = 1 if value < 0 else 2 if value == 0 else 0
    tokens = sections[at] if at < len(sections) else sections[0]
    if tokens is None or abs(value) >= 10**_MOST_DIGITS:
        return None
    sign = "-" if value < 0 and len(sections) < 2 else ""
    text = _filled(tokens, abs(Decimal(repr(value))))
    return None if text is None else f"{sign}{text}".strip()


def _filled(tokens: Sequence[_Token], value: Decimal) -> str | None:
    """The tokens with the digits of a number in the places that are meant for them."""
    places = [text if kind != "text" else "" for kind, text in tokens]
    if not any(places):
        return "".join(text for _, text in tokens)
    point = places.index(".") if "." in places else len(places)
    if "." in places[point + 1 :] or "," in places[point:] or not set(places[:point]) & set("0#?"):
        return None
    last = max(at for at in range(point) if places[at] in tuple("0#?"))
    if "," in places[last:point]:
        return None  # it shows thousands or millions
    behind = [at for at in range(point, len(places)) if places[at] in tuple("0#?")]
    value = (value.scaleb(2 * places.count("%"))).quantize(
        Decimal(1).scaleb(-len(behind)), ROUND_HALF_UP
    )
    whole, _, fraction = f"{value:f}".partition(".")
    texts = [text if kind == "text" else "" for kind, text in tokens]
    texts = ["%" if place == "%" else text for place, text in zip(places, texts, strict=True)]
    _fill_whole(texts, places[:point], whole.lstrip("0"))
    for at, digit in zip(behind, fraction, strict=True):
        texts[at] = digit
    for at in reversed(behind):
        if places[at] == "0" or texts[at] != "0":
            break
        texts[at] = ""
    if any(texts[at] for at in behind):
        texts[point] = ","
    return "".join(texts)


def _fill_whole(texts: list[str], places: Sequence[str], digits: str) -> None:
    """Puts the digits before the point from right to left; the first place takes those that are left."""
    slots = [at for at, place in enumerate(places) if place in tuple("0#?")]
    for at in reversed(slots):
        if at == slots[0]:
            texts[at] = digits or ("0" if places[at] == "0" else "")
        elif digits:
            digits, texts[at] = digits[:-1], digits[-1]
        elif places[at] == "0":
            texts[at] = "0"
    if "," in places:
        texts[slots[0]] = _grouped(texts, slots)
        for at in slots[1:]:
            texts[at] = ""


def _grouped(texts: Sequence[str], slots: Sequence[int]) -> str:
    digits = "".join(texts[at] for at in slots)
    return f"{int(digits):,}".replace(",", " ") if digits else ""
