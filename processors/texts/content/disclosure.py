"""What of a row is sent to the provider: which kinds of texts, which fields, and reviews without names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from processors.errors import ConfigurationError
from processors.texts.content.prompts import Input
from processors.texts.content.redaction import redacted
from processors.texts.kinds import KINDS

FIELDS: Mapping[str, frozenset[str]] = {
    "CATEGORIE": frozenset({"description"}),
    "SOUS_CATEGORIE": frozenset({"categorie", "description", "mots_cles"}),
    "VILLE": frozenset({"code_postal", "departement", "region", "population"}),
    "PROLOCALISATION": frozenset(
        {"entreprise", "activite", "categorie", "ville", "code_postal", "departement", "region"}
    ),
    "AVIS": frozenset({"entreprise", "metier", "ville", "nombre_avis", "note", "date"}),
}
"""What can be left out, by kind. The rest is what the text is about."""

LONGEST_REVIEW = 1500
"""Characters of one review that are sent."""


@dataclass(frozen=True)
class Disclosure:
    """`left_out` has fields as KIND.field."""

    kinds: frozenset[str] = frozenset(KINDS)
    left_out: frozenset[str] = frozenset()

    def sent(self, kind: str, given: Input) -> Input:
        """What the model reads of an input."""
        kept = self._kept(kind, given)
        if "avis" not in kept:
            return kept
        authors = [str(review["auteur"] or "") for review in given["avis"]]
        return {**kept, "avis": [self._review(kind, review, authors) for review in kept["avis"]]}

    def _kept(self, kind: str, given: Input) -> dict[str, Any]:
        return {
            name: value for name, value in given.items() if f"{kind}.{name}" not in self.left_out
        }

    def _review(self, kind: str, review: Input, authors: list[str]) -> Input:
        kept = self._kept(kind, review)
        del kept["auteur"]
        # Cut afterwards: half a number or address would not be recognised.
        return {**kept, "texte": redacted(str(kept["texte"]), authors)[:LONGEST_REVIEW]}


EVERYTHING = Disclosure()
"""Of all kinds, and nothing left out."""


def disclosure(kinds: str, leave_out: str) -> Disclosure:
    """As the settings say, lists with commas. Raises ConfigurationError for what there is not."""
    chosen = frozenset(word.upper() for word in _words(kinds)) or frozenset(KINDS)
    if unknown := chosen - KINDS.keys():
        raise ConfigurationError(f"FOX_AI_KINDS: there is no kind {', '.join(sorted(unknown))}")
    left_out = set()
    for word in _words(leave_out):
        kind, _, field = word.partition(".")
        if field not in FIELDS.get(kind.upper(), ()):
            raise ConfigurationError(f"FOX_AI_LEAVE_OUT: {word} cannot be left out")
        left_out.add(f"{kind.upper()}.{field}")
    return Disclosure(chosen, frozenset(left_out))


def _words(text: str) -> list[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]
