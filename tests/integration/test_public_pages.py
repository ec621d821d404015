"""Public pages in PostgreSQL, without Kafka: what an import made, and what is the site's own."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from processors.database.pool import transaction
from processors.errors import BatchTooLargeError
from processors.rows.derived import public_pages
from processors.rows.derived.public_pages import arrived, resolve_all, resolve_some
from tests.integration.test_row_writer import (
    Partition,
    _waits,
    company,
    database,
    line,
    opened,
    siren,
)

__all__ = ["database"]  # fixtures

RENNES = {"naf_code": "62.01Z", "code_postal": "35000", "ville_nom": "Rennes"}
PARIS = {**RENNES, "code_postal": "75001", "ville_nom": "Paris"}


@pytest.fixture
async def log(database: str) -> AsyncIterator[Partition]:
    """A partition of companies, two cities, and the trade of one activity."""
    async with opened(database) as found:
        await found.execute(
            """
            INSERT INTO ingest.naf VALUES ('62.01Z', 'Programmation', 'programmation');
            INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
            VALUES (gen_random_uuid(), now(), now(), 'A', 'a');
            INSERT INTO subcategory_souscategorie (
                id, created_at, updated_at, categorie_id, nom, slug
            )
            SELECT gen_random_uuid(), now(), now(), id, 'Programmation', 'programmation'
            FROM category_categorie;
            INSERT INTO location_ville (
                id, created_at, updated_at, nom, slug, code_postal_principal, codes_postaux,
                departement, region, lat, lng, population
            )
            SELECT gen_random_uuid(), now(), now(), nom, lower(nom), code, '[]', '', '', 0, 0, 0
            FROM (VALUES ('Rennes', '35000'), ('Paris', '75001')) AS given (nom, code)
            """
        )
        yield found


async def put(log: Partition, **more: Any) -> None:
    start = len(log.records)
    log.append(company(1, **more))
    await log.write(log.batch(start))


async def shown(log: Partition) -> dict[str, bool]:
    """Whether each page is on the site, by its city."""
    found = await log.query(
        "SELECT v.nom, p.is_active FROM enterprise_prolocalisation p"
        " JOIN location_ville v ON v.id = p.ville_id"
    )
    return dict(found)


async def due(log: Partition) -> int:
    [(count,)] = await log.query("SELECT count(*) FROM ingest.pages_due")
    return int(count)


async def test_a_company_that_comes_back(log: Partition) -> None:
    """The page that was taken off the site for its move is shown again."""
    for place in (RENNES, PARIS, RENNES):
        await put(log, **place)

    assert await shown(log) == {"Rennes": True, "Paris": False}


async def test_a_page_that_the_site_took_off(log: Partition) -> None:
    """No import shows it again, and none touches a page that is shown already."""
    await put(log, **RENNES)
    [before] = await log.query("SELECT updated_at FROM enterprise_prolocalisation")
    await put(log, **RENNES, adresse="x")
    assert await log.query("SELECT updated_at FROM enterprise_prolocalisation") == [before]

    await log.execute("UPDATE enterprise_prolocalisation SET is_active = false")
    await put(log, **RENNES, adresse="y")

    assert await shown(log) == {"Rennes": False}


@pytest.mark.parametrize(
    "own",
    [
        "ingest_made = NULL",
        "texte_long_entreprise = 'x'",
        "zone_description = 'x'",
        "meta_description = 'x'",
        "faq = '[1]'",
        "nb_avis = 1",
        "is_verified = true",
        "date_derniere_generation_ia = now()",
    ],
)
async def test_a_page_with_something_of_its_own(log: Partition, own: str) -> None:
    """It stays where its company has moved away: somebody has put work into it."""
    await put(log, **RENNES)
    await log.execute(f"UPDATE enterprise_prolocalisation SET {own}")

    await put(log, **PARIS)

    assert await shown(log) == {"Rennes": True, "Paris": True}


async def test_what_has_just_arrived_is_not_due(log: Partition) -> None:
    """Whoever began before it was committed may still add a company that did not see it."""
    async with transaction(log.pool) as connection:
        await arrived(connection, "naf", ["62.01Z"])
    assert await resolve_some(log.pool) is None

    await log.execute("UPDATE ingest.pages_due SET at = at - interval '1 minute'")
    async with transaction(log.pool) as connection:
        await arrived(connection, "naf", ["62.01Z"])

    assert await resolve_some(log.pool) is not None
    assert await due(log) == 1


async def test_two_that_resolve_at_once(log: Partition) -> None:
    """What one of them looks at the other passes over, and does not wait for."""
    async with transaction(log.pool) as connection:
        await arrived(connection, "naf", ["62.01Z"])
    await log.execute("UPDATE ingest.pages_due SET at = at - interval '1 minute'")

    async with transaction(log.pool) as other:
        await other.execute(public_pages._SQL["due"], {"grace": "30 seconds"})
        async with asyncio.timeout(5):
            assert await resolve_some(log.pool) is None

    assert await resolve_some(log.pool) is not None
    assert await due(log) == 0


async def test_a_look_goes_on_where_it_ended(
    log: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more companies than one transaction looks at none is left out."""
    monkeypatch.setattr(public_pages, "CHUNK", 2)
    for number in range(5):
        log.append(company(number, **RENNES))
    await log.write_all()
    await log.execute("DELETE FROM enterprise_prolocalisation")
    async with transaction(log.pool) as connection:
        await arrived(connection, "naf", ["62.01Z"])
    await log.execute("UPDATE ingest.pages_due SET at = at - interval '1 minute'")

    while await resolve_some(log.pool) is not None:
        pass

    assert await log.query("SELECT count(*) FROM enterprise_prolocalisation") == [(5,)]
    assert await due(log) == 0


async def test_a_look_waits_for_a_company_that_moves(log: Partition) -> None:
    """It makes the page of where the company is by then, not of where it was."""
    await put(log, **RENNES)
    await log.execute("DELETE FROM enterprise_prolocalisation")

    async with log.pool.connection() as moving, moving.transaction():
        await moving.execute(
            "UPDATE enterprise_entreprise SET code_postal = '75001', ville_nom = 'Paris'"
        )
        looking = asyncio.create_task(resolve_all(log.pool, None))
        while not await _waits(log):
            assert not looking.done()
    await looking

    assert await shown(log) == {"Paris": True}


# Pages that a trigger of the site refuses


REFUSED = 5


@pytest.fixture
async def refusing(log: Partition) -> Partition:
    """The site refuses the page of one company."""
    await log.execute(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF '{siren(REFUSED)}' = (
                SELECT siren FROM enterprise_entreprise WHERE id = NEW.entreprise_id
            ) THEN RAISE 'not this one'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON enterprise_prolocalisation
            FOR EACH ROW EXECUTE FUNCTION refuse()
        """
    )
    return log


REFUSALS = (
    "SELECT siren, reason FROM ingest.unresolved_pages u"
    " JOIN enterprise_entreprise e ON e.id = u.entreprise_id"
)


async def test_a_page_that_the_site_refuses(refusing: Partition) -> None:
    """All companies are written, the others have their pages, and the company is listed."""
    for number in range(1, 10):
        refusing.append(company(number, **RENNES, **line(number)))

    await refusing.write(refusing.batch())

    assert await refusing.progress() == Counter(inserted=9)
    assert await refusing.query("SELECT count(*) FROM enterprise_prolocalisation") == [(8,)]
    assert await refusing.query(REFUSALS) == [(siren(REFUSED), "refused")]

    await refusing.execute("DROP TRIGGER refuse ON enterprise_prolocalisation")
    await resolve_all(refusing.pool, None)

    assert await refusing.query("SELECT count(*) FROM enterprise_prolocalisation") == [(9,)]
    assert await refusing.query(REFUSALS) == []


@pytest.mark.parametrize("seconds", [2.0, 0.0])
async def test_a_refused_page_among_others_that_are_due(
    refusing: Partition, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """It holds up no other; a search that takes too long goes on in the next transaction."""
    for number in range(1, 10):
        refusing.append(company(number, **RENNES, **line(number)))
    await refusing.write_all()
    await refusing.execute("DELETE FROM enterprise_prolocalisation")
    await refusing.execute("DELETE FROM ingest.unresolved_pages")
    async with transaction(refusing.pool) as connection:
        await arrived(connection, "naf", ["62.01Z"])
    await refusing.execute("UPDATE ingest.pages_due SET at = at - interval '1 minute'")
    monkeypatch.setattr(public_pages, "ISOLATING_SECONDS", seconds)

    looks = 0
    while await resolve_some(refusing.pool) is not None:
        looks += 1

    assert (looks == 1) == (seconds > 0)
    assert await refusing.query("SELECT count(*) FROM enterprise_prolocalisation") == [(8,)]
    assert await refusing.query(REFUSALS) == [(siren(REFUSED), "refused")]


async def test_so_many_refused_pages_that_a_batch_is_halved(
    refusing: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each company is written once, and each page but the refused one exists."""
    monkeypatch.setattr(public_pages, "ISOLATING_SECONDS", 0.0)
    for number in range(1, 10):
        refusing.append(company(number, **RENNES, **line(number)))
    with pytest.raises(BatchTooLargeError):
        await refusing.write(refusing.batch())

    await refusing.write_all()

    assert await refusing.progress() == Counter(inserted=9)
    assert await refusing.query("SELECT count(*) FROM enterprise_prolocalisation") == [(8,)]
