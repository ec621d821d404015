-- What a company's two codes put into the site's column, by the site's nomenclature (FOX_NAF_PRIMARY).
CREATE FUNCTION ingest.site_naf(primary_ text, rev2 text, code_2025 text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE primary_ WHEN '2025' THEN coalesce(code_2025, rev2) ELSE coalesce(rev2, code_2025) END;
