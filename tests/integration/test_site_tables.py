"""The site's own tables: what Django leaves to itself, and what deployments of the site change."""

from collections import Counter

import psycopg
import pytest

from processors.database.site_tables import UnfilledColumnError
from processors.rows.accounting.sqlstate import Blame, blame
from producers.terminal.exits import PARTIAL
from tests.fix_companies import ROWS, Companies, finish, importing, make_slow
from tests.fix_stack import Site, eventually
from tests.integration.test_row_writer import Partition, company, database, line, log

__all__ = ["database", "log"]

ADDED = "ALTER TABLE enterprise_entreprise ADD COLUMN {0} {1} NOT NULL DEFAULT {2}"
DROPPED = "ALTER TABLE enterprise_entreprise ALTER COLUMN {0} DROP DEFAULT"


async def add_field(log: Partition, name: str, kind: str, default: str) -> None:
    """As Django's AddField: with a default, which is dropped again."""
    await log.execute(ADDED.format(name, kind, default))
    await log.execute(DROPPED.format(name))


async def test_columns_that_the_site_fills_itself(log: Partition) -> None:
    """They have the values that the site's models give a new company."""
    log.append(company(1, **line(1)))

    await log.write_all()

    names = "siren_temporaire, enrichi_insee, stripe_customer_id, logo, contacts, latitude"
    assert await log.stored(names) == [(False, False, "", "", {}, None)]


@pytest.mark.parametrize(
    ("kind", "default", "filled"),
    [
        ("text", "'x'", ""),
        ("varchar(30)", "'x'", ""),
        ("boolean", "true", False),
        ("jsonb", "'[]'", {}),
    ],
)
async def test_a_column_that_a_deployment_adds(
    log: Partition, kind: str, default: str, filled: object
) -> None:
    """A running worker fills it by its type: no row is rejected for it."""
    log.append(company(1, **line(1)))
    await log.write(log.batch())
    await add_field(log, "vip", kind, default)
    log.append(company(2, **line(2)))
    with pytest.raises(psycopg.errors.SerializationFailure):  # tried again by the batch loop
        await log.write(log.batch(1))

    await log.write(log.batch(1))

    assert (await log.stored("vip"))[1] == (filled,)
    assert await log.progress() == Counter(inserted=2)


async def test_a_column_added_while_bad_rows_are_searched_for(log: Partition) -> None:
    """The search takes no good row for a bad one either."""
    await log.execute("ALTER TABLE enterprise_entreprise ADD CHECK (nom <> 'bad')")
    log.append(company(1, **line(1)))
    await log.write(log.batch())
    for number in range(2, 10):
        log.append(company(number, "bad" if number == 5 else "A", **line(number)))
    await add_field(log, "vip", "boolean", "false")
    with pytest.raises(psycopg.errors.SerializationFailure):
        await log.write(log.batch(1))

    await log.write(log.batch(1))

    assert await log.progress() == Counter(inserted=8, rejected=1)


async def test_a_column_of_which_no_value_is_known(log: Partition) -> None:
    """The error names the column and the statement that repairs it; with it rows are written."""
    log.append(company(1, **line(1)))
    await log.write(log.batch())
    await add_field(log, "rang", "integer", "7")
    log.append(company(2, **line(2)))
    with pytest.raises(psycopg.errors.SerializationFailure):
        await log.write(log.batch(1))

    with pytest.raises(UnfilledColumnError) as caught:
        await log.write(log.batch(1))

    statement = "ALTER TABLE enterprise_entreprise ALTER COLUMN rang SET DEFAULT 0"
    assert statement in str(caught.value)
    await log.execute(statement)
    await log.write(log.batch(1))
    assert await log.stored("rang") == [(7,), (0,)]


ROW_FAULTS: dict[str, str] = {
    "a trigger raises": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.nom = 'bad' THEN RAISE 'not this one'; END IF; RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON enterprise_entreprise
            FOR EACH ROW EXECUTE FUNCTION refuse()
    """,
    "a deferred trigger raises": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.nom = 'bad' THEN RAISE 'not this one'; END IF; RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON enterprise_entreprise
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
    """,
    "a check": "ALTER TABLE enterprise_entreprise ADD CHECK (nom <> 'bad')",
    "a unique index": """
        INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, nom, nom_commercial,
            adresse, code_postal, ville_nom, naf_code, naf_libelle, telephone, email_contact,
            site_web, is_active, siren_temporaire, enrichi_insee, enrichi_dirigeants,
            stripe_customer_id, domain, logo, main_image, nom_proprietaire, contacts,
            google_place_id, original_title)
        VALUES (gen_random_uuid(), now(), now(), '999999999', 'bad', '', '', '', '', '', '', '',
            '', '', true, false, false, false, '', '', '', '', '', '{}', '', '');
        CREATE UNIQUE INDEX one_of_the_name ON enterprise_entreprise (nom) WHERE nom = 'bad'
    """,
    "a deferred unique constraint": """
        CREATE TABLE names (nom varchar(255) UNIQUE);
        INSERT INTO names SELECT 'A ' || n FROM generate_series(1, 9) n;
        ALTER TABLE enterprise_entreprise ADD FOREIGN KEY (nom) REFERENCES names (nom)
            DEFERRABLE INITIALLY DEFERRED
    """,
    "a shorter column": "ALTER TABLE enterprise_entreprise ALTER COLUMN nom TYPE varchar(3)",
}
BAD = {"a shorter column": "long"}


@pytest.mark.parametrize("change", ROW_FAULTS)
async def test_a_row_that_the_site_refuses(log: Partition, change: str) -> None:
    """It is rejected alone; the others of its batch are written."""
    await log.execute(ROW_FAULTS[change])
    bad = BAD.get(change, "bad")
    for number in range(1, 9):
        log.append(company(number, bad if number == 4 else f"A {number}", **line(number)))

    [written] = await log.write_all()

    assert await log.progress() == Counter(inserted=7, rejected=1)
    assert [reject.record.offset for reject in written.rejects] == [3]


HALTS: dict[str, str] = {
    "a renamed column": "ALTER TABLE enterprise_entreprise RENAME COLUMN adresse TO rue",
    "a dropped column": "ALTER TABLE enterprise_entreprise DROP COLUMN adresse",
    "a generated column": """
        ALTER TABLE enterprise_entreprise DROP COLUMN adresse;
        ALTER TABLE enterprise_entreprise ADD COLUMN adresse text GENERATED ALWAYS AS (nom) STORED
    """,
    "another type": """
        ALTER TABLE enterprise_entreprise ALTER COLUMN is_active TYPE integer
            USING is_active::integer
    """,
    "a table that is gone": "ALTER TABLE enterprise_entreprise RENAME TO elsewhere",
}


@pytest.mark.parametrize("change", HALTS)
async def test_a_table_that_does_not_fit(log: Partition, change: str) -> None:
    """No row is rejected: the partition halts, with the reason."""
    await log.execute(HALTS[change])
    for number in range(1, 9):
        log.append(company(number, **line(number)))

    with pytest.raises(psycopg.Error) as caught:
        await log.write(log.batch())

    assert blame(caught.value) is Blame.OPERATOR
    assert await log.progress() == Counter()


def test_a_halt_ends_when_its_cause_is_gone(site: Site, companies: Companies) -> None:
    """Without a restart, and every row is written once."""
    site.execute("ALTER TABLE enterprise_entreprise RENAME COLUMN adresse TO rue")
    site.settings = {"FOX_HALT_SECONDS": "2"}
    site.worker()
    path = companies.file(200)
    with importing(site, path) as command:
        eventually(
            lambda: site.query(
                "SELECT halted FROM ingest.positions WHERE halted LIKE '%%adresse%%'"
            )
        )
        site.execute("ALTER TABLE enterprise_entreprise RENAME COLUMN rue TO adresse")
        assert command.wait(180) == PARTIAL
    assert companies.are_exact(path, 200)


def test_an_import_log_that_the_site_refuses(site: Site, companies: Companies) -> None:
    """The import ends all the same, and so do those beside it."""
    site.execute("ALTER TABLE core_importlog ADD CHECK (file_name NOT LIKE 'companies1%')")
    site.worker()
    refused, taken = companies.file(200), companies.file(200)

    assert site.foxstream("import", refused, "--type", "entreprise").code == PARTIAL
    assert site.foxstream("import", taken, "--type", "entreprise").code == PARTIAL

    assert companies.are_exact(refused, 200)
    assert site.query("SELECT file_name FROM core_importlog") == [(taken.name,)]


def test_a_deployment_in_the_middle_of_an_import(site: Site, companies: Companies) -> None:
    """Its locks and new columns hold rows up; none is lost, rejected or written twice."""
    make_slow(site, 0.1)
    site.worker()
    path = companies.file()
    with (
        importing(site, path) as command,
        psycopg.connect(site.database_url, autocommit=True) as deployment,
        psycopg.connect(site.database_url) as report,
    ):
        companies.begun(path)
        for statement in (ADDED.format("vip", "boolean", "false"), DROPPED.format("vip")):
            deployment.execute(statement.encode())
        # It reads the table in one long transaction.
        report.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        [(seen,)] = report.execute("SELECT count(*) FROM enterprise_entreprise").fetchall()
        assert 0 < seen < ROWS
        deployment.execute("CREATE INDEX by_name ON enterprise_entreprise (nom)")
        deployment.execute("ANALYZE enterprise_entreprise")
        report.rollback()
        deployment.execute("CREATE INDEX CONCURRENTLY by_city ON enterprise_entreprise (ville_nom)")
        deployment.execute("VACUUM FULL enterprise_entreprise")
        deployment.execute("REINDEX TABLE enterprise_entreprise")
        deployment.execute("DROP INDEX by_name")
        finish(site, companies, command)
    assert site.query("SELECT count(*) FROM enterprise_entreprise WHERE vip") == [(0,)]
