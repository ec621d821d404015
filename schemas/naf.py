"""The 732 activities of the French nomenclature NAF rev. 2: their labels by code.

Source: INSEE, nomenclature d'activités française, révision 2 (Licence Ouverte).
"""

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources


@cache
def labels() -> Mapping[str, str]:
    """Labels by code, as in 62.01Z."""
    text = resources.files("schemas").joinpath("naf_rev2.csv").read_text(encoding="utf-8")
    return {row["code"]: row["libelle"] for row in csv.DictReader(text.splitlines())}
