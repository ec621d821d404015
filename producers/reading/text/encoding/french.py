"""How well a text reads as French, by its letters and signs beyond ASCII and the letters next to them.

Each byte is a letter in every 8-bit encoding, but not one of a French word: of "Crêperie" in Mac OS
Roman, Windows-1252 makes "Cr\\x90perie" or "CrÍperie". A reading's merit is the sum over its signs
beyond ASCII, near 0 for what French is full of and far below for what no text holds.
"""

from collections.abc import Callable, Iterator

_LETTERS = {
    **dict.fromkeys("é", 0.0),
    **dict.fromkeys("èàêç", -1.0),
    **dict.fromkeys("ôîâûïœë", -2.0),
    **dict.fromkeys("ùü", -3.0),
    **dict.fromkeys("öäñáíóúß", -4.0),
    **dict.fromkeys("ÿæãåøšžìòõý", -5.0),
}
_FOREIGN = -8.0
_OE, _AFTER_OE = -0.5, tuple("uUiI")
_FIRST_AFTER_OE, _LATER_AFTER_OE = tuple("cdnsCDNS"), tuple("bcdfglmnprstvxzBCDFGLMNPRSTVXZ")
"""As in "cœur", "œillet": nearly all words with this letter; none ends in it or has another vowel behind it."""
_WRONG_CASE = -5.0
_NO_SIGN = -9.0
_CONTROL = -12.0
_TWO_IN_A_ROW = -3.0
_NOTHING = ""


def merit(text: str) -> float:
    """The sum of the merits of the signs of `text` beyond ASCII, 0 if it has none."""
    return sum(_merits(text))


def _merits(text: str) -> Iterator[float]:
    for at, sign in enumerate(text):
        if sign > "\x7f":
            yield of_sign(sign, text[at - 1 : at] if at else _NOTHING, text[at + 1 : at + 2])


def of_sign(sign: str, before: str, after: str) -> float:
    """The merit of one sign between two others, each of them "" at the edge of the text."""
    if sign.isalpha() and sign not in "ªºµƒ":
        return _letter(sign, before, after)
    if sign < "\xa0":
        return _CONTROL
    judged = _SIGNS.get(sign)
    return _NO_SIGN if judged is None else judged(before, after)


def _letter(letter: str, before: str, after: str) -> float:
    merit = _LETTERS.get(letter.lower(), _FOREIGN)
    if letter in "œŒ":
        merit = _oe(before, after, merit)
    if before.isalpha() and not before.isascii():
        merit += _TWO_IN_A_ROW
    lone = not before.isalpha() and not after.isalpha()
    if lone:
        # "à" and "À" are the words of one letter.
        return merit if letter in "àÀ" else merit + _WRONG_CASE
    if letter.isupper():
        return merit + (_WRONG_CASE if before.islower() or _mixed(before, after) else -0.5)
    if before.isupper() and not after.islower():
        return merit + _WRONG_CASE
    return merit + (_WRONG_CASE if after.isupper() else 0.0)


def _oe(before: str, after: str, merit: float) -> float:
    if after in _AFTER_OE:
        return _OE
    begins = not before.isalpha()
    fits = after in (_FIRST_AFTER_OE if begins else _LATER_AFTER_OE)
    return merit if fits or (begins and not after.isalpha()) else _FOREIGN


def _mixed(before: str, after: str) -> bool:
    """Finds an accented capital between a capital and a small letter, which French does not have."""
    return before.isupper() and after.islower()


def _apostrophe(before: str, after: str) -> float:
    return -1.0 if before.isalpha() and after.isalpha() else -4.0


def _quotation(before: str, after: str) -> float:
    return -7.0 if before.isalnum() and after.isalnum() else -3.0


def _dash(before: str, after: str) -> float:
    if before.isspace() and after.isspace():
        return -2.0
    return -3.0 if before.isdigit() and after.isdigit() else -7.0


def _ellipsis(before: str, after: str) -> float:
    return -3.0 if before.isalnum() and not after.isalnum() else -6.0


def _degree(before: str, after: str) -> float:
    return -1.0 if before in "nN" or before.isdigit() else -6.0


def _euro(before: str, after: str) -> float:
    spaced = before.isdigit() or (before.isspace() and not after.isalpha())
    return -2.5 if spaced else -7.0


def _power(before: str, after: str) -> float:
    return -2.5 if before.isalpha() and not after.isalpha() else -6.0


def _space(before: str, after: str) -> float:
    return -3.5 if after in tuple(":;!?»") or before == "«" or before.isdigit() else -5.5


def _fraction(before: str, after: str) -> float:
    return -5.0 if before.isdigit() or (before.isspace() and not after.isalpha()) else -8.0


def _rare(before: str, after: str) -> float:
    return -7.0 if before.isalpha() and after.isalpha() else -5.0


_SIGNS: dict[str, Callable[[str, str], float]] = {
    "’": _apostrophe,
    **dict.fromkeys("‘“”«»", _quotation),
    **dict.fromkeys("–—", _dash),
    "…": _ellipsis,
    "°": _degree,
    "€": _euro,
    **dict.fromkeys("²³", _power),
    **dict.fromkeys("\u00a0\u202f", _space),
    **dict.fromkeys("·•®™©×£", _rare),
    **dict.fromkeys("½¼", _fraction),
}
