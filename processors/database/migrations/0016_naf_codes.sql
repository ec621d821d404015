-- What a company's two codes put into the site's column, by the site's nomenclature (FOX_NAF_PRIMARY).
CREATE FUNCTION ingest.site_naf(primary_ text, rev2 text, code_2025 text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE primary_ WHEN '2025' THEN coalesce(code_2025, rev2) ELSE coalesce(rev2, code_2025) END;

-- The code that is kept when a row gives one, or none. A code that changed takes an older one of the
-- other nomenclature with it.
CREATE FUNCTION ingest.kept_naf(given text, stored text, other_given text, other_stored text)
    RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(given, CASE WHEN (other_given = other_stored) IS NOT FALSE THEN stored END);
