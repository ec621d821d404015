"""Natural keys and Kafka keys of the import types."""

import pytest

from schemas.import_types import CATEGORIE, IMPORT_TYPES, SOUS_CATEGORIE, ImportType
from tests.unit.test_rules import violations_of


@pytest.mark.parametrize("nom", ["Café & Bar", "CAFE  BAR", "café bar"])
def test_a_category_is_its_slug(nom: str) -> None:
    """Every spelling of a name is one category."""
    assert CATEGORIE.key_of({"nom": nom}) == "cafe-bar"


def test_a_sub_category_lies_beside_its_category() -> None:
    """Two trades of a category have two natural keys, and the Kafka key of the category."""
    keys = [
        SOUS_CATEGORIE.key_of({"nom": nom, "categorie": "Café & Bar"})
        for nom in ("Autre", "Bar à vin")
    ]

    assert keys == ["cafe-bar/autre", "cafe-bar/bar-a-vin"]
    assert {SOUS_CATEGORIE.routing(key or "") for key in keys} == {"cafe-bar"}
    assert SOUS_CATEGORIE.parent is CATEGORIE


@pytest.mark.parametrize("import_type", IMPORT_TYPES.values(), ids=IMPORT_TYPES)
def test_keys_of_nothing(import_type: ImportType) -> None:
    """A row without its required fields has no key."""
    assert import_type.key_of(dict.fromkeys(import_type.field)) is None


@pytest.mark.parametrize("nom", ["北京", "…", "--", "ﬃ" * 41])
@pytest.mark.parametrize("field", ["nom", "categorie"])
def test_names_without_a_slug(field: str, nom: str) -> None:
    """A name of which no slug can be made that the site can hold rejects its row."""
    found = violations_of(
        SOUS_CATEGORIE, **{"nom": ["A", "A"], "categorie": ["B", "B"], field: [nom, "4"]}
    )

    assert [(problem.row, problem.field, problem.code, problem.fatal) for problem in found] == [
        (0, field, "malformed", True)
    ]
