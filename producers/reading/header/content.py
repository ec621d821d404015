"""What the cells of a column are, whatever its header says. They are judged by a sample."""

import csv
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from schemas.rules import has_form
from schemas.values.check_digits import unchecked
from schemas.values.field import Kind
from schemas.values.naf import CODE, codes
from schemas.values.slugs import slugify

Test = Callable[[str], bool]

_BETWEEN_DIGITS = re.compile(r"[\s.\u00a0\u202f-]")


def _number(length: int) -> Test:
    def is_number(text: str) -> bool:
        digits = _BETWEEN_DIGITS.sub("", text)
        if len(digits) != length or not (digits.isascii() and digits.isdigit()):
            return False
        return digits.strip("0") != "" and not unchecked([digits], length)

    return is_number


def _is_activity(text: str) -> bool:
    code = text.strip().upper().replace(".", "")
    return CODE.fullmatch(code) is not None and f"{code[:2]}.{code[2:]}" in codes()


class Communes(NamedTuple):
    """`names` are slugs, with st and ste for saint and sainte."""

    codes: frozenset[str]
    names: frozenset[str]


@cache
def communes() -> Communes:
    """Postal codes and communes. Source: La Poste, base officielle des codes postaux (Licence Ouverte)."""
    text = resources.files("schemas").joinpath("reference", "communes.csv")
    rows = list(csv.reader(text.read_text(encoding="utf-8").splitlines()))[1:]
    names = frozenset(name for _, some in rows for name in some.split())
    return Communes(frozenset(code for code, _ in rows), names)


def _is_postal_code(text: str) -> bool:
    return text.isascii() and text.isdigit() and text.zfill(5) in communes().codes


_SAINT = re.compile(r"\bsaint(e?)\b")
_AFTER_TOWN = re.compile(r"-(?:cedex(?:-[0-9]+)?|[0-9]{1,2}(?:e|er|eme)?)$")


def _is_commune(text: str) -> bool:
    slug = _SAINT.sub(r"st\1", slugify(text))
    return _AFTER_TOWN.sub("", _AFTER_TOWN.sub("", slug)) in communes().names


_PHONE = re.compile(r"(?:(?:\+|00) ?33[ .]?(?:\(0\))?[ .]?|0)[1-9](?:[ .-]?[0-9]{2}){4}")
_HOST = re.compile(
    r"(?:https?://)?((?:[\w-]+\.)+[a-z]{2,})(?::[0-9]+)?(?:[/?#]\S*)?", re.IGNORECASE
)
_PICTURE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|ico|pdf)(?:\?|$)", re.IGNORECASE)
_DIRECTORIES = [
    "facebook.com",
    "instagram.com",
    "linkedin.com",
    "twitter.com",
    "x.com",
    "youtube.com",
    "tiktok.com",
    "google.com",
    "google.fr",
    "goo.gl",
    "pagesjaunes.fr",
    "societe.com",
    "pappers.fr",
    "infogreffe.fr",
    "tripadvisor.fr",
    "yelp.fr",
    "annuaire-entreprises.data.gouv.fr",
    "data.gouv.fr",
]


def _host(text: str) -> str | None:
    """The host of an address of a website of one's own; None if the text is something else."""
    found = _HOST.fullmatch(text)
    if found is None or _PICTURE.search(text):
        return None
    host = found[1].lower().removeprefix("www.")
    own = not any(host == other or host.endswith(f".{other}") for other in _DIRECTORIES)
    return host if own else None


def _is_coordinate(most: float) -> Test:
    def is_coordinate(text: str) -> bool:
        number = re.fullmatch(r"-?[0-9]{1,3}[.,][0-9]+", text)
        return number is not None and abs(float(text.replace(",", "."))) <= most

    return is_coordinate


_TESTS: dict[Kind, Test] = {
    "siret": _number(14),
    "siren": _number(9),
    "naf": _is_activity,
    "email": lambda text: has_form("email", text),
    "url": lambda text: _host(text) is not None,
    "phone": lambda text: _PHONE.fullmatch(text) is not None,
    "postal_code": _is_postal_code,
    "departement": lambda text: has_form("departement", text.zfill(2)),
    "latitude": _is_coordinate(90.0),
    "longitude": _is_coordinate(180.0),
}

_SIGNS: dict[Kind, re.Pattern[str]] = {
    "naf": re.compile(r"[0-9]{2}[., ]?[0-9]{2} ?[A-Z]", re.IGNORECASE),
    "email": re.compile("@"),
    "url": re.compile(r"\w\.\w"),
    "departement": re.compile(r"[0-9]|\b2[AB]\b"),
    **dict.fromkeys(("siren", "siret", "postal_code", "phone"), re.compile("[0-9]")),
}
_DOUBTFUL = 3


def is_not(kind: Kind, cells: Sequence[str]) -> bool:
    """Whether nothing in a column even looks like the kind, with cells enough to say so."""
    given = [text for cell in cells if (text := cell.strip())]
    sign = _SIGNS.get(kind)
    return sign is not None and len(given) >= _DOUBTFUL and not any(map(sign.search, given))


BY_CONTENT: tuple[Kind, ...] = ("siret", "siren", "naf", "email", "url", "phone", "postal_code")
"""Kinds that a column can be recognised by without its header, the least doubtful first."""


class Given(NamedTuple):
    """How many of the cells of a sample are filled, and the share of these that are of a kind."""

    filled: int
    share: float


def of_kind(kind: Kind, cells: Sequence[str]) -> Given:
    """How much of a column is of the kind."""
    given = [text for cell in cells if (text := cell.strip())]
    if not given or kind not in _TESTS:
        return Given(len(given), 0.0)
    if kind == "url":
        return Given(len(given), len({*map(_host, given)} - {None}) / len(given))
    if kind == "postal_code" and 2 * sum(text.endswith("000") for text in given) > len(given):
        return Given(len(given), 0.0)  # round numbers, such as a capital
    return Given(len(given), sum(map(_TESTS[kind], given)) / len(given))


def is_value(text: str) -> bool:
    """Whether what should be a header is a value itself: the table has no header then."""
    # "titulaire.id" is a member of an object.
    kinds = [kind for kind in BY_CONTENT if kind != "url" or _ADDRESS.search(text)]
    return any(_TESTS[kind](text.strip()) for kind in kinds)


_ADDRESS = re.compile(
    r"://|^www\.|\.(?:fr|com|net|org|eu|io|info|be|ch|bzh|re|paris)\b", re.IGNORECASE
)


def of_communes(cells: Sequence[str]) -> Given:
    """How much of a column is names of communes. Some first names and surnames are such names too."""
    given = [text for cell in cells if (text := cell.strip())]
    return Given(len(given), sum(map(_is_commune, given)) / len(given) if given else 0.0)
