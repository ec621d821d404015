"""Categories, sub-categories and départements to PostgreSQL, without Kafka: transaction by transaction."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from confluent_kafka import murmur2

from processors.database.pool import open_pool
from processors.kafka.batch import Batch
from processors.rows.accounting.written import Written
from processors.rows.merge import merge
from processors.rows.merge.targets import TARGETS
from processors.rows.model import Validated
from processors.rows.parking import parked_rows
from processors.rows.parking.parked_rows import ChildType
from processors.rows.transaction import RelatedRows, write_parked
from schemas.import_types import CATEGORIE, DEPARTEMENT, SOUS_CATEGORIE
from schemas.outcomes import OUTCOMES
from schemas.values.slugs import slugify
from tests.integration.test_row_writer import (
    APPENDED,
    IMPORT,
    OTHER,
    Partition,
    _waits,
    database,
    line,
)

__all__ = ["database"]  # a fixture

CATEGORIES, TRADES = "fox.rows.categorie", "fox.rows.sous-categorie"


@dataclass
class Family:
    """One partition of categories, and the one of the same number of sub-categories."""

    categories: Partition
    trades: Partition

    @property
    def waiting(self) -> ChildType:
        children = self.categories.related.children
        assert children is not None
        return children

    async def category(self, nom: str, **more: Any) -> Written:
        """Writes a batch of one category."""
        return await self.written(self.categories, [{"nom": nom, **more}])

    async def trade(self, nom: str, categorie: str, **more: Any) -> Written:
        """Writes a batch of one sub-category."""
        return await self.written(self.trades, [{"nom": nom, "categorie": categorie, **more}])

    async def written(self, log: Partition, rows: Sequence[Mapping[str, Any]]) -> Written:
        """Writes rows as one batch, each a second after the one before."""
        start = len(log.records)
        for row in rows:
            log.append(row, APPENDED + timedelta(seconds=len(log.records)))
        return await log.write(log.batch(start))

    async def cancel(self) -> None:
        """What the tracker does with a Cancel of IMPORT."""
        await self.trades.execute(
            f"""
            INSERT INTO ingest.imports (
                id, partition, import_type, file_name, file_sha256, generate_ai_content, header,
                options, created_at, cancelled_at
            ) VALUES (
                '{IMPORT}', 0, 'SOUS_CATEGORIE', 's.csv', '', false, '[]', '{{}}', now(), now()
            )
            """
        )

    async def sweep(self) -> list[Written | None]:
        """What the sweep of a worker does."""
        number = self.trades.number
        async with self.trades.pool.connection() as connection:
            found = await parked_rows.releasable(connection, self.waiting, [number])
        return [
            await write_parked(self.trades.pool, self.waiting, at, keys)
            for at, keys in found.items()
        ]

    async def stored(self, columns: str = "c.slug, t.nom, t.slug") -> list[tuple[Any, ...]]:
        """Columns of all sub-categories with their categories."""
        return await self.trades.query(
            f"""
            SELECT {columns}
            FROM subcategory_souscategorie t JOIN category_categorie c ON c.id = t.categorie_id
            ORDER BY c.slug, t.ingest_key, t.nom
            """
        )

    async def parked(self) -> list[tuple[Any, ...]]:
        return await self.trades.query(
            'SELECT "offset", parent_key, line FROM ingest.parked ORDER BY "offset"'
        )

    async def progress(self, import_id: str = IMPORT) -> Counter[str]:
        """Counters of an import over both topics."""
        found = await self.trades.query(
            f"SELECT {', '.join(f'sum({name})' for name in (*OUTCOMES, 'released'))} "
            "FROM ingest.progress WHERE import_id = %s",
            import_id,
        )
        names = (*OUTCOMES, "released")
        return Counter({n: v for n, v in zip(names, found[0], strict=True) if v})

    async def contents(self) -> list[Any]:
        """All that an operator sees, and all that waits."""
        tables = ("category_categorie", "subcategory_souscategorie", "ingest.parked")
        counters = [await self.progress(import_id) for import_id in (IMPORT, OTHER)]
        return [*counters, *[await self.trades.query(f"TABLE {table}") for table in tables]]


def judging(log: Partition) -> ChildType:
    async def validate(batch: Batch) -> Validated:
        return log.validated(batch)

    return ChildType(log.target, [log.topic], validate)


@asynccontextmanager
async def families(database: str, count: int = 1) -> AsyncIterator[list[Family]]:
    async with open_pool(database, 2 * count + 1) as pool:
        found = []
        for number in range(count):
            trades = Partition(pool, TARGETS[SOUS_CATEGORIE.name], number, count, topic=TRADES)
            categories = Partition(
                pool, TARGETS[CATEGORIE.name], number, count, topic=CATEGORIES,
                related=RelatedRows(children=judging(trades)),
            )  # fmt: skip
            for log in (trades, categories):
                await log.begin()
            found.append(Family(categories, trades))
        yield found


@pytest.fixture
async def family(database: str) -> AsyncIterator[Family]:
    async with families(database) as [one]:
        yield one


# Categories


async def test_a_category_is_inserted(family: Family) -> None:
    """What is not given is the site's empty value; the slug is the key."""
    await family.category("Bâtiment & Construction")
    await family.category("Café", description="Bar", meta_description="m", ordre=3)

    assert await family.categories.stored(
        "nom, slug, description, texte_description_ia, meta_description, ordre, ingest_key"
    ) == [
        (
            "Bâtiment & Construction",
            "batiment-construction",
            "",
            "",
            "",
            0,
            "batiment-construction",
        ),
        ("Café", "cafe", "Bar", "", "m", 3, "cafe"),
    ]


@pytest.mark.parametrize(
    ("policy", "after"),
    [
        ("merge", ("Café", "neuf", "m", 3)),
        ("overwrite", ("CAFÉ", "neuf", "", 0)),
        ("fill_missing", ("Café", "vieux", "m", 3)),
        ("insert_only", ("Café", "vieux", "m", 3)),
    ],
)
async def test_another_spelling_is_the_same_category_b13(
    family: Family, policy: str, after: tuple[object, ...]
) -> None:
    """B13, 1.2: a blank ordre is kept, and only overwriting changes the name; never the slug."""
    await family.category("Café", description="vieux", meta_description="m", ordre=3)

    written = await family.category("CAFÉ", description="neuf", **line(1, policy=policy))

    assert await family.categories.stored("nom, description, meta_description, ordre") == [after]
    assert await family.categories.stored("slug") == [("cafe",)]
    assert written.outcomes.total().total() == 1


async def test_duplicates_of_a_file_are_counted_b12(family: Family) -> None:
    """B12: of three spellings in one file one is inserted and two are duplicates, all of them applied."""
    rows = [
        {"nom": nom, "description": nom, **line(number, occurrence=number)}
        for number, nom in enumerate(("Café", "Cafe", "CAFÉ"), start=1)
    ]

    await family.written(family.categories, rows)

    assert await family.progress() == {"inserted": 1, "duplicate": 2}
    assert await family.categories.stored("nom, description") == [("Café", "CAFÉ")]


async def test_a_category_of_the_site(family: Family) -> None:
    """A category that the site made is found by its slug, then by its name, and keeps both."""
    await family.categories.execute(
        """
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug) VALUES
            (gen_random_uuid(), now(), now(), 'Chambre d''Hôtes', 'chambre-d-hotes'),
            (gen_random_uuid(), now(), now(), 'Bar', 'bar')
        """
    )

    await family.category("Chambre d'Hôtes", description="x")
    await family.category("BAR", description="y")

    assert await family.categories.stored("nom, slug, description, ingest_key") == [
        ("Bar", "bar", "y", "bar"),
        ("Chambre d'Hôtes", "chambre-d-hotes", "x", "chambre-dhotes"),
    ]


async def test_two_keys_of_one_category(family: Family) -> None:
    """Rows of one batch that mean one category by its slug and by its name are both applied."""
    await family.categories.execute(
        """
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
        VALUES (gen_random_uuid(), now(), now(), 'Chambre d''Hôtes', 'chambre-d-hotes')
        """
    )

    written = await family.written(
        family.categories,
        [{"nom": "Chambre d'Hôtes", "ordre": 1}, {"nom": "chambre d hotes", "description": "x"}],
    )

    assert written.outcomes.total() == {"updated": 2}
    assert await family.categories.stored("slug, ordre, description") == [
        ("chambre-d-hotes", 1, "x")
    ]


async def test_a_row_without_an_outcome(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that cannot say what became of each row writes none: they are tried again."""
    await family.categories.execute(
        """
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
        VALUES (gen_random_uuid(), now(), now(), 'Chambre d''Hôtes', 'chambre-d-hotes')
        """
    )
    rows = [{"nom": "Chambre d'Hôtes", "ordre": 1}, {"nom": "chambre d hotes", "ordre": 2}]
    before = await family.contents()

    with monkeypatch.context() as patch:
        patch.setattr(merge, "MOST_PASSES", 1)  # the second row needs another
        with pytest.raises(psycopg.errors.SerializationFailure):
            await family.written(family.categories, rows)

    assert await family.contents() == before
    await family.categories.write_all()
    assert await family.categories.stored("ordre") == [(2,)]


async def test_an_older_category_is_stale(family: Family) -> None:
    """An older observation changes nothing."""
    await family.category("Café", description="neuf")

    written = await family.category(
        "Café", description="vieux", observed_at=APPENDED - timedelta(days=1)
    )

    assert written.outcomes.total() == {"stale": 1}
    assert await family.categories.stored("description") == [("neuf",)]


# Sub-categories


async def test_a_sub_category_is_inserted(family: Family) -> None:
    """It belongs to the category of its row, in whatever spelling, or by its slug."""
    await family.category("Bâtiment")

    await family.trade("Plombier", "BATIMENT", mots_cles="eau", ordre=2)
    await family.trade("Maçon", "batiment", description="mur")

    assert await family.stored("c.slug, t.nom, t.slug, t.description, t.mots_cles, t.ordre") == [
        ("batiment", "Maçon", "macon", "mur", "", 0),
        ("batiment", "Plombier", "plombier", "", "eau", 2),
    ]


async def test_the_same_trade_under_two_categories_b13(family: Family) -> None:
    """B13, 1.4: "Autre" under A, then under B, then once more under each, and where slugs are taken."""
    for nom in ("A", "B", "C"):
        await family.category(nom)
    await family.trade("Autre", "A")
    await family.trade("Autre C", "A")

    await family.trade("Autre", "B")
    await family.trade("Autre", "C")
    again = [await family.trade("AUTRE", nom) for nom in ("A", "B", "C")]

    assert await family.stored() == [
        ("a", "Autre", "autre"),
        ("a", "Autre C", "autre-c"),
        ("b", "Autre", "autre-b"),
        ("c", "Autre", "autre-c-2"),
    ]
    assert [written.outcomes.total() for written in again] == [{"unchanged": 1}] * 3


async def test_the_same_trade_twice_in_a_batch(family: Family) -> None:
    """Slugs that rows of one batch all want are given to the earliest; "Autre B" of A and "Autre" of B."""
    for nom in ("A", "B", "C"):
        await family.category(nom)

    written = await family.written(
        family.trades,
        [
            {"nom": "Autre", "categorie": "A"},
            {"nom": "Autre", "categorie": "C"},
            {"nom": "Autre B", "categorie": "A"},
            {"nom": "Autre", "categorie": "B"},
        ],
    )

    assert written.outcomes.total() == {"inserted": 4}
    assert await family.stored() == [
        ("a", "Autre", "autre"),
        ("a", "Autre B", "autre-b"),
        ("b", "Autre", "autre-b-2"),
        ("c", "Autre", "autre-c"),
    ]


async def test_a_slug_with_a_suffix_is_no_key(family: Family) -> None:
    """ "Autre B" under B is not the "Autre" of B whose slug is autre-b."""
    await family.category("A")
    await family.category("B")
    await family.trade("Autre", "A")
    await family.trade("Autre", "B")

    await family.trade("Autre B", "B")

    assert await family.stored() == [
        ("a", "Autre", "autre"),
        ("b", "Autre", "autre-b"),
        ("b", "Autre B", "autre-b-b"),
    ]


async def test_slugs_keep_within_their_column(family: Family) -> None:
    """The longest names under two categories of the longest names have slugs of 120 characters."""
    long = "x" * 100
    await family.category("A" * 100)
    await family.category("B" * 100)
    await family.trade(long, "A" * 100)

    await family.trade(long, "B" * 100)
    await family.trade(long[1:], "A" * 100)
    await family.trade(long[1:], "B" * 100)

    slugs = [slug for (slug,) in await family.stored("t.slug")]
    assert len(set(slugs)) == 4
    assert sorted(map(len, slugs)) == [99, 100, 120, 120]


async def test_a_trade_of_the_site(family: Family) -> None:
    """A sub-category that the site made is found within its category by slug or name."""
    await family.category("A")
    await family.category("B")
    await family.trades.execute(
        """
        INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug)
        SELECT gen_random_uuid(), now(), now(), id, 'Gîte d''étape', 'gite-d-etape'
        FROM category_categorie WHERE slug = 'a'
        """
    )

    found = await family.trade("Gîte d'étape", "A", ordre=1)
    other = await family.trade("Gîte d'étape", "B")

    assert (found.outcomes.total(), other.outcomes.total()) == ({"updated": 1}, {"inserted": 1})
    assert await family.stored("c.slug, t.slug, t.ordre, t.ingest_key") == [
        ("a", "gite-d-etape", 1, "gite-detape"),
        ("b", "gite-detape", 0, "gite-detape"),
    ]


async def test_a_category_that_the_table_still_holds(family: Family) -> None:
    """A row whose category was known and is gone waits; it is written under no other and not lost."""
    await family.category("A")
    await family.trade("Autre", "A")
    [(old,)] = await family.categories.stored("id")
    await family.categories.execute(
        "DELETE FROM subcategory_souscategorie; DELETE FROM category_categorie"
    )
    family.trades.related = RelatedRows(parent_ids={"a": str(old)})

    gone = await family.trade("Autre", "A")
    await family.category("A")

    assert gone.outcomes.total() == {"parked": 1}
    assert await family.stored() == [("a", "Autre", "autre")]
    assert await family.parked() == []


async def test_a_known_category_is_not_looked_up(family: Family) -> None:
    """The table decides where it knows: its id is taken, whatever slug or name the category has by now."""
    await family.category("A")
    [(known,)] = await family.categories.stored("id")
    await family.categories.execute(
        "UPDATE category_categorie SET nom = 'Z', slug = 'z', ingest_key = 'z'"
    )
    family.trades.related = RelatedRows(parent_ids={"a": str(known)})

    await family.trade("Autre", "A")

    assert await family.stored() == [("z", "Autre", "autre")]


# Rows that wait


async def test_a_trade_waits_for_its_category(family: Family) -> None:
    """1.4: it is parked, and the batch that brings its category writes it, as a first sight would."""
    await family.written(
        family.trades,
        [
            {"nom": "Plombier", "categorie": "Bâtiment", **line(1)},
            {"nom": "Maçon", "categorie": "Bâtiment", **line(2)},
            {"nom": "PLOMBIER", "categorie": "batiment", "ordre": 4, **line(3, occurrence=2)},
            {"nom": "Barman", "categorie": "Café", **line(4)},
        ],
    )
    assert await family.progress() == {"parked": 4}
    assert [key for _, key, _ in await family.parked()] == ["batiment"] * 3 + ["cafe"]

    written = await family.category("Bâtiment", **line(1, OTHER))

    assert written.released is not None
    assert [(one.import_id, one.accounted) for one in written.released.progress] == [(IMPORT, 4)]
    assert await family.progress() == {"parked": 1, "inserted": 2, "duplicate": 1}
    assert await family.progress(OTHER) == {"inserted": 1, "released": 3}
    assert await family.stored("t.nom, t.ordre, t.ingest_line") == [
        ("Maçon", 0, 3),
        ("Plombier", 4, 4),
    ]
    assert [key for _, key, _ in await family.parked()] == ["cafe"]


async def test_released_rows_keep_their_guard(family: Family) -> None:
    """What was observed later than a parked row goes before it: that is stale then."""
    await family.trade("Plombier", "A", description="vieux", **line(1))
    await family.categories.execute(
        """
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug, ingest_key)
        VALUES (gen_random_uuid(), now(), now(), 'A', 'a', 'a')
        """
    )
    await family.trades.execute(
        f"""
        INSERT INTO subcategory_souscategorie (
            id, created_at, updated_at, categorie_id, nom, slug, ingest_key, ingest_observed_at
        )
        SELECT gen_random_uuid(), now(), now(), id, 'Plombier', 'plombier', 'plombier',
            '{(APPENDED + timedelta(days=1)).isoformat()}'
        FROM category_categorie
        """
    )

    await family.category("A")

    assert await family.progress() == {"stale": 1}
    assert await family.stored("t.description") == [("",)]


async def test_rows_of_one_category_keep_their_order(family: Family) -> None:
    """While older rows of a category wait, a newer one waits behind them: no field of them is lost."""
    await family.trade("Plombier", "A", description="d")
    await family.categories.execute(
        """
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
        VALUES (gen_random_uuid(), now(), now(), 'A', 'a')
        """
    )

    written = await family.trade("Plombier", "A", mots_cles="m")
    [swept] = await family.sweep()

    assert written.outcomes.total() == {"parked": 1}
    assert swept is not None
    assert +swept.outcomes.total() == {"inserted": 1, "updated": 1}
    assert await family.stored("t.description, t.mots_cles") == [("d", "m")]
    assert await family.sweep() == []


async def test_rows_of_upstream_systems_wait_too(family: Family) -> None:
    """A row of no import is parked, and written when its category comes from wherever."""
    await family.trade("Plombier", "A", observed_at=APPENDED)

    await family.category("A", observed_at=APPENDED)

    assert await family.stored() == [("a", "Plombier", "plombier")]
    assert await family.trades.query("SELECT count(*) FROM ingest.progress") == [(0,)]


async def test_a_refused_category_releases_nothing(family: Family) -> None:
    """What waited for a category that PostgreSQL refuses waits on, byte for byte, and is counted so."""
    await family.categories.execute("ALTER TABLE category_categorie ADD CHECK (nom <> 'A')")
    await family.trade("Plombier", "A", **line(1))
    before = await family.trades.query("SELECT topic_id, value, headers FROM ingest.parked")

    await family.written(
        family.categories, [{"nom": "A", **line(1, OTHER)}, {"nom": "B", **line(2, OTHER)}]
    )

    assert await family.progress(OTHER) == {"inserted": 1, "rejected": 1}
    assert await family.progress() == {"parked": 1}
    assert await family.trades.query("SELECT topic_id, value, headers FROM ingest.parked") == before


async def test_a_released_row_that_postgresql_refuses(family: Family) -> None:
    """It becomes a reject of its own import; the others that waited are written."""
    await family.trades.execute(
        "ALTER TABLE subcategory_souscategorie ADD CHECK (nom <> 'Interdit')"
    )
    await family.written(
        family.trades,
        [
            {"nom": nom, "categorie": "A", **line(number)}
            for number, nom in enumerate(("Plombier", "Interdit", "Maçon"), start=1)
        ],
    )

    await family.category("A", **line(1, OTHER))

    assert await family.progress() == {"inserted": 2, "rejected": 1}
    assert await family.progress(OTHER) == {"inserted": 1, "released": 3}
    assert await family.trades.query("SELECT import_id::text, line FROM ingest.rejects") == [
        (IMPORT, 3)
    ]


async def test_rows_of_a_cancelled_import_wait_no_longer(family: Family) -> None:
    """The sweep keeps them as rejects that a retry takes; rows of others wait on, and are written."""
    await family.trade("Plombier", "A", **line(1))
    await family.trade("Maçon", "A", **line(1, OTHER))
    await family.cancel()

    assert len(await family.sweep()) == 1

    rejects = "SELECT import_id::text, line FROM ingest.rejects"
    assert await family.trades.query(rejects) == [(IMPORT, 2)]
    assert await family.progress() == {"cancelled": 1}
    assert await family.progress(OTHER) == {"parked": 1}
    assert await family.sweep() == []
    await family.category("A", **line(1, OTHER))
    assert [nom for (nom,) in await family.stored("t.nom")] == ["Maçon"]


async def test_a_category_brings_no_rows_of_a_cancelled_import(family: Family) -> None:
    """Where it comes before the sweep: they are rejects all the same, and released for nobody."""
    await family.trade("Plombier", "A", **line(1))
    await family.cancel()

    await family.category("A", **line(1, OTHER))

    assert await family.stored() == []
    assert await family.progress() == {"cancelled": 1}
    assert await family.progress(OTHER) == {"inserted": 1}


async def test_more_than_a_transaction_releases(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch of the category writes some of those that waited, in order; the sweep the rest."""
    monkeypatch.setattr(parked_rows, "MOST_RELEASED", 3)
    await family.written(
        family.trades,
        [{"nom": f"T{i}", "categorie": "A", **line(i)} for i in range(1, 8)],
    )

    written = await family.category("A")
    assert (written.released is not None and written.released.more_parked) is True
    assert await family.progress() == {"inserted": 3, "parked": 4}
    late = await family.trade("T7", "A", ordre=9, **line(8, occurrence=2))
    assert late.outcomes.total() == {"parked": 1}
    while await family.sweep():
        pass

    assert await family.progress() == {"inserted": 7, "duplicate": 1}
    assert await family.stored("t.nom, t.ordre") == [
        *((f"T{i}", 0) for i in range(1, 7)),
        ("T7", 9),
    ]


async def test_rows_of_one_key_that_are_too_many_for_a_transaction(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their category is written without them, and the sweep writes them in parts."""
    monkeypatch.setattr(merge, "MOST_ROUNDS", 3)
    texts = ["a", "b", "c", "d", "e"]
    for text in texts:
        await family.trade("Plombier", "A", description=text)

    written = await family.category("A")

    assert (written.outcomes.total(), written.released) == ({"inserted": 1}, None)
    while await family.sweep():
        pass
    assert await family.parked() == []
    assert await family.stored("t.description, t.ingest_offset") == [("e", len(texts) - 1)]


async def test_more_waits_than_there_is_time_for(family: Family) -> None:
    """Where PostgreSQL ends the statement for its time the sweep writes fewer rows in each."""
    await family.written(
        family.trades, [{"nom": f"T{i}", "categorie": "A", **line(i)} for i in range(1, 8)]
    )
    await family.trades.execute(
        """
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
        VALUES (gen_random_uuid(), now(), now(), 'A', 'a');
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (SELECT count(*) FROM written) > 2 THEN
                RAISE EXCEPTION 'too slow' USING ERRCODE = '57014';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER slow AFTER INSERT ON subcategory_souscategorie
            REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION slow()
        """
    )

    while await family.sweep():
        pass

    assert await family.parked() == []
    assert await family.progress() == {"inserted": 7}


@pytest.mark.parametrize("writer", ["category", "trade", "sweep"])
async def test_writers_of_a_family_take_turns(family: Family, writer: str) -> None:
    """Nobody looks for parents or for rows that wait while another transaction may bring some.

    It would park a row whose parent is committed a moment later, and leave it to wait in vain.
    """
    await family.trade("Plombier", "A")
    await family.categories.execute(
        """
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
        VALUES (gen_random_uuid(), now(), now(), 'A', 'a')
        """
    )
    work = {
        "category": lambda: family.category("B"),
        "trade": lambda: family.trade("Barman", "A"),
        "sweep": family.sweep,
    }
    async with family.trades.pool.connection() as other, other.transaction():
        await parked_rows.lock_family(other, SOUS_CATEGORIE, family.trades.number)
        writing = asyncio.ensure_future(work[writer]())
        while not await _waits(family.trades):
            assert not writing.done()

    await writing


async def test_a_sweep_that_comes_too_late(family: Family) -> None:
    """A parent that went away again after the look: its rows wait on, and are counted as before."""
    await family.trade("Plombier", "A", **line(1))
    before = await family.parked()

    await write_parked(family.trades.pool, family.waiting, family.trades.number, ["a"])

    assert await family.parked() == before
    assert await family.progress() == {"parked": 1}
    await family.category("A")
    assert await family.stored("t.nom, t.ingest_line") == [("Plombier", 2)]


async def test_rows_of_two_topics_of_one_name(family: Family) -> None:
    """Of a topic that was made anew the offsets begin again: neither row is taken for the other."""
    await family.trades.execute("ALTER TABLE subcategory_souscategorie ADD CHECK (nom = '')")
    await family.trade("Plombier", "A")
    await family.trades.execute(
        f"UPDATE ingest.positions SET next_offset = 0, topic_id = 'new' WHERE topic = '{TRADES}'"
    )
    came = [*family.trades.records]
    family.trades.records.clear()
    await family.trade("Maçon", "A")
    came += family.trades.records

    await family.category("A")
    while await family.sweep():
        pass

    assert await family.parked() == []
    rejects = await family.trades.query("SELECT value FROM ingest.rejects")
    assert sorted(value for (value,) in rejects) == sorted(record.value for record in came)


async def test_rows_of_a_file_and_of_upstream_wait_for_one_category(family: Family) -> None:
    """The first topic's row is written with the category, the other's by the sweep that follows."""
    files = replace(family.trades, topic=f"{TRADES}.files", records=[])
    await files.begin()
    both = replace(family.waiting, topics=[TRADES, files.topic])
    family.categories.related = RelatedRows(children=both)
    await family.trade("Plombier", "A")
    await family.written(files, [{"nom": "Maçon", "categorie": "A", **line(1)}])

    released = (await family.category("A")).released

    assert released is not None
    assert (released.topic, released.more_parked) == (TRADES, True)
    assert await family.stored("t.nom") == [("Plombier",)]
    [swept] = await family.sweep()
    assert swept is not None
    assert (swept.topic, swept.more_parked) == (files.topic, False)
    assert await family.stored("t.nom") == [("Maçon",), ("Plombier",)]
    assert await family.progress() == {"inserted": 1}


async def test_parked_rows_that_are_read_again(family: Family) -> None:
    """A log that is read again from its beginning finds them parked, and goes on."""
    await family.trade("Plombier", "A", observed_at=APPENDED)
    before = await family.contents()
    await family.trades.execute("DELETE FROM ingest.positions")  # as docs/operations.md says
    await family.trades.begin()
    await family.categories.begin()

    await family.trades.write_all()

    assert await family.contents() == before


async def test_a_release_lowers_no_watermark(family: Family) -> None:
    """Rows that came after those that waited are replays before and after these are written."""
    await family.category("B")
    rows = [
        {"nom": "Plombier", "categorie": "A", **line(1)},
        {"nom": "Barman", "categorie": "B", **line(2)},
    ]
    await family.written(family.trades, rows)
    await family.category("A")
    before = await family.contents()

    await family.written(family.trades, rows)

    assert await family.contents() == before


async def test_replays_of_parking_and_releasing(family: Family) -> None:
    """The producer that begins again adds nothing, neither while rows wait nor after their release."""
    rows = [{"nom": f"T{i}", "categorie": "A", **line(i)} for i in range(1, 4)]
    await family.written(family.trades, rows)
    waiting = await family.contents()
    await family.written(family.trades, rows)
    assert await family.contents() == waiting

    await family.category("A", **line(1, OTHER))
    released = await family.contents()
    await family.written(family.trades, rows)
    await family.category("A", **line(1, OTHER))

    assert await family.contents() == released
    assert await family.progress() == {"inserted": 3}
    assert await family.progress(OTHER) == {"inserted": 1, "released": 3}


async def test_a_transaction_that_fails_releases_nothing(family: Family) -> None:
    """Parked rows, their counters and their rows in the table move together or not at all."""
    await family.trade("Plombier", "A", **line(1))
    before = await family.contents()
    await family.trades.execute(
        """
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'gone' USING ERRCODE = '57P01'; END $$;
        CREATE TRIGGER fail BEFORE UPDATE ON ingest.progress EXECUTE FUNCTION fail()
        """
    )

    with pytest.raises(psycopg.errors.AdminShutdown):
        await family.category("A", **line(1, OTHER))

    assert await family.contents() == before


# Side by side


@pytest.mark.parametrize("seed", range(3))
async def test_partitions_side_by_side(database: str, seed: int) -> None:
    """Whatever the order of batches over three partitions, every row is written once under its category.

    Slugs are unique, whoever was first has the plain one, and nothing waits for ever.
    """
    chance = random.Random(seed)
    names = [f"Famille {number}" for number in range(12)]
    async with families(database, 3) as logs:
        for family in logs:
            own = [
                nom for nom in names if murmur2(slugify(nom).encode(), 3) == family.trades.number
            ]
            for number, nom in enumerate(own, start=1):
                family.categories.append({"nom": nom, **line(number)})
            trades = [(trade, nom) for nom in own for trade in ("Autre", "Divers", nom)]
            chance.shuffle(trades)
            for number, (trade, nom) in enumerate(trades, start=1):
                family.trades.append({"nom": trade, "categorie": nom, **line(number, OTHER)})

        await asyncio.gather(
            *(write_in_batches(family.categories, chance.randint(1, 3)) for family in logs),
            *(write_in_batches(family.trades, chance.randint(1, 4)) for family in logs),
        )

        first = logs[0]
        found = await first.stored()
        assert [await family.sweep() for family in logs] == [[], [], []]
        assert await first.parked() == []
        assert (await first.progress())["inserted"] == len(names)
        assert await first.progress(OTHER) == {"inserted": 3 * len(names)}
        assert len({slug for *_, slug in found}) == len(found) == 3 * len(names)
        assert [slug for *_, slug in found].count("autre") == 1
        assert all(
            slug in (slugify(nom), f"{slugify(nom)}-{parent}") for parent, nom, slug in found
        )


async def write_in_batches(log: Partition, size: int) -> None:
    """As a worker, which tries again where two transactions wait for each other's slugs."""
    for start in range(0, len(log.records), size):
        batch = log.batch(start, min(start + size, len(log.records)))
        while True:
            try:
                await log.write(batch)
                break
            except psycopg.errors.DeadlockDetected:
                continue


# Départements


async def test_departements(database: str) -> None:
    """They are inserted, renamed and left alone as the others."""
    async with open_pool(database, 2) as pool:
        log = Partition(pool, TARGETS[DEPARTEMENT.name])
        await log.begin()
        log.append({"code": "2A", "nom": "Corse"})
        log.append({"code": "01", "nom": "Ain"})
        await log.write(log.batch())
        log.append({"code": "2A", "nom": "Corse-du-Sud"})
        log.append({"code": "01", "nom": "Ain"})

        written = await log.write(log.batch(2))

        assert written.outcomes.total() == {"updated": 1, "unchanged": 1}
        assert await log.query("SELECT code, nom FROM location_departement ORDER BY code") == [
            ("01", "Ain"),
            ("2A", "Corse-du-Sud"),
        ]
