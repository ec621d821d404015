-- name: stored
SELECT code FROM ingest.naf

-- name: store
INSERT INTO ingest.naf (code, libelle, sous_categorie)
SELECT * FROM unnest(%(codes)s::text[], %(labels)s::text[], %(slugs)s::text[])
ON CONFLICT (code) DO UPDATE
SET libelle = EXCLUDED.libelle, sous_categorie = EXCLUDED.sous_categorie

-- name: remove
DELETE FROM ingest.naf WHERE code <> ALL(%(codes)s)

-- name: arrived
INSERT INTO ingest.pages_due (reason) VALUES ('naf'), ('sous-categorie')
