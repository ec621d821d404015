"""The 732 activities of the French nomenclature NAF rev. 2, and the category that each belongs to.

Source: INSEE, nomenclature d'activités française, révision 2 (Licence Ouverte); the categories are
those of the site.
"""

import csv
import re
from collections.abc import Set
from functools import cache
from importlib import resources

CODE = re.compile(r"[0-9]{2}\.?[0-9]{2}[A-Za-z]")
"""An activity; sections, divisions, groups and classes have shorter codes."""


@cache
def codes() -> Set[str]:
    """The codes, as in 62.01Z."""
    text = resources.files("schemas").joinpath("reference/naf.csv").read_text(encoding="utf-8")
    return {row["naf_code"] for row in csv.DictReader(text.splitlines())}


# By the last division that each has, the first following from the one before.
_CATEGORIES = {
    3: "jardinage-et-paysage",
    33: "artisanat-et-production",
    39: "autres-activites",
    43: "batiment-et-construction",
    47: "commerce-et-distribution",
    53: "transports-et-logistique",
    56: "restauration-et-hotellerie",
    63: "informatique-et-communication",
    66: "finances-et-assurance",
    68: "immobilier",
    75: "services-professionnels",
    82: "services-aux-entreprises",
    84: "autres-activites",
    85: "enseignement-et-formation",
    88: "sante-et-bien-etre",
    93: "loisirs-et-culture",
    96: "services-a-la-personne",
    99: "autres-activites",
}


def category_of(code: str) -> str:
    """The slug of the category of an activity, by its division: the first two digits."""
    division = int(code[:2])
    return next(slug for last, slug in _CATEGORIES.items() if division <= last)
