"""Telephone numbers, e-mail addresses and web addresses, as people write them.

A value is corrected only if the result has the form of its kind; any other cell stays as it is, and
the rules drop it.
"""

import re
from collections.abc import Sequence
from html import unescape

from producers.reading.row.column_values import (
    LONGEST,
    Corrected,
    Texts,
    Values,
    correct,
    plain,
)
from producers.reading.row.numbers import is_digits, ungrouped, whole
from schemas.rules import has_form

_DIGITS = frozenset("0123456789")
_USUAL_LENGTH = 17
_USUAL_IN_PHONE = b"0123456789 +-.()/\n"
_ODD_IN_PHONE = ("(+", ".\n", "-\n", "/\n")
_NATIONAL, _INTERNATIONAL = 9, 11
_LABEL = re.compile(
    r"(?:t[ée]l(?:[ée]phone)?|t|phone|fixe|mobile|portable|port|standard)\b\.? ?:? ?",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r"[/;,|]| ou | et | - ", re.IGNORECASE)
_COUNTRY = re.compile(r"\( ?(\+ ?33|0033|(?<!\+)33) ?\)")


def phones(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of telephone numbers; most begin with 0 or + and end with a digit."""
    # A number of a workbook that is not whole is a share or a price, a day has dashes.
    malformed = [row for row in numeric if texts[row] and not is_digits(whole(texts[row] or ""))]
    if malformed:
        wrong = {*malformed}
        texts = [None if row in wrong else text for row, text in enumerate(texts)]
    given = list(filter(None, texts))
    joined = "\n".join(("", *given, ""))
    if (
        not joined.encode(errors="replace").translate(None, _USUAL_IN_PHONE)
        and joined.count("\n0") + joined.count("\n+") == len(given)
        and max(map(len, given), default=0) <= _USUAL_LENGTH
        and not any(map(joined.__contains__, _ODD_IN_PHONE))
    ):
        return Values(texts, malformed=malformed)
    return correct(texts, range(len(texts)), telephone)._replace(malformed=malformed)


def telephone(text: str) -> Corrected:
    """The number of a cell, the first if it holds several, with the zero that it has lost."""
    spaced = " ".join(text.split())
    if len(spaced) > LONGEST:
        return Corrected(spaced)
    number = _number(spaced)
    digits = "".join(filter(_DIGITS.__contains__, number))
    is_restored = False
    if len(digits) == _NATIONAL and number[0] in "123456789":
        # In groups of three it is a number's display, not a telephone's.
        number, is_restored = f"0{digits if _IN_THREES.fullmatch(number) else number}", True
    elif len(digits) == _INTERNATIONAL and digits.startswith("33") and digits[2] != "0":
        number = number if number.startswith("+") else f"+{number}"
    number = _shortened(number)
    if number == spaced or not has_form("phone", number):
        within = None if has_form("phone", spaced) else _FRENCH_NUMBER.search(spaced)
        if within is None or _OF_SOMETHING_ELSE.search(_around(within)):
            return Corrected(spaced)
        return Corrected(_shortened(within[0]), is_corrected=True)
    return Corrected(number, not is_restored, is_restored)


def _around(number: re.Match[str]) -> str:
    """The words before a number, and those behind it up to one that names a number of its own."""
    return number.string[: number.start()] + _OWN_NUMBER.sub("", number.string[number.end() :])


_MOST_SIGNS = 20
_TRUNK_ZERO = re.compile(r" ?\(0\) ?")


def _shortened(number: str) -> str:
    """+33 4 78 00 00 00 of +33 (0) 4 78 00 00 00, which the site's column has no room for."""
    if len(number) <= _MOST_SIGNS:
        return number
    if number.startswith(("+", "00")):
        number = _TRUNK_ZERO.sub(" ", number)
    bare = "".join(_BETWEEN.split(number))
    return bare if len(number) > _MOST_SIGNS and len(bare) <= _MOST_DIGITS else number


_BETWEEN = re.compile(r"[ ./-]+")
_MOST_DIGITS = 15  # E.164, and the sign

# A number among words, or before another one: 04 78 00 00 00 poste 12.
_FRENCH_NUMBER = re.compile(
    r"(?<![0-9+.,])(?:0|(?:\+|00)33 ?(?:\(0\) ?)?)[1-9](?:[ ./-]?[0-9]{2}){4}(?![0-9]|[.,/-][0-9])"
)
_OWN_NUMBER = re.compile(
    r"(?<![^\w(])[^\w(]*(?:t[ée]l[ée])?(?:fax|copie)[ .:]{0,3}(?=[+(0])[0-9 ().+/-]*$",
    re.IGNORECASE,
)
_OF_SOMETHING_ELSE = re.compile(r"fax|t[ée]l[ée]cop|sire[nt]|rcs|€|ancien|faux", re.IGNORECASE)


def _number(spaced: str) -> str:
    number = plain(spaced).strip("'\" \t")
    number = _LABEL.sub("", number, count=1) if _LABEL.match(number) else number
    number = " ".join(_COUNTRY.sub(r"\1 ", number).split())
    parts = [part.strip() for part in _SEVERAL.split(number)]
    if len(parts) > 1 and all(
        len(_DIGITS_ONLY.sub("", part)) >= _NATIONAL for part in parts if part
    ):
        number = next(filter(None, parts), number)
    number = number.strip(" .,;:/-")
    found = ungrouped(number) or whole(number)
    return found if is_digits(found) and len(found) >= _NATIONAL else number


_IN_THREES = re.compile(r"[0-9]{3}[ .][0-9]{3}[ .][0-9]{3}")
_DIGITS_ONLY = re.compile(r"[^0-9]+")

_ODD_IN_EMAIL = (*"<>;,()[]\"':|/\\?`#& ", ".\n", "\n.")
_QUOTES = frozenset("'’`")
_AT = re.compile(r"[(\[{] ?(?:at|a|arobase|arobas|chez|@) ?[)\]}]", re.IGNORECASE)
_BESIDE_EMAIL = re.compile(
    r"[;,|/:<>()\[\]\"“”«»?\\#]+| (?:ou|et|or|and|-) |^(?:e-?)?mails? +", re.IGNORECASE
)


def emails(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of e-mail addresses."""
    given = list(filter(None, texts))
    joined = "\n".join(("", *given, ""))
    usual = joined.isascii() and joined.count("\n") == len(given) + 1
    if usual and not any(map(joined.__contains__, _ODD_IN_EMAIL)):
        return Values(texts)
    return correct(texts, range(len(texts)), email)


def email(text: str) -> Corrected:
    """The address of a cell, the first if it holds several, without a name or mailto: beside it."""
    if len(text) > LONGEST or (has_form("email", text) and _QUOTES.isdisjoint((text[0], text[-1]))):
        return Corrected(text)
    spelled = _AT.sub("@", plain(unescape(text)))
    spelled = "@".join(part.strip() for part in spelled.split("@"))
    for piece in _BESIDE_EMAIL.split(spelled):
        addresses = [address.strip(".'`-") for address in piece.split()]
        # Of "jean dupont@b.fr" nobody knows where the address begins.
        if addresses and all(has_form("email", address) for address in addresses):
            return Corrected(addresses[0], is_corrected=addresses[0] != text)
    return Corrected(text)


_HOST = re.compile(r"(?:[\w-]+\.)+[^\W\d_][\w-]*(?:[:/?#]\S*)?")
_SCHEMES = re.compile(r"(?:https?(?::/*|/+))+|//", re.IGNORECASE)
_BESIDE_URL = re.compile(r"[\s|<>\"“”«»]+|\]\(|[;,](?=\s|https?:|www\.|$)", re.IGNORECASE)
_DIVIDED_HOST = re.compile(r"\b(www\.) +(?=[\w-]+\.\w)", re.IGNORECASE)
_ODD_IN_URL = ";,|<>\" '“”«»()"
_ODD_ENDS_OF_URL = (".\n", ":\n", "!\n", "#\n")
_ODD_SCHEME = re.compile(r"(https?) ?: ?[/\\]{1,3} *", re.IGNORECASE)
# Access exports a link as its text, its address and its place: exemple.fr#http://exemple.fr#
_LINK_OF_ACCESS = re.compile(r"[^#]*#([^#]+)#[^#]*")


def urls(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of web addresses; one without a scheme gets https."""
    values, joined = texts, _lines(texts)
    given = joined.count("\n") - 1
    if joined.count("\nhttps://") + joined.count("\nhttp://") < given:
        values = [text and _with_scheme(text) for text in texts]
        joined = _lines(values)
    if (
        given == joined.count("\nhttps://") + joined.count("\nhttp://") == joined.count("://")
        and not any(map(joined.__contains__, _ODD_IN_URL))
        and not any(map(joined.__contains__, _ODD_ENDS_OF_URL))
    ):
        return Values(values)
    return correct(values, range(len(texts)), url)


def _lines(texts: Texts) -> str:
    return "\n".join(("", *filter(None, texts), ""))


def _with_scheme(text: str) -> str:
    return (
        text
        if text.startswith(("http://", "https://")) or not _HOST.fullmatch(text)
        else f"https://{text}"
    )


def url(text: str) -> Corrected:
    """The web address of a cell, the first if it holds several."""
    if len(text) > LONGEST * 10 or (has_form("url", text) and not _is_beside_others(text)):
        return Corrected(text)
    link = _LINK_OF_ACCESS.fullmatch(text)
    spelled = plain(link[1] if link else text)
    if scheme := _ODD_SCHEME.match(spelled):
        spelled = f"{scheme[1]}://{spelled[scheme.end() :]}"
    for piece in _BESIDE_URL.split(_DIVIDED_HOST.sub(r"\1", spelled)):
        address = _address(piece.strip(".,;:!'()[]"))
        if address is not None:
            return Corrected(address, is_corrected=address != text)
        if _SCHEMES.match(piece):
            break  # it goes on behind a blank: the rest is not another address
    return Corrected(text)


def domains(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of domain names, in lower case; the one of a web address is taken from it."""
    return correct(texts, range(len(texts)), _domain)


def _domain(text: str) -> Corrected:
    if has_form("domain", text):
        return Corrected(text.lower())
    host = _SCHEMES.sub("", url(text).value, count=1).partition("/")[0].partition(":")[0].lower()
    return Corrected(host, is_corrected=True) if has_form("domain", host) else Corrected(text)


def _is_beside_others(text: str) -> bool:
    """Whether the cell holds more than the address: another text, a sign after it, or a second scheme."""
    schemes = _SCHEMES.match(text)
    return (
        text[-1] in ".,;:!'#"
        or _BESIDE_URL.search(text) is not None
        or (schemes is not None and schemes[0].count(":") > 1)
    )


def _address(piece: str) -> str | None:
    """The address that a piece of a cell is, with one scheme."""
    schemes = _SCHEMES.match(piece)
    host = piece[schemes.end() :] if schemes else piece
    for end in (";", ","):
        before = host.partition(end)[0]
        host = before if "/" not in before else host
    host = host.lstrip("/")
    if not _HOST.fullmatch(host):
        return None
    last = schemes[0].casefold() if schemes else ""
    scheme = (
        "http://"
        if "http" in last and not last.rpartition("http")[2].startswith("s")
        else "https://"
    )
    return f"{scheme}{host}" if has_form("url", scheme + host) else None
