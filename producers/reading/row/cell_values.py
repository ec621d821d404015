"""The cells of a column to the values of a field, by its kind.

Functions take a column of up to a thousand cells: most columns need nothing but a check in C that
nothing is to be done, and calls per cell would cost more than all the rest of an import.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from producers.reading.row.codes import (
    activities,
    communes,
    departements,
    lists_of_postal_codes,
    postal_codes_of,
)
from producers.reading.row.column_values import Memo, Texts, Values
from producers.reading.row.contacts import domains, emails, phones, urls
from producers.reading.row.coordinates import latitudes, longitudes
from producers.reading.row.numbers import MALFORMED, codes_of, integers, readable, whole
from producers.reading.text.encoding.escapes import SIGNS, without_entities, written_out
from schemas.values.field import Kind
from schemas.values.slugs import slugify


def _decoded(texts: Texts, joined: str) -> tuple[Texts, Sequence[int]]:
    """The texts with the letters that codes stand for, and the rows of those that are not entities."""
    if "&" in joined:
        texts = [text and (without_entities(text).strip() or None) for text in texts]
    if not any(map(joined.__contains__, SIGNS)):
        return texts, ()
    found = [text and (written_out(text) or None) for text in texts]
    return found, [row for row, text in enumerate(found) if text != texts[row]]


# Of a cell that holds no text a person sees what its format shows: mars-12 of a day, VRAI of a truth.
_FORMATTED = re.compile(
    r"-?[0-9]+\.[0-9]+|-?[0-9.]+e[+-][0-9]+|VRAI|FAUX|[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9]{2,}:[0-9:.]+"
)
_ZEROS = frozenset({"0", "00", "000", "0.0", "0,0", "0.00", "0,00"})


def _text(texts: Texts, numeric: Sequence[int]) -> Values:
    """A column of texts; the 0 that a reference to an empty cell comes to is none."""
    joined = "".join(filter(None, texts))
    decoded, corrected = _decoded(texts, joined)
    if numeric:
        formatted = (row for row in numeric if _FORMATTED.fullmatch(texts[row] or ""))
        corrected = [*corrected, *formatted]
    damaged = _damaged(decoded) if "?" in joined else ()
    if _ZEROS.isdisjoint(decoded):
        return Values(decoded, corrected=corrected, damaged=damaged)
    zeros = [row for row, text in enumerate(decoded) if text in _ZEROS]
    values = [None if text in _ZEROS else text for text in decoded]
    return Values(values, malformed=zeros, corrected=corrected, damaged=damaged)


# A program that writes an encoding without accents puts a question mark for them: Besan?on, ?vreux.
_LOST_LETTER = re.compile(r"[^\W\d_]\?[^\W\d_]|(?<![^\s(-])\?[a-zà-ÿ]")


def _damaged(texts: Texts) -> Sequence[int]:
    """The rows of texts that have lost a letter; addresses of the web have question marks of their own."""
    return [
        row
        for row, text in enumerate(texts)
        if text and "://" not in text and "=" not in text and _LOST_LETTER.search(text)
    ]


_UNEVEN = ("  ", *filter(str.isspace, map(chr, range(0x3001))))
_UNEVEN_ASCII = tuple(run for run in _UNEVEN if run.isascii() and run != " ")
_UNEVEN_OTHER = tuple(run for run in _UNEVEN if not run.isascii())


def _name(texts: Texts, numeric: Sequence[int]) -> Values:
    found = _text(texts, numeric)
    joined = "".join(filter(None, found.values))
    uneven = any(map(joined.__contains__, _UNEVEN_ASCII))
    if not uneven and not joined.isascii():
        uneven = any(map(joined.__contains__, _UNEVEN_OTHER))
    if uneven:
        return found._replace(values=[text and " ".join(text.split()) for text in found.values])
    return found


# INSEE writes A for a company that is active, C for one that has ceased, F for an establishment that is
# closed. Spreadsheets show TRUE and FALSE in their language.
_TRUE = (
    "true t 1 oui o yes y vrai v x a actif active activé activée ouvert ouverte en_activité ✓ ✔ ☑ on "
    "wahr ja verdadero sí si vero waar verdadeiro sim"
)
_FALSE = (
    "false 0 non n no faux c f inactif inactive désactivé désactivée fermé fermée cessé cessée radié "
    "radiée cessation_d'activité ✗ ✘ ☐ off falsch nein falso onwaar nee não nao"
)
_WORDS = {
    spelled: value
    for words, value in ((_TRUE, True), (_FALSE, False))
    for word in (one.replace("_", " ") for one in words.split(" "))
    for spelled in (word, slugify(word), slugify(word).replace("-", " "))
    if spelled
}


def truth(text: str) -> object:
    """True or False as operators and INSEE write it; another object if the text is neither."""
    return _WORDS.get(whole(text or "").casefold(), MALFORMED)


def _memoised(compute: Callable[[str], Any]) -> Callable[[Texts, Sequence[int]], Values]:
    memo = Memo(compute)

    def recurring(texts: Texts, numeric: Sequence[int]) -> Values:
        return readable(list(map(memo.__getitem__, texts)))

    return recurring


# Since 2023 P stands for what N stood for before (décret 2022-1014).
_STATUSES = {"O": "O", "P": "P", "N": "P"}


def _disclosure(text: str) -> str:
    return _STATUSES.get(text.upper(), text)


_FRENCH_DATE = re.compile(r"\b([0-9]{2})/([0-9]{2})/([0-9]{4})\b")
_MIDNIGHT = re.compile(r" 0?0:00(?::00)?(?![0-9:.])")
_TIME = re.compile(r"(?<=[0-9]) ([0-9]{1,2})(?=:[0-9]{2})")


def _source_date(texts: Texts, numeric: Sequence[int]) -> Values:
    # Of "beginning treatment" the treatment sorts first.
    joined = "\n".join(filter(None, texts))
    if "/" in joined or _TIME.search(joined):
        texts = [text and _iso(text) for text in texts]
    elif " " not in joined:
        return Values(texts)
    return Values([text and " ".join(reversed(text.split())) for text in texts])


def _iso(text: str) -> str:
    """Dates as spreadsheets show and save them, 18/03/2026 or 2026-03-18 00:00:00, in the form that sorts."""
    text = _MIDNIGHT.sub("", _FRENCH_DATE.sub(r"\3-\2-\1", text))
    return _TIME.sub(lambda hour: f"T{hour[1]:0>2}", text)


# Of digits: how many, and how few may be left without the leading zeros, of which the smallest
# SIREN have three.
CONVERSIONS: dict[Kind, Callable[[Texts, Sequence[int]], Values]] = {
    "text": _text,
    "name": _name,
    "slugged": _name,
    "siren": codes_of(9, 6),
    "siret": codes_of(14, 11),
    "postal_code": postal_codes_of,
    "postal_codes": lists_of_postal_codes,
    "departement": departements,
    "naf": activities,
    "commune": communes,
    "legal_category": codes_of(4, 4),
    "disclosure": _memoised(_disclosure),
    "source_date": _source_date,
    "phone": phones,
    "email": emails,
    "url": urls,
    "domain": domains,
    "place_id": _text,
    "boolean": _memoised(truth),
    "integer": integers,
    "latitude": latitudes,
    "longitude": longitudes,
}
