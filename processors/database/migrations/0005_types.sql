-- The site's tables for categories and sub-categories, and one of départements. As in 0001: on the
-- site's own database they exist, and only the ingest_ columns are added.

CREATE TABLE IF NOT EXISTS category_categorie (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    nom varchar(100) NOT NULL UNIQUE,
    slug varchar(120) NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    texte_description_ia text NOT NULL DEFAULT '',
    meta_description varchar(160) NOT NULL DEFAULT '',
    ordre integer NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS subcategory_souscategorie (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    categorie_id uuid NOT NULL REFERENCES category_categorie (id) ON DELETE CASCADE,
    nom varchar(100) NOT NULL,
    slug varchar(120) NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    texte_description_ia text NOT NULL DEFAULT '',
    meta_description varchar(160) NOT NULL DEFAULT '',
    mots_cles text NOT NULL DEFAULT '',
    ordre integer NOT NULL DEFAULT 0,
    UNIQUE (categorie_id, nom)
);

CREATE TABLE IF NOT EXISTS location_departement (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    code varchar(3) NOT NULL UNIQUE,
    nom varchar(100) NOT NULL
);

-- ingest_key is the slug of the name that a file or an upstream system gave: it stays when the site
-- gives the row another name or slug. Null: no row of ours has met this one yet.
ALTER TABLE category_categorie
    ADD COLUMN IF NOT EXISTS ingest_key text UNIQUE,
    ADD COLUMN IF NOT EXISTS ingest_observed_at timestamptz,
    ADD COLUMN IF NOT EXISTS ingest_import_id uuid,
    ADD COLUMN IF NOT EXISTS ingest_line integer,
    ADD COLUMN IF NOT EXISTS ingest_partition integer,
    ADD COLUMN IF NOT EXISTS ingest_offset bigint,
    ADD COLUMN IF NOT EXISTS ingest_outcome "char";
ALTER TABLE subcategory_souscategorie
    ADD COLUMN IF NOT EXISTS ingest_key text,
    ADD COLUMN IF NOT EXISTS ingest_observed_at timestamptz,
    ADD COLUMN IF NOT EXISTS ingest_import_id uuid,
    ADD COLUMN IF NOT EXISTS ingest_line integer,
    ADD COLUMN IF NOT EXISTS ingest_partition integer,
    ADD COLUMN IF NOT EXISTS ingest_offset bigint,
    ADD COLUMN IF NOT EXISTS ingest_outcome "char";
CREATE UNIQUE INDEX IF NOT EXISTS subcategory_souscategorie_ingest
    ON subcategory_souscategorie (categorie_id, ingest_key);
ALTER TABLE location_departement
    ADD COLUMN IF NOT EXISTS ingest_observed_at timestamptz,
    ADD COLUMN IF NOT EXISTS ingest_import_id uuid,
    ADD COLUMN IF NOT EXISTS ingest_line integer,
    ADD COLUMN IF NOT EXISTS ingest_partition integer,
    ADD COLUMN IF NOT EXISTS ingest_offset bigint,
    ADD COLUMN IF NOT EXISTS ingest_outcome "char";

-- Rows that wait for the row that they belong to: the record as it came, byte for byte.
CREATE TABLE ingest.parked (
    topic_id text NOT NULL, -- of this topic of its name, as in ingest.positions
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    appended_at timestamptz NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    headers json NOT NULL, -- as in ingest.rejects
    import_id uuid,
    number integer NOT NULL, -- of the row in its import; 0: it has none
    line integer,
    sheet text,
    parent_key text NOT NULL,
    parent_name text NOT NULL, -- as the row spells it
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic_id, partition, "offset")
);
CREATE INDEX parked_parent ON ingest.parked (topic, partition, parent_key, "offset");
CREATE INDEX parked_import ON ingest.parked (import_id, number);

-- Rows of other imports that waited for a row of this one.
ALTER TABLE ingest.progress ADD COLUMN released integer NOT NULL DEFAULT 0;
ALTER TABLE ingest.imports ADD COLUMN released integer NOT NULL DEFAULT 0;
