-- What SIRENE says of a company beside the site's columns, and of companies that the site does not
-- have because their name is not disclosed. unite_at, siege_at: the source's own date of the last row
-- about the company, and of the last one about its head office. diffusion_unite, diffusion_siege: O or
-- P, of the name and of the place; their dates are those of the rows that said so. siege_naf,
-- siege_enseigne: the activity and the trade name are the head office's, which go before.
-- masked_person: a natural person, or one whose legal category is not known, with status P; the site
-- shows no page of it, and no text is written.
CREATE TABLE ingest.sirene (
    siren text COLLATE "C" PRIMARY KEY,
    unite_at text COLLATE "C",
    siege_at text COLLATE "C",
    diffusion_unite text,
    diffusion_unite_at text COLLATE "C",
    diffusion_siege text,
    diffusion_siege_at text COLLATE "C",
    categorie_juridique text,
    code_commune text COLLATE "C",
    naf_rev2 text COLLATE "C",
    naf_2025 text COLLATE "C",
    siege_naf boolean NOT NULL DEFAULT false,
    siege_enseigne boolean NOT NULL DEFAULT false,
    masked_person boolean NOT NULL GENERATED ALWAYS AS (coalesce(
        'P' IN (diffusion_unite, diffusion_siege) AND coalesce(categorie_juridique, '1000') = '1000',
        false
    )) STORED
);
CREATE INDEX sirene_partly_disclosed ON ingest.sirene (siren)
    WHERE diffusion_unite = 'P' OR diffusion_siege = 'P';
CREATE INDEX sirene_rev2 ON ingest.sirene (naf_rev2);
CREATE INDEX sirene_2025 ON ingest.sirene (naf_2025);

-- No code is in both nomenclatures: the last letter shows which one it is from.
CREATE FUNCTION ingest.is_naf_2025(code text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN right(code, 1) IN ('Y', 'G', 'H', 'J', 'K', 'L');

CREATE FUNCTION ingest.is_masked_person(siren text) RETURNS boolean LANGUAGE sql STABLE STRICT
    RETURN EXISTS (SELECT FROM ingest.sirene x WHERE x.siren = $1 AND x.masked_person);

ALTER TABLE ingest.imports ADD COLUMN skipped_rows integer NOT NULL DEFAULT 0;
