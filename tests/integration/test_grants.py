"""Each role of roles.sql on a database of the site, with its accounts and sessions: no more than named."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.local.stack import Stack
from processors.database.grants import GRANTS
from processors.database.migrator import migrate
from tests.fix_secured import each_is_denied
from tests.fix_stack import create_database

ROLES = (Path(__file__).parents[2] / "deploy" / "postgres" / "roles.sql").read_bytes()
LOGINS = ("foxstream_migrate", "foxstream_write", "foxstream_read", "foxstream_site")
WIDE = """
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO foxstream_write;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO foxstream_read;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO foxstream_write;
ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO foxstream_write;
ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate GRANT SELECT ON TABLES TO foxstream_read;
"""
"""As roles.sql was before it named tables."""
SESSIONS = """
CREATE TABLE django_session (
    session_key varchar(40) PRIMARY KEY, session_data text NOT NULL, expire_date timestamptz NOT NULL
);
CREATE TABLE authtoken_token (key varchar(40) PRIMARY KEY, user_id integer NOT NULL);
CREATE TABLE audit_entry (id serial PRIMARY KEY, text text NOT NULL);
"""
_numbers = count(1)

As = Callable[[str], AbstractContextManager[psycopg.Connection[Any]]]


@pytest.fixture(params=["before", "after", "again"])
def site(request: pytest.FixtureRequest, stack: Stack) -> str:
    """Django's tables, and roles.sql before or after `migrate`, or after a version with wide rights."""
    url = create_database(stack.environment["FOX_DATABASE_URL"], f"grants{next(_numbers)}", "")
    subprocess.run([sys.executable, "-m", "tests.django_site", url], check=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SESSIONS)
        if request.param != "after":
            connection.execute(ROLES)
        if request.param == "again":
            connection.execute(WIDE.encode())
        migrate(url)
        if request.param != "before":
            connection.execute(ROLES)
    return url


@pytest.fixture
def acting(site: str) -> As:
    @contextmanager
    def connected(role: str) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(site, autocommit=True) as connection:
            connection.execute(f"SET ROLE {role}".encode())
            yield connection

    return connected


def test_accounts_and_sessions_are_of_nobody(acting: As) -> None:
    """No role reads a password hash, creates a session or a user, or counts up what makes their ids."""
    for role in LOGINS:
        with acting(role) as connection:
            for forbidden in (
                "SELECT password FROM auth_user",
                "SELECT count(*) FROM auth_user",
                "SELECT 1 FROM django_session",
                "SELECT key FROM authtoken_token",
                "INSERT INTO django_session VALUES ('k', 'd', now())",
                "INSERT INTO auth_user (username, password) VALUES ('me', 'x')",
                "UPDATE auth_user SET is_superuser = true",
                "DELETE FROM auth_group",
                "TRUNCATE django_session",
                "ALTER TABLE auth_user ADD COLUMN x int",
                "SELECT nextval('audit_entry_id_seq')",
                "COPY auth_user TO STDOUT",
                "INSERT INTO foxstream_migrations (name) VALUES ('9999')",
                "UPDATE reviews_avis SET texte = ''",
                "UPDATE sponsorisation SET is_active = true",
                "DELETE FROM enterprise_entreprise",
            ):
                if role == "foxstream_migrate" and "foxstream_migrations" in forbidden:
                    continue
                each_is_denied(connection, forbidden)


def test_tables_that_are_named(site: str, acting: As) -> None:
    """What a role may do with some table or column of `public` is what the code names."""
    with psycopg.connect(site) as connection:
        found = {
            (role, table)
            for role, table in connection.execute(
                """
                SELECT rolname, relname FROM pg_roles, pg_class
                WHERE rolname LIKE 'foxstream\\_%' AND NOT rolsuper AND relkind IN ('r', 'p', 'v', 'm')
                    AND relnamespace = 'public'::regnamespace
                    AND (
                        has_table_privilege(rolname, pg_class.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                        OR has_any_column_privilege(rolname, pg_class.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
                    )
                """
            )
        }
    assert found == {(role, table) for role, tables in GRANTS.items() for table in tables}
    with acting("foxstream_read") as connection:
        for table in GRANTS["foxstream_read"]:
            connection.execute(f"SELECT * FROM {table} LIMIT 0".encode())
        connection.execute("SELECT * FROM ingest.rejects, ingest.text_marks LIMIT 0")
        each_is_denied(
            connection, "DELETE FROM ingest.rejects", "UPDATE location_ville SET nom = ''"
        )


def test_work_of_the_write_role(site: str, acting: As) -> None:
    """It writes rows and analyses their tables, also into columns that the site adds later."""
    with psycopg.connect(site, autocommit=True) as connection:
        connection.execute("ALTER TABLE category_categorie ADD COLUMN couleur text NOT NULL")
        (version,) = connection.execute("SHOW server_version_num").fetchone() or ("0",)
    with acting("foxstream_write") as connection:
        connection.execute(
            """
            INSERT INTO category_categorie (
                id, nom, slug, description, meta_description, texte_description_ia, ordre,
                created_at, updated_at, couleur
            ) VALUES (gen_random_uuid(), 'A', 'a', '', '', '', 0, now(), now(), 'rouge')
            """
        )
        connection.execute("UPDATE category_categorie SET couleur = 'bleu' WHERE slug = 'a'")
        connection.execute("DELETE FROM core_importlog WHERE false")
        connection.execute("UPDATE reviews_avis SET avis_decrypte_id = NULL WHERE false")
        connection.execute("INSERT INTO ingest.job_runs SELECT * FROM ingest.job_runs")
        connection.execute("SELECT ingest.is_sponsored(gen_random_uuid())")
        connection.execute("CREATE TEMPORARY TABLE staging (a int)")
        with acting("foxstream_write") as other:
            notices: list[str] = []
            other.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
            other.execute("ANALYZE category_categorie")
        assert (notices == []) is (int(version) >= 170000)


def test_the_site_reads_where_texts_come_from(site: str, acting: As) -> None:
    """Every column of provenance, and nothing else of ours; it says who reviewed a text, and no more."""
    with psycopg.connect(site) as connection:
        found = {
            (table, right)
            for table, right in connection.execute(
                """
                SELECT relname, r FROM pg_class
                CROSS JOIN unnest(ARRAY[
                    'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'
                ]) r
                WHERE relnamespace = 'ingest'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
                    AND has_table_privilege('foxstream_site', pg_class.oid, r)
                """
            )
        }
        changed = connection.execute(
            """
            SELECT attrelid::regclass::text, attname FROM pg_attribute
            JOIN pg_class c ON c.oid = attrelid AND c.relnamespace = 'ingest'::regnamespace
            WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm')
                AND has_column_privilege('foxstream_site', attrelid, attnum, 'UPDATE')
            ORDER BY 2
            """
        ).fetchall()
        reads = ("text_provenance", "text_marks", "text_history")
        assert found == {(table, "SELECT") for table in reads}
        assert changed == [
            ("ingest.text_provenance", "reviewed_at"),
            ("ingest.text_provenance", "reviewed_by"),
        ]
    with acting("foxstream_site") as connection:
        for table in reads:
            connection.execute(f"SELECT * FROM ingest.{table}".encode())
        connection.execute(
            "UPDATE ingest.text_provenance SET reviewed_by = 'A', reviewed_at = now()"
        )
        each_is_denied(
            connection,
            "UPDATE ingest.text_provenance SET generated_by = 'people'",
            "DELETE FROM ingest.text_history",
            "SELECT * FROM ingest.ai_calls",
            "SELECT nom FROM enterprise_entreprise",
        )


def test_the_role_of_the_site_sees_its_texts_marked(site: str) -> None:
    """With foxstream_site, and the rights that it has on its own tables."""
    with psycopg.connect(site) as connection, connection.transaction(force_rollback=True):
        connection.execute(
            """
            CREATE ROLE the_site;
            GRANT foxstream_site TO the_site;
            GRANT SELECT ON category_categorie, subcategory_souscategorie, location_ville,
                enterprise_prolocalisation, reviews_avisdecrypte TO the_site;
            INSERT INTO category_categorie (
                id, nom, slug, description, meta_description, texte_description_ia, ordre,
                created_at, updated_at
            ) VALUES (gen_random_uuid(), 'A', 'a', '', '', 'Un texte.', 0, now(), now());
            INSERT INTO ingest.text_provenance (
                table_name, row_id, column_name, kind, entity_id, sha256, model, prompt_version,
                generated_at, cost
            )
            SELECT 'category_categorie', id, 'texte_description_ia', 'CATEGORIE', id,
                ingest.text_sha256('Un texte.'), 'm', '1', now(), 0.001
            FROM category_categorie;
            SET LOCAL ROLE the_site
            """
        )
        found = connection.execute(
            "SELECT generated_by, digital_source_type, model, is_edited FROM ingest.text_marks"
        ).fetchall()

    kind = "https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert found == [("model", kind, "m", False)]
