-- Four roles, each with no more than its work needs. Run once by an owner of the server, in the
-- database of the site, before `foxstream-worker migrate`; it may run again at any time:
--
--     psql --dbname foxreviews --file deploy/postgres/roles.sql
--     psql --dbname foxreviews --command '\password foxstream_migrate'   (and _write, _read)
--
-- foxstream_migrate  `foxstream-worker migrate`: owns what it creates
-- foxstream_write    all other commands of foxstream-worker: rows, but no table of its own
-- foxstream_read     dashboards and people
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

    -- A table that grew by a whole import is analysed by who wrote it (PostgreSQL 17 and newer).
    IF current_setting('server_version_num')::int >= 170000 THEN
        ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate
            GRANT MAINTAIN ON TABLES TO foxstream_write;
    END IF;
END
$$;

ALTER ROLE foxstream_read SET default_transaction_read_only = on;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO foxstream_migrate;
GRANT USAGE ON SCHEMA public TO foxstream_write, foxstream_read;

-- What migrations will create.
ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate
    GRANT USAGE ON SCHEMAS TO foxstream_write, foxstream_read;
ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO foxstream_write;
ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate
    GRANT SELECT ON TABLES TO foxstream_read;
ALTER DEFAULT PRIVILEGES FOR ROLE foxstream_migrate
    GRANT USAGE ON SEQUENCES TO foxstream_write;

-- What is there already.
DO $$
DECLARE
    schema text;
BEGIN
    FOR schema IN SELECT nspname FROM pg_namespace WHERE nspname IN ('public', 'ingest') LOOP
        EXECUTE format(
            'GRANT USAGE ON SCHEMA %I TO foxstream_write, foxstream_read', schema
        );
        EXECUTE format(
            'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO foxstream_write',
            schema
        );
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO foxstream_read', schema);
        EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO foxstream_write', schema);
    END LOOP;

    IF to_regclass('ingest.text_provenance') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA ingest TO foxstream_site;
        GRANT SELECT ON ingest.text_provenance, ingest.text_marks, ingest.text_history
            TO foxstream_site;
        GRANT UPDATE (reviewed_by, reviewed_at) ON ingest.text_provenance TO foxstream_site;
    END IF;
END
$$;
