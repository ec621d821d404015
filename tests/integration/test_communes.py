"""Companies whose postal code is not disclosed, and the cities of their communes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from processors.rows.derived.public_pages import resolve_some
from processors.rows.merge.targets import TARGETS
from schemas.import_types import VILLE
from tests.integration.test_row_writer import Partition, database, line, opened
from tests.integration.test_sirene import MASKED_SEAT, put, seat, unit

__all__ = ["database"]  # fixtures

TRADES = """
INSERT INTO ingest.naf VALUES ('62.02A', 'Conseil', 'conseil');
INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
VALUES (gen_random_uuid(), now(), now(), 'A', 'a');
INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug)
SELECT gen_random_uuid(), now(), now(), id, 'Conseil', 'conseil' FROM category_categorie
"""
PAGES = (
    "SELECT v.slug FROM enterprise_prolocalisation p JOIN location_ville v ON v.id = p.ville_id"
    " WHERE p.is_active"
)


@pytest.fixture
async def log(database: str) -> AsyncIterator[Partition]:
    """A partition of companies, on a site with a trade and no city."""
    async with opened(database) as found:
        await found.execute(TRADES)
        yield found


@pytest.fixture
async def cities(log: Partition) -> Partition:
    """A partition of cities beside it."""
    found = Partition(log.pool, TARGETS[VILLE.name], topic="fox.rows.cities")
    await found.begin()
    return found


async def bring(cities: Partition, *rows: dict[str, Any], policy: str = "merge") -> None:
    """Writes cities, each in a batch of its own."""
    for row in rows:
        number = len(cities.records) + 1
        cities.append(row | line(number, policy=policy))
        await cities.write(cities.batch(number - 1))


def city(nom: str, code_postal: str, code: str | None = None) -> dict[str, Any]:
    return {"nom": nom, "code_postal_principal": code_postal, "code_insee": code}


async def masked(log: Partition, commune: str | None, nom: str = "RENNES") -> None:
    """A legal person with status P, whose head office is in a commune."""
    place = {**MASKED_SEAT, "code_commune": commune, "ville_nom": nom}
    await put(log, unit(statut_diffusion="P"), seat(**place))


RENNES = [city("Rennes", "35700", "35238"), city("Rennes", "35000", "35238")]
BY_ARRONDISSEMENT = [
    city("Paris 8", "75008", "75108"),
    city("Lyon 3", "69003", "69383"),
    city("Marseille 16", "13016", "13216"),
]
WHOLE = [
    *(city("Paris", code, "75056") for code in ("75001", "75008")),
    *(city("Lyon", code, "69123") for code in ("69001", "69003")),
    *(city("Marseille", code, "13055") for code in ("13001", "13016")),
]
CASES = [
    ("35238", RENNES, "rennes-35000"),
    ("01004", [city("Ambérieu-en-Bugey", "01500", "01004")], "amberieu-en-bugey-01500"),
    ("2A004", [city("Ajaccio", "20000", "2A004")], "ajaccio-20000"),
    ("35238", [city("Rennes", "35000"), city("Nantes", "44000", "44109")], None),
    (None, RENNES, None),
    *(
        (code, list_of_cities, slug)
        for code, of_part, of_whole in [
            ("75108", "paris-8-75008", "paris-75008"),
            ("69383", "lyon-3-69003", "lyon-69003"),
            ("13216", "marseille-16-13016", "marseille-13016"),
        ]
        for list_of_cities, slug in [
            (BY_ARRONDISSEMENT, of_part),
            (WHOLE, of_whole),
            ([*WHOLE, *BY_ARRONDISSEMENT], of_part),
        ]
    ),
    # The arrondissement is not known: any of them would be a guess.
    ("75056", BY_ARRONDISSEMENT, None),
]


async def arrive(
    log: Partition,
    cities: Partition,
    company: Callable[[], Awaitable[object]],
    rows: list[dict[str, Any]],
    first: str,
) -> None:
    """Brings the company and the cities in either order: a company that comes first waits for its city."""
    if first == "cities":
        await bring(cities, *rows)
        await company()
        return
    await company()
    assert await log.query("SELECT reason FROM ingest.unresolved_pages") == [("ville",)]
    await bring(cities, *rows)
    await log.execute("UPDATE ingest.pages_due SET at = at - interval '1 hour'")
    while await resolve_some(log.pool):
        pass


@pytest.mark.parametrize("first", ["cities", "company"])
@pytest.mark.parametrize(("commune", "rows", "slug"), CASES)
async def test_the_city_of_a_commune(
    log: Partition,
    cities: Partition,
    commune: str | None,
    rows: list[dict[str, Any]],
    slug: str | None,
    first: str,
) -> None:
    """It is found by INSEE's code, whichever is there first; a company without one waits."""
    company = partial(masked, log, commune)

    await arrive(log, cities, company, rows, first)

    assert await log.query(PAGES) == ([(slug,)] if slug else [])
    waiting = await log.query("SELECT reason, code_commune FROM ingest.unresolved_pages")
    assert waiting == ([] if slug else [("ville", commune)])


async def test_a_postal_code_goes_before_the_commune(log: Partition, cities: Partition) -> None:
    """A company that has one and whose city is not known waits."""
    await bring(cities, city("Rennes", "35000", "35238"))

    await put(log, unit(), seat(code_postal="35200"))

    assert await log.query(PAGES) == []


PLACES = [
    # A CEDEX with its commune, with a label of its own or without.
    (("35042", "RENNES", "35238"), RENNES, "rennes-35000"),
    (("35042", "RENNES CEDEX 7", "35238"), RENNES, "rennes-35000"),
    (("35040", "RENNES CEDEX", "35238"), RENNES, "rennes-35000"),
    (("92974", "PARIS LA DEFENSE CEDEX", "92026"), [city("Courbevoie", "92400", "92026")], "courbevoie-92400"),
    (("75270", "PARIS 6", "75106"), WHOLE, "paris-75001"),
    (("75383", "PARIS CEDEX 08", "75108"), BY_ARRONDISSEMENT, "paris-8-75008"),
    # Without one: the city of this name in the département.
    (("35042", "Rennes Cedex 7", None), RENNES, "rennes-35000"),
    (("20186", "AJACCIO CEDEX 2", None), [city("Ajaccio", "20000", "2A004")], "ajaccio-20000"),
    (("35042", "RENNES", None), RENNES, None),
    (("35042", "RENNES CEDEX", None), [city("Rennes", "44000")], None),
    (("35042", "CEDEX", None), RENNES, None),
    # The commune is that of the line before: the company is elsewhere now.
    (("35307", "FOUGERES", "35238"), RENNES, None),
    (("29101", "QUIMPER CEDEX", "35238"), RENNES, None),
    # A postal code of a city that is not known yet.
    (("35200", "RENNES", "35238"), RENNES, None),
]  # fmt: skip


@pytest.mark.parametrize("first", ["cities", "company"])
@pytest.mark.parametrize(("values", "rows", "slug"), PLACES)
async def test_the_city_of_a_cedex(
    log: Partition,
    cities: Partition,
    values: tuple[str | None, ...],
    rows: list[dict[str, Any]],
    slug: str | None,
    first: str,
) -> None:
    """Its commune decides, without one the name in the département; whichever is there first."""
    place = dict(zip(("code_postal", "ville_nom", "code_commune"), values, strict=True))
    company = partial(put, log, unit(), seat(**place))

    await arrive(log, cities, company, rows, first)

    assert await log.query(PAGES) == ([(slug,)] if slug else [])


CODES = "SELECT slug, code FROM ingest.communes ORDER BY slug"


@pytest.mark.parametrize(
    ("policy", "given", "expected", "outcome"),
    [
        ("merge", "35239", "35239", "u"),
        ("merge", None, "35238", "="),
        ("overwrite", None, None, "u"),
        ("fill_missing", "35239", "35238", "="),
        ("insert_only", "35239", "35238", "="),
    ],
)
async def test_policies(
    cities: Partition, policy: str, given: str | None, expected: str | None, outcome: str
) -> None:
    """They hold for the code as for the columns of the site."""
    await bring(cities, city("Rennes", "35000", "35238"))

    await bring(cities, city("Rennes", "35000", given), policy=policy)

    assert await cities.query(CODES) == [("rennes-35000", expected)]
    assert await cities.stored("ingest_outcome::text") == [(outcome,)]


async def test_a_city_that_gets_its_code_later(cities: Partition) -> None:
    """The list is imported again with the column, and the site's table needs none."""
    await bring(cities, city("Rennes", "35000"))
    assert await cities.query(CODES) == []

    await bring(cities, city("Rennes", "35000", "35238"), policy="fill_missing")

    assert await cities.query(CODES) == [("rennes-35000", "35238")]
