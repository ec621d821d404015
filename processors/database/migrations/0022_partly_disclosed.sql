-- A company with status P, a natural or a legal person: nothing about it is sent to a model.
CREATE FUNCTION ingest.is_partly_disclosed(siren text) RETURNS boolean LANGUAGE sql STABLE STRICT
    RETURN EXISTS (
        SELECT FROM ingest.sirene x WHERE x.siren = $1 AND 'P' IN (x.diffusion_unite, x.diffusion_siege)
    );
