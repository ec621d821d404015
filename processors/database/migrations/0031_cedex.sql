-- A CEDEX is a postal code of no city: the commune decides, or the name within the département. Few
-- postal codes of cities do not end in 0, and only those of arrondissements begin with 75.
CREATE FUNCTION ingest.may_be_cedex(code_postal text, ville_nom text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN code_postal ~ '[1-9]$|^75[1-9]' OR ville_nom ~* '\mcedex';

CREATE INDEX unresolved_pages_commune ON ingest.unresolved_pages (code_commune, entreprise_id)
    WHERE reason = 'ville' AND code_commune IS NOT NULL;
CREATE INDEX unresolved_pages_cedex ON ingest.unresolved_pages (left(code_postal, 2), entreprise_id)
    WHERE reason = 'ville' AND ville_nom ~* '\mcedex';

UPDATE ingest.unresolved_pages u
SET code_commune = x.code_commune
FROM enterprise_entreprise e
JOIN ingest.sirene x ON x.siren = e.siren
WHERE e.id = u.entreprise_id AND ingest.may_be_cedex(u.code_postal, u.ville_nom);
INSERT INTO ingest.pages_due (reason, key)
SELECT DISTINCT 'ville', code_postal FROM ingest.unresolved_pages
WHERE reason = 'ville' AND ingest.may_be_cedex(code_postal, ville_nom);
