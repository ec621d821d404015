-- name: columns
SELECT siren, nom, siret, nom_commercial, adresse, code_postal, ville_nom, naf_code, naf_libelle,
    telephone, email_contact, site_web, is_active,
    NULL::text AS own_libelle, -- the nomenclature's label of the activity
    -- The activity in the site's nomenclature and in the other one; neither if naf_code is all there is.
    naf_code AS naf_first, naf_code AS naf_other,
    NULL::text AS naf_2025, NULL::text AS categorie_juridique, NULL::text AS statut_diffusion,
    NULL::text AS code_commune, NULL::boolean AS etablissement_siege,
    NULL::text COLLATE "C" AS source_date,
    NULL::varchar AS domain, NULL::numeric(10, 7) AS latitude, NULL::numeric(10, 7) AS longitude,
    NULL::varchar AS logo, NULL::varchar AS main_image, NULL::varchar AS nom_proprietaire,
    NULL::varchar AS google_place_id, NULL::varchar AS original_title, NULL::boolean AS enrichi_insee,
    NULL::boolean AS siren_temporaire
FROM enterprise_entreprise

-- name: merge
-- The outcome is worked out where the values are: rows are wide, and of this type there are millions.
WITH found AS (
    SELECT s.key, s.observed_at, s.import_id, s.line, s.offset_, s.counted, s.repeated, s.resolving,
        given.*, CASE
            -- Of the same time: a row of a file wins over one of an upstream system.
            WHEN (t.ingest_observed_at, t.ingest_import_id IS NOT NULL)
                > (s.observed_at, s.import_id IS NOT NULL) THEN 's'
            WHEN ROW(given.nom, given.siret, given.nom_commercial, given.adresse, given.code_postal,
                given.ville_nom, given.naf_code, given.naf_libelle, given.telephone,
                given.email_contact, given.site_web, given.is_active
                /* each detail: , given.{name} */)
                IS DISTINCT FROM ROW(t.nom, t.siret, t.nom_commercial, t.adresse, t.code_postal,
                t.ville_nom, t.naf_code, t.naf_libelle, t.telephone, t.email_contact, t.site_web,
                t.is_active /* each detail: , t.{name} */) THEN 'u'
            ELSE '='
        END::"char" AS outcome
    FROM staging s
    JOIN enterprise_entreprise t ON t.siren = s.key
    CROSS JOIN LATERAL (
        SELECT ingest.pick(s.policy, s.nom, t.nom, '') AS nom,
            ingest.pick(s.policy, s.siret, t.siret, NULL) AS siret,
            ingest.pick(s.policy, s.nom_commercial, t.nom_commercial, '') AS nom_commercial,
            ingest.pick(s.policy, s.adresse, t.adresse, '') AS adresse,
            ingest.pick(s.policy, s.code_postal, t.code_postal, '') AS code_postal,
            ingest.pick(s.policy, s.ville_nom, t.ville_nom, '') AS ville_nom,
            ingest.pick(s.policy, s.naf_code, t.naf_code, '') AS naf_code,
            -- A label that nobody gives follows its code; one that stands there for it is left.
            ingest.pick(s.policy, coalesce(s.naf_libelle, CASE
                WHEN s.policy = 'overwrite' OR t.naf_libelle = '' OR t.naf_code <> s.naf_code
                THEN s.own_libelle
            END), t.naf_libelle, '') AS naf_libelle,
            ingest.pick(s.policy, s.telephone, t.telephone, '') AS telephone,
            ingest.pick(s.policy, s.email_contact, t.email_contact, '') AS email_contact,
            ingest.pick(s.policy, s.site_web, t.site_web, '') AS site_web,
            -- A stored flag is never missing, and an overwritten one falls back to the site's default.
            CASE s.policy
                WHEN 'merge' THEN coalesce(s.is_active, t.is_active)
                WHEN 'overwrite' THEN coalesce(s.is_active, true)
                ELSE t.is_active
            END AS is_active
            -- Producers that do not say which columns a file lacks have none of these.
            /* each detail: , ingest.pick(CASE WHEN s.absent IS NULL
                THEN replace(s.policy, 'overwrite', 'merge') ELSE s.policy END,
                s.{name}, t.{name}, {blank}) AS {name} */
    ) given
    WHERE s.round = %(round)s
    ORDER BY t.siren
    FOR NO KEY UPDATE OF t
), updated AS (
    UPDATE enterprise_entreprise t SET
        nom = j.nom, siret = j.siret, nom_commercial = j.nom_commercial, adresse = j.adresse,
        code_postal = j.code_postal, ville_nom = j.ville_nom, naf_code = j.naf_code,
        naf_libelle = j.naf_libelle, telephone = j.telephone, email_contact = j.email_contact,
        site_web = j.site_web, is_active = j.is_active, /* each detail: {name} = j.{name}, */
        updated_at = CASE j.outcome WHEN 'u' THEN now() ELSE t.updated_at END,
        ingest_observed_at = j.observed_at, ingest_import_id = j.import_id, ingest_line = j.line,
        ingest_partition = %(partition)s, ingest_offset = j.offset_, ingest_outcome = j.outcome
    FROM found j
    WHERE t.siren = j.key AND j.outcome <> 's'
), fresh AS MATERIALIZED (
    SELECT s.*
    FROM staging s
    WHERE s.round = %(round)s
        AND s.key NOT IN (SELECT key FROM found)
    ORDER BY s.key
), inserted AS (
    INSERT INTO enterprise_entreprise (
        id, created_at, updated_at, siren, nom, siret, nom_commercial, adresse, code_postal,
        ville_nom, naf_code, naf_libelle, telephone, email_contact, site_web, is_active,
        ingest_observed_at, ingest_import_id, ingest_line, ingest_partition, ingest_offset,
        ingest_outcome /* each detail: , {name} */ /* filled columns */
    )
    SELECT id, now(), now(), siren, nom, siret, coalesce(nom_commercial, ''),
        coalesce(adresse, ''), coalesce(code_postal, ''), coalesce(ville_nom, ''),
        coalesce(naf_code, ''), coalesce(naf_libelle, own_libelle, ''), coalesce(telephone, ''),
        coalesce(email_contact, ''), coalesce(site_web, ''), coalesce(is_active, true),
        observed_at, import_id, line, %(partition)s, offset_, 'i'
        /* each detail: , coalesce({name}, {blank}) */ /* filled values */
    FROM fresh
)
SELECT import_id, outcome, sum(counted), sum(repeated), resolving
FROM (
    SELECT import_id, outcome, counted, repeated, resolving FROM found
    UNION ALL
    SELECT import_id, 'i', counted, repeated, resolving FROM fresh
) outcomes
GROUP BY import_id, outcome, resolving

-- name: releasable
-- Companies that rows about their head office wait for, and that are known by now (not all of them are
-- on the site: docs/sirene.md), or rows of which an import was cancelled.
SELECT p.partition, p.parent_key
FROM ingest.parked p
WHERE p.topic = ANY (%(topics)s) AND p.partition = ANY (%(partitions)s) AND (
    EXISTS (SELECT FROM enterprise_entreprise e WHERE e.siren = p.parent_key)
    OR EXISTS (
        SELECT FROM ingest.sirene x
        WHERE x.siren = p.parent_key AND x.diffusion_unite = 'P'
            AND coalesce(x.categorie_juridique, '1000') = '1000'
            AND (x.diffusion_siege = 'O' AND x.diffusion_siege_at > x.diffusion_unite_at) IS NOT TRUE
    )
    OR EXISTS (
        SELECT FROM ingest.imports i WHERE i.id = p.import_id AND i.cancelled_at IS NOT NULL
    )
)
GROUP BY p.partition, p.parent_key
ORDER BY p.partition, min(p.parked_at)
