"""The activities of the French nomenclatures NAF rev. 2 (732) and NAF 2025 (747), and their categories.

Source: INSEE, nomenclature d'activités française, révision 2 and NAF 2025, and the table of their
correspondence (Licence Ouverte 2.0); the categories are those of the site.
"""

import csv
import re
from collections.abc import Set
from functools import cache
from importlib import resources
from typing import Literal

CODE = re.compile(r"[0-9]{2}\.?[0-9]{2}[A-Za-z]")
"""An activity; sections, divisions, groups and classes have shorter codes."""

Nomenclature = Literal["rev2", "2025"]

# No code is in both.
_NOMENCLATURES: dict[str, Nomenclature] = {
    **dict.fromkeys("ZABCDEF", "rev2"),
    **dict.fromkeys("YGHJKL", "2025"),
}


def nomenclature(code: str) -> Nomenclature | None:
    """The nomenclature of a code, by its last letter; None for a letter that neither of them uses."""
    return _NOMENCLATURES.get(code[-1:])


@cache
def codes() -> Set[str]:
    """The codes of both nomenclatures, as in 62.01Z and 62.10Y."""
    return {code for file in ("naf.csv", "naf2025.csv") for code in _codes(file)}


def _codes(file: str) -> list[str]:
    text = resources.files("schemas").joinpath("reference", file).read_text(encoding="utf-8")
    return [row["naf_code"] for row in csv.DictReader(text.splitlines())]


# By the last division that each has, the first following from the one before. The divisions of NAF
# 2025 are those of rev. 2 without 45; only the letters of sections differ, and section J is two.
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
