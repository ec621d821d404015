-- Four roles, each with no more than its work needs. Run once by an owner of the server, in the
-- database of the site, before `foxstream-worker migrate`; it may run again at any time:
--
--     psql --dbname foxreviews --file deploy/postgres/roles.sql
--     psql --dbname foxreviews --command '\password foxstream_migrate'   (and _write, _read)
--
-- foxstream_migrate  `foxstream-worker migrate`: owns what it creates
-- foxstream_write    all other commands of foxstream-worker: rows of the tables that it names below, but
--                    no table of its own, and nothing of the site's accounts and sessions
-- foxstream_read     dashboards and people: the same tables
-- foxstream_site     what the site reads of the texts that a model wrote, and the columns in which it
--                    says who reviewed them: GRANT foxstream_site TO the role of the site
--
-- Tables that the site made before belong to others: let foxstream_migrate own them
-- (ALTER TABLE ... OWNER TO foxstream_migrate), else a migration cannot change them.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['foxstream_migrate', 'foxstream_write', 'foxstream_read'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
        EXECUTE format(
            'ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name
        );
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
    END LOOP;

    -- Nobody logs in as this one.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'foxstream_site') THEN
        CREATE ROLE foxstream_site NOLOGIN;
    END IF;

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    -- Migrations make the schema `ingest`.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO foxstream_migrate', current_database());
    -- A batch is copied to a temporary table first.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO foxstream_write', current_database());
END
$$;

ALTER ROLE foxstream_read SET default_transaction_read_only = on;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO foxstream_migrate;
GRANT USAGE ON SCHEMA public TO foxstream_write, foxstream_read;

-- Of an earlier version of this file: rights on whatever migrations would create.
ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate
    REVOKE ALL ON SCHEMAS FROM foxstream_write, foxstream_read;
ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate
    REVOKE ALL ON TABLES FROM foxstream_write, foxstream_read;
ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate
    REVOKE ALL ON SEQUENCES FROM foxstream_write;

-- What is there already; `foxstream-worker migrate` does the same for what it makes.
-- <grants> from processors/database/grants.py, by `python -m tests.documents`
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
            ('foxstream_write', 'category_categorie', 'SELECT, INSERT, UPDATE'),
            ('foxstream_write', 'core_importlog', 'SELECT, INSERT, UPDATE, DELETE'),
            ('foxstream_write', 'enterprise_entreprise', 'SELECT, INSERT, UPDATE'),
            ('foxstream_write', 'enterprise_prolocalisation', 'SELECT, INSERT, UPDATE'),
            ('foxstream_write', 'location_departement', 'SELECT, INSERT, UPDATE'),
            ('foxstream_write', 'location_ville', 'SELECT, INSERT, UPDATE'),
            ('foxstream_write', 'reviews_avis', 'SELECT, UPDATE (avis_decrypte_id)'),
            ('foxstream_write', 'reviews_avisdecrypte', 'SELECT, INSERT, UPDATE, DELETE'),
            ('foxstream_write', 'sponsorisation', 'SELECT'),
            ('foxstream_write', 'subcategory_souscategorie', 'SELECT, INSERT, UPDATE'),
            ('foxstream_write', 'foxstream_migrations', 'SELECT'),
            ('foxstream_read', 'category_categorie', 'SELECT'),
            ('foxstream_read', 'core_importlog', 'SELECT'),
            ('foxstream_read', 'enterprise_entreprise', 'SELECT'),
            ('foxstream_read', 'enterprise_prolocalisation', 'SELECT'),
            ('foxstream_read', 'location_departement', 'SELECT'),
            ('foxstream_read', 'location_ville', 'SELECT'),
            ('foxstream_read', 'reviews_avis', 'SELECT'),
            ('foxstream_read', 'reviews_avisdecrypte', 'SELECT'),
            ('foxstream_read', 'sponsorisation', 'SELECT'),
            ('foxstream_read', 'subcategory_souscategorie', 'SELECT'),
            ('foxstream_read', 'foxstream_migrations', 'SELECT')
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
                AND found.relname IN ('enterprise_entreprise', 'enterprise_prolocalisation', 'location_ville', 'category_categorie', 'subcategory_souscategorie', 'location_departement')
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
$$;
-- </grants>
