"""What is taken out of reviews before they are sent: what names or reaches a person.

Each rule is one pattern, which takes time in proportion to the text. What no rule knows stays:
docs/enrichment.md says what that is.
"""

import re
import unicodedata
from collections.abc import Iterable

EMAIL, LINK, PHONE, NAME = "[adresse électronique]", "[lien]", "[téléphone]", "[nom]"

_TLD = "fr|com|net|org|eu|info|io|biz|bzh|be|ch|lu|pro|shop|site|FR|COM|NET|ORG"
_GAP = r"[^\w\[\]]{0,3}+"
"""What may stand between two digits of one number."""

_CAPITAL = r"[A-ZÀ-ÖØ-ÞŒŸ][\w'’\-]{0,40}+"
_OF = r"(?:(?:de|du|des|la|le|van|von|el|ben|da|dos)\s{1,2}|d['’]\s?){0,2}"
_SHORT_TITLE = r"(?i:mmes?|mlles?|mrs?|mm|dr|pr)\.?|[Mm]\."
_LONG_TITLE = (
    r"(?i:monsieur|madame|mademoiselle|messieurs|mesdames|mesdemoiselles|docteur|ma[iî]tre)|M|Me"
)
_NO_NAME = (
    "le|la|les|l|et|est|a|à|au|aux|qui|que|ne|n|se|s|ce|c|de|du|des|d|très|pour|avec|sur|dans|en|un|une|"
    "cette|chez|était|sont|nous|vous|il|elle|je|on|m|j|y|mais|ou|où|si|par|pas|plus|sa|son|ses"
)

RULES = (
    (
        EMAIL,
        re.compile(
            r"(?<![\w.+\-])[\w.+\-]{1,64}+"
            r"(?:@|\s?[(\[{]\s?(?i:at|arobase|@)\s?[)\]}]\s?|\s(?i:at|arobase|@)\s)"
            r"[\w\-]{1,63}+(?:\.[\w\-]{1,63}+){1,5}"
        ),
    ),
    (
        LINK,
        re.compile(
            r"(?i:https?://|www\.)[^\s<>\"]{1,2000}+"
            rf"|(?<![\w.\-])(?:[\w\-]{{1,63}}+\.){{1,5}}(?:{_TLD})(?!\w)(?:/[^\s<>\"]{{0,2000}}+)?"
            r"|@[\w.\-]{2,64}+"
        ),
    ),
    (
        PHONE,
        re.compile(
            rf"(?<!\d)(?:(?:\+|00){_GAP}33{_GAP}(?:0{_GAP})?|0{_GAP})[1-9](?:{_GAP}\d){{8}}(?!\d)"
            rf"|\+{_GAP}\d(?:{_GAP}\d){{7,14}}(?!\d)"
        ),
    ),
    (
        rf"\1{NAME}",
        re.compile(
            rf"\b((?:{_SHORT_TITLE}|{_LONG_TITLE})\s{{0,3}})(?<!\w)"
            rf"{_OF}{_CAPITAL}(?:\s{{1,2}}{_OF}{_CAPITAL}){{0,3}}"
        ),
    ),
    (
        rf"\1{NAME}",
        re.compile(
            rf"\b((?:{_SHORT_TITLE})\s{{1,3}})(?!(?:{_NO_NAME})(?!\w))[a-zà-öø-ÿœ][\w\-]{{1,40}}+"
        ),
    ),
)
"""The replacement and the pattern of each rule, in the order in which they are applied."""

_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_SEVERAL = re.compile(re.escape(NAME) + r"(?:\s+" + re.escape(NAME) + r")+")
_SHORTEST = 3
_NOBODY = frozenset(
    [
        "client",
        "cliente",
        "clients",
        "anonyme",
        "utilisateur",
        "utilisatrice",
        "google",
        "facebook",
        "avis",
        "internaute",
        "visiteur",
        "visiteuse",
        "acheteur",
        "acheteuse",
        "patient",
        "patiente",
        "monsieur",
        "madame",
        "mme",
        "mlle",
        "les",
        "une",
        "des",
        "pour",
    ]
)
"""Words that people enter instead of a name, or that may be part of an invented one."""


def redacted(text: str, authors: Iterable[str]) -> str:
    """The text without addresses, links, numbers, and names by title or of these authors."""
    for instead, pattern in RULES:
        text = pattern.sub(instead, text)
    return _without(text, [_words(author) for author in authors])


def _without(text: str, names: list[list[str]]) -> str:
    """Without words that these names have, if they begin with a capital, and whole names in any case."""
    parts = {part for name in names for part in name if len(part) >= _SHORTEST} - _NOBODY
    whole = {tuple(name) for name in names if len(name) > 1}
    lengths = sorted({len(name) for name in whole}, reverse=True)
    found = list(_WORD.finditer(text))
    folded = [_folded(word.group()) for word in found]
    hit = {at for at, word in enumerate(found) if folded[at] in parts and word.group()[0].isupper()}
    for at in range(len(folded)):
        for length in lengths:
            if tuple(folded[at : at + length]) in whole:
                hit.update(range(at, at + length))
    pieces, end = [], 0
    for at in sorted(hit):
        pieces += [text[end : found[at].start()], NAME]
        end = found[at].end()
    return _SEVERAL.sub(NAME, "".join([*pieces, text[end:]]))


def _words(text: str) -> list[str]:
    return [_folded(word) for word in _WORD.findall(text)]


def _folded(word: str) -> str:
    bare = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in bare if not unicodedata.combining(c)).replace("’", "'")
