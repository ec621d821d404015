-- As in 0007, and CEDEX with its number in one word ("PARIS CEDEX08").
CREATE OR REPLACE FUNCTION ingest.city_key(nom text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    key text := nom;
BEGIN
    IF octet_length(key) <> char_length(key) THEN
        -- Accents become marks of their own, which are no letters of the range below.
        key := regexp_replace(normalize(key, NFKD), U&'[\0300-\036f]', '', 'g');
        key := replace(replace(key, U&'\0153', 'oe'), U&'\0152', 'oe');
    END IF;
    key := ' ' || btrim(regexp_replace(lower(key COLLATE "C"), '[^a-z0-9]+', ' ', 'g')) || ' ';
    IF strpos(key, ' cedex') > 0 THEN
        key := regexp_replace(key, ' cedex ?[0-9]* ?$', ' ');
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

-- The stored keys and the open pages of such names.
UPDATE location_ville SET nom = nom WHERE nom ~* 'cedex[0-9]';
INSERT INTO ingest.pages_due (reason, key)
SELECT DISTINCT 'ville', code_postal FROM ingest.unresolved_pages
WHERE reason = 'ville' AND ville_nom ~* 'cedex[0-9]';
