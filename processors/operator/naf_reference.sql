-- name: alone
-- Of two that load at once, the one that comes later waits, and its file holds. Readers go on.
LOCK TABLE ingest.naf IN SHARE ROW EXCLUSIVE MODE

-- name: stored
SELECT code, sous_categorie FROM ingest.naf

-- name: store
INSERT INTO ingest.naf (code, libelle, sous_categorie)
SELECT * FROM unnest(%(codes)s::text[], %(labels)s::text[], %(slugs)s::text[])
ON CONFLICT (code) DO UPDATE
SET libelle = EXCLUDED.libelle, sous_categorie = EXCLUDED.sous_categorie

-- name: remove
DELETE FROM ingest.naf WHERE code <> ALL(%(codes)s)

-- name: arrived
-- Activities that are something else on the site now, or nothing.
INSERT INTO ingest.pages_due (reason, key) SELECT 'naf', unnest(%(codes)s::text[])
