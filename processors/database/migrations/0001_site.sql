-- The site's tables for the two first import types, and its import log. On the site's own database
-- they exist already and only the ingest_ columns are added: nullable, and ignored by the site.
-- Names and lengths are a contract with the site.

CREATE TABLE IF NOT EXISTS location_ville (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    nom varchar(100) NOT NULL,
    slug varchar(120) NOT NULL UNIQUE,
    code_postal_principal varchar(5) NOT NULL,
    codes_postaux jsonb NOT NULL,
    departement varchar(3) NOT NULL,
    region varchar(100) NOT NULL,
    lat double precision NOT NULL CHECK (lat BETWEEN -90 AND 90),
    lng double precision NOT NULL CHECK (lng BETWEEN -180 AND 180),
    population integer NOT NULL,
    texte_description_ia text NOT NULL DEFAULT '',
    meta_description varchar(160) NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS location_ville_nom_cp ON location_ville (nom, code_postal_principal);
CREATE INDEX IF NOT EXISTS location_ville_code_postal ON location_ville (code_postal_principal);
CREATE INDEX IF NOT EXISTS location_ville_departement ON location_ville (departement, region);
CREATE INDEX IF NOT EXISTS location_ville_region ON location_ville (region);

CREATE TABLE IF NOT EXISTS enterprise_entreprise (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    siren varchar(9) NOT NULL UNIQUE,
    siren_temporaire boolean NOT NULL DEFAULT false,
    enrichi_insee boolean NOT NULL DEFAULT false,
    enrichi_dirigeants boolean NOT NULL DEFAULT false,
    siret varchar(14),
    nom varchar(255) NOT NULL,
    nom_commercial varchar(255) NOT NULL DEFAULT '',
    adresse text NOT NULL DEFAULT '',
    code_postal varchar(5) NOT NULL DEFAULT '',
    ville_nom varchar(100) NOT NULL DEFAULT '',
    naf_code varchar(6) NOT NULL DEFAULT '',
    naf_libelle varchar(255) NOT NULL DEFAULT '',
    telephone varchar(20) NOT NULL DEFAULT '',
    email_contact varchar(254) NOT NULL DEFAULT '',
    site_web varchar(200) NOT NULL DEFAULT '',
    stripe_customer_id varchar(255) NOT NULL DEFAULT '',
    domain varchar(255) NOT NULL DEFAULT '',
    latitude numeric(10, 7),
    longitude numeric(10, 7),
    logo varchar(200) NOT NULL DEFAULT '',
    main_image varchar(200) NOT NULL DEFAULT '',
    nom_proprietaire varchar(255) NOT NULL DEFAULT '',
    contacts jsonb NOT NULL DEFAULT '{}',
    google_place_id varchar(255) NOT NULL DEFAULT '',
    original_title varchar(255) NOT NULL DEFAULT '',
    is_active boolean NOT NULL DEFAULT true
);
CREATE INDEX IF NOT EXISTS enterprise_entreprise_siret ON enterprise_entreprise (siret);
CREATE INDEX IF NOT EXISTS enterprise_entreprise_ville ON enterprise_entreprise (ville_nom, code_postal);
CREATE INDEX IF NOT EXISTS enterprise_entreprise_naf ON enterprise_entreprise (naf_code);

CREATE TABLE IF NOT EXISTS core_importlog (
    id uuid PRIMARY KEY,
    import_type varchar(20) NOT NULL,
    status varchar(20) NOT NULL,
    file_name varchar(255) NOT NULL,
    file varchar(100) NOT NULL DEFAULT '',
    uploaded_by_id integer,
    generate_ai_content boolean NOT NULL,
    ai_generation_started boolean NOT NULL,
    ai_generation_completed boolean NOT NULL,
    total_rows integer NOT NULL,
    success_rows integer NOT NULL,
    error_rows integer NOT NULL,
    errors jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    completed_at timestamptz
);
CREATE INDEX IF NOT EXISTS core_importlog_type_status ON core_importlog (import_type, status);
CREATE INDEX IF NOT EXISTS core_importlog_created ON core_importlog (created_at DESC);

-- Which observation a row holds: the guard against older ones, and what `trace` tells. They stand
-- in the row, not in a table of their own: one write instead of two (docs/decisions/0003).
-- outcome: i inserted, u updated, = unchanged.
ALTER TABLE location_ville
    ADD COLUMN IF NOT EXISTS ingest_observed_at timestamptz,
    ADD COLUMN IF NOT EXISTS ingest_import_id uuid,
    ADD COLUMN IF NOT EXISTS ingest_line integer,
    ADD COLUMN IF NOT EXISTS ingest_partition integer,
    ADD COLUMN IF NOT EXISTS ingest_offset bigint,
    ADD COLUMN IF NOT EXISTS ingest_outcome "char";
ALTER TABLE enterprise_entreprise
    ADD COLUMN IF NOT EXISTS ingest_observed_at timestamptz,
    ADD COLUMN IF NOT EXISTS ingest_import_id uuid,
    ADD COLUMN IF NOT EXISTS ingest_line integer,
    ADD COLUMN IF NOT EXISTS ingest_partition integer,
    ADD COLUMN IF NOT EXISTS ingest_offset bigint,
    ADD COLUMN IF NOT EXISTS ingest_outcome "char";

-- Room on each page for the new version of a row: an import that finds nothing to change still
-- moves the guard, and with room it touches no index (PostgreSQL, "Heap-Only Tuples").
ALTER TABLE location_ville SET (fillfactor = 80);
ALTER TABLE enterprise_entreprise SET (fillfactor = 80);
