import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.values.geography import departement_of, region_of
from schemas.values.natural_keys import ville_slug
from schemas.values.slugs import slugify


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("L Abergement Clemenciat-01400", "l-abergement-clemenciat-01400"),
        ("Saint-Étienne-du-Rouvray-76800", "saint-etienne-du-rouvray-76800"),
        ("L'Haÿ-les-Roses-94240", "lhay-les-roses-94240"),
        ("Œuilly-51480", "uilly-51480"),
        ("  A  --  B_c.d  ", "a-b_cd"),
        ("北京", ""),
        ("---", ""),
        ("", ""),
    ],
)
def test_slugs(text: str, slug: str) -> None:
    """A slug is what the site made of the same text."""
    assert slugify(text) == slug


@given(st.text())
def test_any_slug(text: str) -> None:
    """A slug is ASCII words between single dashes, and its own slug."""
    slug = slugify(text)

    assert re.fullmatch(r"([a-z0-9_]+(-[a-z0-9_]+)*)?", slug)
    assert slugify(slug) == slug


def test_city_slug() -> None:
    """A city's slug is of its name and its postal code, and there is none without both."""
    assert ville_slug("Paris 01", "75001") == "paris-01-75001"
    assert ville_slug("Paris 01", None) is None
    assert ville_slug(None, "75001") is None


@pytest.mark.parametrize(
    ("postal_code", "departement", "region"),
    [
        ("01400", "01", "Auvergne-Rhône-Alpes"),
        ("35000", "35", "Bretagne"),
        ("75116", "75", "Île-de-France"),
        ("20000", "2A", "Corse"),
        ("20137", "2A", "Corse"),
        ("20200", "2B", "Corse"),
        ("20620", "2B", "Corse"),
        ("97110", "971", "Guadeloupe"),
        ("97600", "976", "Mayotte"),
        ("97500", "975", "Saint-Pierre-et-Miquelon"),
        ("98000", "980", "Monaco"),
        ("98800", "988", "Nouvelle-Calédonie"),
        ("99999", "99", ""),
    ],
)
def test_geography(postal_code: str, departement: str, region: str) -> None:
    """A postal code tells the département, and that the region."""
    assert departement_of(postal_code) == departement
    assert region_of(departement) == region


def test_every_metropolitan_departement_has_a_region() -> None:
    """Each of the 96 metropolitan départements lies in one of the 13 metropolitan regions."""
    codes = [f"{number:02d}" for number in range(1, 96) if number != 20] + ["2A", "2B"]

    assert len({region_of(code) for code in codes}) == 13
    assert all(map(region_of, codes))


@given(st.integers(0, 99_999))
def test_any_postal_code(number: int) -> None:
    """Any five digits give a département that the database takes."""
    assert 2 <= len(departement_of(f"{number:05d}")) <= 3
