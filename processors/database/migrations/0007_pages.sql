-- The site's public pages, one per company, trade and city, and what decides which there are.

CREATE TABLE IF NOT EXISTS enterprise_prolocalisation (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    entreprise_id uuid NOT NULL REFERENCES enterprise_entreprise (id) ON DELETE CASCADE,
    sous_categorie_id uuid NOT NULL REFERENCES subcategory_souscategorie (id) ON DELETE CASCADE,
    ville_id uuid NOT NULL REFERENCES location_ville (id) ON DELETE CASCADE,
    zone_description text NOT NULL DEFAULT '',
    texte_long_entreprise text NOT NULL DEFAULT '',
    meta_description varchar(160) NOT NULL DEFAULT '',
    date_derniere_generation_ia timestamptz,
    faq jsonb NOT NULL DEFAULT '[]',
    note_moyenne double precision NOT NULL DEFAULT 0 CHECK (note_moyenne BETWEEN 0 AND 5),
    nb_avis integer NOT NULL DEFAULT 0,
    score_global double precision NOT NULL DEFAULT 0 CHECK (score_global BETWEEN 0 AND 100),
    is_verified boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true,
    UNIQUE (entreprise_id, sous_categorie_id, ville_id)
);
CREATE INDEX IF NOT EXISTS enterprise_prolocalisation_sous_categorie
    ON enterprise_prolocalisation (sous_categorie_id);
CREATE INDEX IF NOT EXISTS enterprise_prolocalisation_ville ON enterprise_prolocalisation (ville_id);
CREATE INDEX IF NOT EXISTS enterprise_prolocalisation_score
    ON enterprise_prolocalisation (score_global, note_moyenne);
CREATE INDEX IF NOT EXISTS enterprise_prolocalisation_active
    ON enterprise_prolocalisation (is_active, is_verified);

-- made: an import made the page, retired: one took it off the site again because the company moved.
ALTER TABLE enterprise_prolocalisation
    ADD COLUMN IF NOT EXISTS ingest_made boolean,
    ADD COLUMN IF NOT EXISTS ingest_retired boolean;

-- The NAF nomenclature and the trade that each activity is: `foxstream-worker reference load`.
CREATE TABLE ingest.naf (
    code text PRIMARY KEY,
    libelle text NOT NULL,
    sous_categorie text NOT NULL -- slug
);

-- The name of a commune as it compares: without case, accents, punctuation, the number of an
-- arrondissement and CEDEX; St is Saint. The only implementation: cities and companies both use it.
CREATE FUNCTION ingest.city_key(nom text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    key text := nom;
BEGIN
    IF octet_length(key) <> char_length(key) THEN
        -- Accents become marks of their own, which are no letters of the range below.
        key := regexp_replace(normalize(key, NFKD), U&'[\0300-\036f]', '', 'g');
        key := replace(replace(key, U&'\0153', 'oe'), U&'\0152', 'oe');
    END IF;
    key := ' ' || btrim(regexp_replace(lower(key COLLATE "C"), '[^a-z0-9]+', ' ', 'g')) || ' ';
    IF strpos(key, ' cedex ') > 0 THEN
        key := regexp_replace(key, ' cedex( [0-9]+)? $', ' ');
    END IF;
    IF key ~ '[0-9]' THEN
        key := regexp_replace(
            key, ' [0-9]{1,2}(er|ere|e|eme|nd|nde)?( arr| arrt| arrdt| arrondissement)? $', ' ');
    END IF;
    IF strpos(key, ' st') > 0 THEN
        key := regexp_replace(key, ' s(te?) ', ' sain\1 ', 'g');
    END IF;
    RETURN btrim(key);
END
$$;
ALTER TABLE location_ville
    ADD COLUMN IF NOT EXISTS ingest_key text GENERATED ALWAYS AS (ingest.city_key(nom)) STORED;
CREATE INDEX location_ville_ingest ON location_ville (code_postal_principal, ingest_key);
-- Few cities have more than one code.
CREATE INDEX location_ville_codes_postaux ON location_ville USING gin (codes_postaux jsonb_path_ops)
    WHERE jsonb_array_length(codes_postaux) > 1;

-- Companies whose activity is known and whose page cannot be made yet.
CREATE TABLE ingest.unresolved_pages (
    entreprise_id uuid PRIMARY KEY REFERENCES enterprise_entreprise (id) ON DELETE CASCADE,
    reason text NOT NULL, -- naf, sous-categorie or ville: what is missing, the first of them
    naf_code text NOT NULL,
    code_postal text NOT NULL,
    ville_nom text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX unresolved_pages_place ON ingest.unresolved_pages (code_postal, entreprise_id)
    WHERE reason = 'ville';
CREATE INDEX unresolved_pages_reason ON ingest.unresolved_pages (reason, entreprise_id);

-- What has arrived that may make pages possible: a city by its postal code, any sub-category (no
-- key), the mapping of an activity by its code. Looked at when every transaction that did not see it
-- has ended; after: how far that look got.
CREATE TABLE ingest.pages_due (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason text NOT NULL,
    key text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    after uuid
);
