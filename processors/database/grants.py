"""What each role of deploy/postgres/roles.sql may do with which table; nothing with any other.

The database is the site's: beside these tables it has accounts with their passwords, sessions, and
whatever else Django and its applications keep. Rights are for whole tables where foxstream inserts:
a column that the site adds later gets its value in the same statement (site_tables.py).
"""

from collections.abc import Mapping
from typing import LiteralString

WRITE: LiteralString = "foxstream_write"
READ: LiteralString = "foxstream_read"

_MERGED: LiteralString = "SELECT, INSERT, UPDATE"
_SELECT: LiteralString = "SELECT"

_SITE_TABLES: Mapping[LiteralString, LiteralString] = {
    "category_categorie": _MERGED,
    "core_importlog": "SELECT, INSERT, UPDATE, DELETE",
    "enterprise_entreprise": _MERGED,
    "enterprise_prolocalisation": _MERGED,
    "location_departement": _MERGED,
    "location_ville": _MERGED,
    "reviews_avis": "SELECT, UPDATE (avis_decrypte_id)",
    "reviews_avisdecrypte": "SELECT, INSERT, UPDATE, DELETE",
    "sponsorisation": _SELECT,
    "subcategory_souscategorie": _MERGED,
}
"""In the schema public, for workers."""

ANALYZED: tuple[LiteralString, ...] = (
    "enterprise_entreprise",
    "enterprise_prolocalisation",
    "location_ville",
    "category_categorie",
    "subcategory_souscategorie",
    "location_departement",
)
"""Tables whose statistics become outdated by imports: from PostgreSQL 17 on workers may analyze them."""

GRANTS: Mapping[LiteralString, Mapping[LiteralString, LiteralString]] = {
    WRITE: {**_SITE_TABLES, "foxstream_migrations": _SELECT},
    READ: dict.fromkeys([*_SITE_TABLES, "foxstream_migrations"], _SELECT),
}
"""Rights on tables of the schema public, by role. The schema ingest has only tables of foxstream."""


def statement() -> LiteralString:
    """Gives the roles that exist their rights, and takes all others from them.

    It changes the tables that who runs it owns, and may run at any time.
    """
    rows: list[LiteralString] = [
        f"            ('{role}', '{table}', '{rights}')"
        for role, tables in GRANTS.items()
        for table, rights in tables.items()
    ]
    analyzed: list[LiteralString] = [f"'{table}'" for table in ANALYZED]
    return _STATEMENT.replace("%ROWS%", ",\n".join(rows)).replace("%ANALYZED%", ", ".join(analyzed))


_STATEMENT: LiteralString = """\
DO $$
DECLARE
    grantee text;
    found record;
BEGIN
    FOR grantee IN
        SELECT rolname FROM pg_roles WHERE rolname IN ('foxstream_write', 'foxstream_read')
    LOOP
        FOR found IN
            SELECT c.oid::regclass AS relation, n.nspname, c.relname, c.relkind, g.rights
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN (VALUES
%ROWS%
            ) g (role, name, rights)
                ON g.role = grantee AND g.name = c.relname AND n.nspname = 'public'
            WHERE n.nspname IN ('public', 'ingest') AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                AND pg_has_role(current_user, c.relowner, 'USAGE')
            ORDER BY c.relkind = 'S', n.nspname, c.relname
        LOOP
            IF found.relkind = 'S' THEN
                EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM %I', found.relation, grantee);
                IF grantee = 'foxstream_write' AND EXISTS (
                    SELECT FROM pg_depend d
                    WHERE d.objid = found.relation AND d.classid = 'pg_class'::regclass
                        AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
                        AND has_table_privilege(grantee, d.refobjid, 'INSERT')
                ) THEN
                    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %I', found.relation, grantee);
                END IF;
                CONTINUE;
            END IF;
            EXECUTE format('REVOKE ALL ON %s FROM %I', found.relation, grantee);
            IF found.nspname = 'ingest' THEN
                EXECUTE format(
                    'GRANT %s ON %s TO %I',
                    CASE grantee
                        WHEN 'foxstream_write' THEN 'SELECT, INSERT, UPDATE, DELETE' ELSE 'SELECT'
                    END,
                    found.relation, grantee
                );
            ELSIF found.rights IS NOT NULL THEN
                EXECUTE format('GRANT %s ON %s TO %I', found.rights, found.relation, grantee);
            END IF;
            IF grantee = 'foxstream_write' AND found.nspname = 'public'
                AND found.relname IN (%ANALYZED%)
                AND current_setting('server_version_num')::int >= 170000
            THEN
                EXECUTE format('GRANT MAINTAIN ON %s TO foxstream_write', found.relation);
            END IF;
        END LOOP;
        IF (
            SELECT pg_has_role(current_user, nspowner, 'USAGE')
            FROM pg_namespace WHERE nspname = 'ingest'
        ) THEN
            EXECUTE format('GRANT USAGE ON SCHEMA ingest TO %I', grantee);
        END IF;
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'foxstream_site') AND (
        SELECT pg_has_role(current_user, relowner, 'USAGE')
        FROM pg_class WHERE oid = to_regclass('ingest.text_provenance')
    ) THEN
        GRANT USAGE ON SCHEMA ingest TO foxstream_site;
        GRANT SELECT ON ingest.text_provenance, ingest.text_marks, ingest.text_history
            TO foxstream_site;
        GRANT UPDATE (reviewed_by, reviewed_at) ON ingest.text_provenance TO foxstream_site;
    END IF;
END
$$"""
