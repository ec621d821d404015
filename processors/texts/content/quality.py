"""Whether a text may stand on the site: French sentences, no leftovers, nothing that says nothing.

The rules of the earlier system without what they refused by mistake: the dots of `S.A.R.L.`, `12.5`
and `www.x.fr` end no sentence, and `méthodologie` holds no `todo`.
"""

import re
from collections import Counter
from dataclasses import dataclass

VERSION = "1"

_HTML = re.compile(r"</?[a-zA-Z][^<>]*>")
_JSON = re.compile(r'^\s*[\[{]|[\[{]\s*"[^"]*"\s*[:,\]]')
_LEFTOVER = re.compile(
    r"\b(?:lorem ipsum|todo|tbd|xxx+|[àa] compl[ée]ter|ins[ée]rer ici)\b", re.IGNORECASE
)
_NOTHING = (
    "aucune information",
    "pas d'information",
    "pas d’information",
    "informations insuffisantes",
    "information non disponible",
    "informations non disponibles",
    "donnée non disponible",
    "données non disponibles",
    "données insuffisantes",
    "aucune donnée",
    "aucun avis",
    "pas d'avis disponible",
    "non renseigné",
    "je ne peux pas",
    "je ne dispose pas",
    "en tant que modèle",
    "en tant qu'ia",
    "n/a",
)
# A sentence ends where a mark is followed by white space and a capital, or by nothing; a dot does
# not after a single letter or a known abbreviation.
_END = re.compile(r"(?<![.!?…])[.!?…]+[»\"’)]*(?=\s+[«\"(]?[A-ZÀÂÄÉÈÊËÎÏÔÖÙÛÜÇŒÆ0-9]|\s*$)")
_ABBREVIATION = re.compile(
    r"(?:\b[A-Za-zÀ-ÿ]|\b(?:M|MM|Mme|Mlle|Dr|Me|St|Ste|av|bd|env|etc|ex|no|tél|cf|art))\.$"
)
_WORD = re.compile(r"[a-zà-ÿœæ]+(?:['’-][a-zà-ÿœæ]+)*", re.IGNORECASE)

GENERIC = frozenset(
    [
        "entreprise",
        "entreprises",
        "professionnel",
        "professionnels",
        "service",
        "services",
        "qualité",
        "client",
        "clients",
        "équipe",
        "travail",
        "excellent",
        "excellente",
        "satisfait",
        "satisfaction",
        "recommande",
    ]
)
_STOP = frozenset(
    [
        "dans",
        "avec",
        "pour",
        "vous",
        "votre",
        "vos",
        "leur",
        "leurs",
        "nous",
        "plus",
        "sont",
        "cette",
        "elle",
        "elles",
        "mais",
        "comme",
        "sans",
        "sous",
        "être",
        "ainsi",
        "tout",
        "tous",
        "toute",
        "toutes",
    ]
)
_LONG = 4
_MOST_COMMON = 0.3
_SPECIFIC = 0.4


@dataclass(frozen=True)
class Bounds:
    """Of one text: sentences, and how many words of four letters or more it has at least."""

    sentences: int
    words: int = 5


def sentences(text: str) -> int:
    """How many sentences end in a text."""
    return sum(
        1 for end in _END.finditer(text) if not _is_abbreviation(text, end.start(), end.end())
    )


def _is_abbreviation(text: str, start: int, end: int) -> bool:
    return bool(text[end:].strip()) and bool(_ABBREVIATION.search(text[: start + 1]))


def problems(text: str, bounds: Bounds) -> list[str]:
    """What is wrong with a text, in French: the model is told, and so is whoever reads why."""
    found = _leftovers(text)
    if not text[:1].isupper() and not text[:1].isdigit() and text[:1] not in '«"':
        found.append("le texte ne commence pas par une majuscule")
    if not text.rstrip('»"’) ').endswith((".", "!", "?", "…")):
        found.append("le texte ne finit pas par un point")
    if (count := sentences(text)) > bounds.sentences:
        found.append(f"{count} phrases : {bounds.sentences} au plus")
    return found + _poor(text, bounds.words)


def _leftovers(text: str) -> list[str]:
    found = []
    if _JSON.search(text):
        found.append("le texte contient du JSON")
    if _HTML.search(text):
        found.append("le texte contient une balise HTML")
    if left := _LEFTOVER.search(text):
        found.append(f"le texte contient « {left[0]} »")
    lower = text.lower()
    found += [f"le texte dit « {phrase} »" for phrase in _NOTHING if phrase in lower]
    return found


def _poor(text: str, least: int) -> list[str]:
    words = [word.lower() for word in _WORD.findall(text)]
    long = [word for word in words if len(word) >= _LONG]
    found = []
    if len(long) < least:
        found.append(f"le texte a moins de {least} mots de quatre lettres")
    elif sum(word not in GENERIC for word in long) < _SPECIFIC * len(long):
        found.append("le texte est trop général")
    common = Counter(word for word in long if word not in _STOP).most_common(1)
    if common and len(words) >= least and common[0][1] > max(2, _MOST_COMMON * len(words)):
        found.append(f"le mot « {common[0][0]} » revient trop souvent")
    return found
