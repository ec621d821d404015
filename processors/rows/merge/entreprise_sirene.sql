-- name: is_known
SELECT EXISTS (SELECT FROM ingest.sirene) AND EXISTS (
    SELECT FROM ingest.sirene WHERE siren = ANY(string_to_array(%(sirens)s, ' '))
)

-- name: merge
-- As in entreprise.sql, for rows of SIRENE or of companies that it is known of. What SIRENE does not
-- disclose is stored as nothing, whatever the policy: docs/sirene.md. Of an older row only a code and a
-- trade name are taken that later ones lack. Outcomes beside those of all types: p, the row is about the head office of
-- a company that is not known yet; n, the company is not known and the row has no name.
WITH given AS (
    SELECT s.*, coalesce(s.etablissement_siege = false, false) AS idle,
        num_nonnulls(s.naf_2025, s.categorie_juridique, s.statut_diffusion, s.code_commune,
            s.etablissement_siege, s.source_date) > 0 OR x.siren IS NOT NULL AS of_sirene,
        x.siren IS NOT NULL AS is_known,
        coalesce(CASE WHEN s.etablissement_siege THEN x.siege_at ELSE x.unite_at END
            > s.source_date, false) AS outdated,
        coalesce(s.categorie_juridique, x.categorie_juridique) AS category,
        coalesce(d.unite = 'P' AND d.is_natural, false) AS hides_name,
        coalesce(d.siege = 'P', false) AS hides_place,
        coalesce('P' IN (d.unite, d.siege) AND d.is_natural, false) AS hides_contact,
        -- The company's own row gives way to the head office's; a row from elsewhere does not.
        s.etablissement_siege IS NOT NULL OR s.source_date IS NULL
            OR x.siege_naf IS NOT TRUE AS takes_naf,
        s.etablissement_siege IS NOT NULL OR s.source_date IS NULL
            OR x.siege_enseigne IS NOT TRUE AS takes_enseigne,
        d.unite, d.unite_at, d.siege, d.siege_at,
        f.code AS first_naf, n.rev2, n.new_2025,
        CASE WHEN s.etablissement_siege THEN '1' ELSE '0' END || s.source_date AS origin,
        x.naf_rev2_from, coalesce(x.naf_rev2_from,
            CASE WHEN x.siege_naf THEN '1' || x.siege_at ELSE '0' || x.unite_at END) AS rev2_origin,
        x.enseigne_from, coalesce(x.enseigne_from,
            CASE WHEN x.siege_enseigne THEN '1' || x.siege_at ELSE '0' || x.unite_at END
        ) AS enseigne_origin,
        x.unite_at AS stored_unite_at, x.siege_at AS stored_siege_at, x.naf_rev2 AS stored_rev2,
        x.naf_2025 AS stored_2025, x.code_commune AS stored_commune,
        coalesce(x.siege_naf, false) AS siege_naf, coalesce(x.siege_enseigne, false) AS siege_enseigne
    FROM staging s
    LEFT JOIN ingest.sirene x ON x.siren = s.key
    CROSS JOIN LATERAL (
        -- P holds for the name and the place, O for what the row is about; the later treatment counts,
        -- whenever what the row is about began.
        SELECT split_part(s.source_date, ' ', 1) AS treated_at,
            s.statut_diffusion = 'P' OR s.etablissement_siege IS NULL OR s.nom IS NOT NULL
                AS of_unite,
            s.statut_diffusion = 'P' OR coalesce(s.etablissement_siege, s.source_date IS NULL)
                AS of_siege
    ) o
    CROSS JOIN LATERAL (
        SELECT coalesce(o.of_unite AND s.statut_diffusion IS NOT NULL AND (
                x.diffusion_unite_at IS NULL OR o.treated_at IS NULL
                OR o.treated_at > x.diffusion_unite_at
                OR o.treated_at = x.diffusion_unite_at AND s.statut_diffusion = 'P'
            ), false) AS unite_said,
            coalesce(o.of_siege AND s.statut_diffusion IS NOT NULL AND (
                x.diffusion_siege_at IS NULL OR o.treated_at IS NULL
                OR o.treated_at > x.diffusion_siege_at
                OR o.treated_at = x.diffusion_siege_at AND s.statut_diffusion = 'P'
            ), false) AS siege_said
    ) l
    CROSS JOIN LATERAL (
        SELECT CASE WHEN l.unite_said THEN s.statut_diffusion ELSE x.diffusion_unite END AS unite,
            CASE WHEN l.unite_said THEN coalesce(o.treated_at, x.diffusion_unite_at)
                ELSE x.diffusion_unite_at END AS unite_at,
            CASE WHEN l.siege_said THEN s.statut_diffusion ELSE x.diffusion_siege END AS siege,
            CASE WHEN l.siege_said THEN coalesce(o.treated_at, x.diffusion_siege_at)
                ELSE x.diffusion_siege_at END AS siege_at,
            -- Whose legal category is not known counts as a natural person.
            coalesce(s.categorie_juridique, x.categorie_juridique, '1000') = '1000' AS is_natural
    ) d
    CROSS JOIN LATERAL (
        SELECT coalesce(s.naf_first, CASE WHEN s.naf_other IS NULL THEN s.naf_code END) AS code
    ) f
    CROSS JOIN LATERAL (
        SELECT CASE WHEN ingest.is_naf_2025(f.code) THEN s.naf_other
                WHEN f.code IS NOT NULL THEN f.code
                WHEN NOT ingest.is_naf_2025(s.naf_other) THEN s.naf_other END AS rev2,
            CASE WHEN ingest.is_naf_2025(f.code) THEN f.code
                WHEN ingest.is_naf_2025(s.naf_other) THEN s.naf_other END AS new_2025
    ) n
    WHERE s.round = %(round)s
), found AS (
    SELECT g.*, completion.naf AS completes_naf,
        completion.enseigne AS completes_enseigne, place.nothing IS NOT NULL AS has_moved,
        kept.rev2 AS kept_rev2, kept.new_2025 AS kept_2025, CASE
            WHEN kept.rev2 IS NULL THEN NULL
            WHEN (kept.rev2 = g.rev2) IS NOT TRUE THEN g.naf_rev2_from
            WHEN kept.rev2 = g.stored_rev2 THEN greatest(g.rev2_origin, g.origin)
            ELSE g.origin
        END AS kept_rev2_from, CASE
            WHEN NOT g.takes_enseigne OR g.hides_name OR g.nom_commercial IS NULL
                THEN g.enseigne_from
            WHEN NOT g.outdated OR completion.enseigne THEN g.origin
            WHEN g.nom_commercial = t.nom_commercial THEN greatest(g.enseigne_origin, g.origin)
            ELSE g.enseigne_from
        END AS kept_enseigne_from,
        merged.nom AS new_nom, merged.siret AS new_siret, merged.nom_commercial AS new_nom_commercial,
        merged.adresse AS new_adresse, merged.code_postal AS new_code_postal,
        merged.ville_nom AS new_ville_nom, merged.naf_code AS new_naf_code,
        merged.naf_libelle AS new_naf_libelle, merged.telephone AS new_telephone,
        merged.email_contact AS new_email_contact, merged.site_web AS new_site_web,
        merged.is_active AS new_is_active, /* each detail: merged.{name} AS new_{name}, */
        CASE
            -- Rows of a register go by its own dates: one that waited is older than its company's.
            WHEN NOT g.idle AND (completion.naf OR completion.enseigne) THEN 'u'
            WHEN g.outdated OR g.source_date IS NULL
                AND (t.ingest_observed_at, t.ingest_import_id IS NOT NULL)
                    > (g.observed_at, g.import_id IS NOT NULL)
                -- A head office that waited for its company, which says nothing of the place.
                AND (g.etablissement_siege AND t.siret IS NULL) IS NOT TRUE THEN 's'
            -- The page follows codes that the site does not show, too.
            WHEN NOT g.idle AND g.is_known AND g.takes_naf AND ROW(
                ingest.kept_naf(g.rev2, g.stored_rev2, g.new_2025, g.stored_2025),
                ingest.kept_naf(g.new_2025, g.stored_2025, g.rev2, g.stored_rev2)
            ) IS DISTINCT FROM ROW(g.stored_rev2, g.stored_2025) THEN 'u'
            WHEN NOT g.idle AND ROW(merged.nom, merged.siret, merged.nom_commercial, merged.adresse,
                merged.code_postal, merged.ville_nom, merged.naf_code, merged.naf_libelle,
                merged.telephone, merged.email_contact, merged.site_web, merged.is_active
                /* each detail: , merged.{name} */)
                IS DISTINCT FROM ROW(t.nom, t.siret, t.nom_commercial, t.adresse, t.code_postal,
                t.ville_nom, t.naf_code, t.naf_libelle, t.telephone, t.email_contact, t.site_web,
                t.is_active /* each detail: , t.{name} */) THEN 'u'
            ELSE '='
        END::"char" AS outcome
    FROM given g
    JOIN enterprise_entreprise t ON t.siren = g.key
    CROSS JOIN LATERAL (
        -- What the later row, or that of the head office, lacks: a code of the activity that it names,
        -- and a trade name; the first codes of a head office in place of the company's own.
        SELECT first.naf AS first, first.naf OR coalesce(
                (g.outdated OR NOT g.takes_naf) AND g.origin IS NOT NULL AND (
                    g.rev2 <> coalesce(g.stored_rev2, '')
                    AND (g.new_2025 = g.stored_2025) IS NOT FALSE
                    AND (g.stored_rev2 IS NULL OR g.origin > g.rev2_origin)
                    OR g.new_2025 IS NOT NULL AND g.stored_2025 IS NULL
                    AND (g.rev2 = g.stored_rev2) IS NOT FALSE
                ), false) AS naf,
            coalesce(g.outdated AND g.takes_enseigne AND NOT g.hides_name
                AND g.nom_commercial <> t.nom_commercial
                AND (t.nom_commercial = '' OR g.origin > g.enseigne_origin), false) AS enseigne
        FROM (
            SELECT g.outdated AND g.etablissement_siege IS TRUE AND NOT g.siege_naf
                AND num_nonnulls(g.rev2, g.new_2025) > 0 AS naf
        ) first
    ) completion
    CROSS JOIN LATERAL (
        SELECT completion.first OR g.takes_naf AND NOT g.outdated AS all_codes
    ) says
    CROSS JOIN LATERAL (
        SELECT CASE
                WHEN says.all_codes THEN ingest.kept_naf(g.rev2, coalesce(g.stored_rev2, CASE
                    WHEN NOT ingest.is_naf_2025(nullif(t.naf_code, '')) THEN t.naf_code
                END), g.new_2025, g.stored_2025)
                WHEN completion.naf THEN coalesce(g.rev2, g.stored_rev2)
                ELSE g.stored_rev2
            END AS rev2, CASE
                WHEN says.all_codes
                    THEN ingest.kept_naf(g.new_2025, g.stored_2025, g.rev2, g.stored_rev2)
                WHEN completion.naf THEN coalesce(g.new_2025, g.stored_2025)
                ELSE g.stored_2025
            END AS new_2025
    ) kept
    CROSS JOIN LATERAL (
        -- A code of the other nomenclature goes into the site's column only if there is none of its own
        -- of the same activity.
        SELECT coalesce(g.first_naf, g.naf_other) AS code,
            (says.all_codes OR completion.naf) AND (
            g.first_naf IS NULL AND t.naf_code <> ''
            AND ingest.is_naf_2025(t.naf_code) <> ingest.is_naf_2025(g.naf_other)
            AND (CASE WHEN ingest.is_naf_2025(g.naf_other) THEN g.stored_2025 ELSE g.stored_rev2 END
                = g.naf_other) IS NOT FALSE
        ) IS NOT TRUE AS goes_in
    ) naf
    CROSS JOIN LATERAL (
        -- The place of a head office that has moved is that of its row: what it lacks is not known.
        SELECT CASE WHEN g.etablissement_siege AND g.siret <> t.siret THEN '' END AS nothing
    ) place
    CROSS JOIN LATERAL (
        SELECT CASE WHEN g.hides_name THEN '' WHEN g.nom IS NULL THEN t.nom
                ELSE ingest.pick(g.policy, g.nom, t.nom, '') END AS nom,
            ingest.pick(g.policy, g.siret, t.siret, NULL) AS siret,
            CASE WHEN g.hides_name THEN ''
                WHEN NOT g.takes_enseigne OR g.outdated AND NOT completion.enseigne
                    THEN t.nom_commercial
                ELSE ingest.pick(g.policy, g.nom_commercial, t.nom_commercial, '')
                END AS nom_commercial,
            CASE WHEN g.hides_place THEN ''
                ELSE ingest.pick(g.policy, coalesce(g.adresse, place.nothing), t.adresse, '')
                END AS adresse,
            CASE WHEN g.hides_place THEN ''
                ELSE ingest.pick(g.policy, coalesce(g.code_postal, place.nothing), t.code_postal, '')
                END AS code_postal,
            ingest.pick(g.policy, coalesce(g.ville_nom, place.nothing), t.ville_nom, '') AS ville_nom,
            CASE WHEN naf.goes_in THEN ingest.pick(g.policy, naf.code, t.naf_code, '')
                ELSE t.naf_code END AS naf_code,
            -- A label that nobody gives follows its code; one that stands there for it is left.
            CASE WHEN naf.goes_in THEN ingest.pick(g.policy, coalesce(g.naf_libelle, CASE
                WHEN g.policy = 'overwrite' OR t.naf_libelle = '' OR t.naf_code <> naf.code
                THEN g.own_libelle
            END), t.naf_libelle, '') ELSE t.naf_libelle END AS naf_libelle,
            CASE WHEN g.hides_contact THEN ''
                ELSE ingest.pick(g.policy, g.telephone, t.telephone, '') END AS telephone,
            CASE WHEN g.hides_contact THEN ''
                ELSE ingest.pick(g.policy, g.email_contact, t.email_contact, '') END AS email_contact,
            ingest.pick(g.policy, g.site_web, t.site_web, '') AS site_web,
            -- A stored flag is never missing, and an overwritten one falls back to the site's default.
            CASE g.policy
                WHEN 'merge' THEN coalesce(g.is_active, t.is_active)
                WHEN 'overwrite' THEN coalesce(g.is_active, true)
                ELSE t.is_active
            END AS is_active
            /* each detail: , CASE WHEN {hidden} THEN {blank}
                ELSE ingest.pick(CASE WHEN g.absent IS NULL
                    THEN replace(g.policy, 'overwrite', 'merge') ELSE g.policy END,
                    g.{name}, t.{name}, {blank}) END AS {name} */
    ) merged
    ORDER BY t.siren
    FOR NO KEY UPDATE OF t
), updated AS (
    UPDATE enterprise_entreprise t SET
        nom = j.new_nom, siret = j.new_siret, nom_commercial = j.new_nom_commercial,
        adresse = j.new_adresse, code_postal = j.new_code_postal, ville_nom = j.new_ville_nom,
        naf_code = j.new_naf_code, naf_libelle = j.new_naf_libelle, telephone = j.new_telephone,
        email_contact = j.new_email_contact, site_web = j.new_site_web, is_active = j.new_is_active,
        /* each detail: {name} = j.new_{name}, */
        updated_at = CASE j.outcome WHEN 'u' THEN now() ELSE t.updated_at END,
        ingest_observed_at = greatest(j.observed_at, t.ingest_observed_at),
        ingest_import_id = j.import_id, ingest_line = j.line,
        ingest_partition = %(partition)s, ingest_offset = j.offset_, ingest_outcome = j.outcome
    FROM found j
    WHERE t.siren = j.key AND j.outcome <> 's' AND NOT j.idle AND NOT j.outdated
), completed AS (
    UPDATE enterprise_entreprise t SET
        naf_code = j.new_naf_code, naf_libelle = j.new_naf_libelle,
        nom_commercial = j.new_nom_commercial, updated_at = now(),
        ingest_observed_at = greatest(j.observed_at, t.ingest_observed_at),
        ingest_import_id = j.import_id, ingest_line = j.line,
        ingest_partition = %(partition)s, ingest_offset = j.offset_, ingest_outcome = j.outcome
    FROM found j
    WHERE t.siren = j.key AND j.outcome = 'u' AND j.outdated
), completed_facts AS (
    UPDATE ingest.sirene x SET
        naf_rev2 = j.kept_rev2, naf_rev2_from = j.kept_rev2_from, naf_2025 = j.kept_2025,
        enseigne_from = j.kept_enseigne_from,
        siege_naf = x.siege_naf OR j.completes_naf AND j.etablissement_siege IS TRUE,
        siege_enseigne = x.siege_enseigne OR j.completes_enseigne AND j.etablissement_siege IS TRUE
    FROM found j
    WHERE x.siren = j.key AND j.outdated AND NOT j.idle
        AND (j.kept_rev2, j.kept_2025, j.kept_rev2_from, j.kept_enseigne_from)
            IS DISTINCT FROM (x.naf_rev2, x.naf_2025, x.naf_rev2_from, x.enseigne_from)
), fresh AS MATERIALIZED (
    SELECT g.*, CASE
        WHEN g.idle THEN '='
        WHEN g.outdated THEN 's'
        WHEN g.nom IS NULL AND g.etablissement_siege AND NOT g.is_known THEN 'p'
        -- A head office that is disclosed again waits for the row that has the name.
        WHEN g.hides_name AND (
            g.nom IS NULL AND g.etablissement_siege AND g.siege = 'O' AND g.siege_at > g.unite_at
        ) IS NOT TRUE THEN '='
        WHEN g.nom IS NULL AND g.etablissement_siege THEN 'p'
        WHEN g.nom IS NULL THEN 'n'
        ELSE 'i'
    END::"char" AS outcome
    FROM given g
    WHERE g.key NOT IN (SELECT key FROM found)
    ORDER BY g.key
), inserted AS (
    INSERT INTO enterprise_entreprise (
        id, created_at, updated_at, siren, nom, siret, nom_commercial, adresse, code_postal,
        ville_nom, naf_code, naf_libelle, telephone, email_contact, site_web, is_active,
        ingest_observed_at, ingest_import_id, ingest_line, ingest_partition, ingest_offset,
        ingest_outcome /* each detail: , {name} */ /* filled columns */
    )
    SELECT id, now(), now(), siren, nom, siret, coalesce(nom_commercial, ''),
        CASE WHEN hides_place THEN '' ELSE coalesce(adresse, '') END,
        CASE WHEN hides_place THEN '' ELSE coalesce(code_postal, '') END, coalesce(ville_nom, ''),
        coalesce(first_naf, naf_other, ''), coalesce(naf_libelle, own_libelle, ''),
        coalesce(telephone, ''), coalesce(email_contact, ''), coalesce(site_web, ''),
        coalesce(is_active, true), observed_at, import_id, line, %(partition)s, offset_,
        'i' /* each detail: , CASE WHEN {hidden} THEN {blank} ELSE coalesce({name}, {blank}) END */
        /* filled values */
    FROM fresh g
    WHERE outcome = 'i'
), facts AS (
    INSERT INTO ingest.sirene (
        siren, unite_at, siege_at, diffusion_unite, diffusion_unite_at, diffusion_siege,
        diffusion_siege_at, categorie_juridique, code_commune, naf_rev2, naf_rev2_from, naf_2025,
        siege_naf, siege_enseigne, enseigne_from
    )
    SELECT key, CASE WHEN etablissement_siege THEN stored_unite_at
            ELSE greatest(source_date, stored_unite_at) END,
        CASE WHEN etablissement_siege THEN greatest(source_date, stored_siege_at)
            ELSE stored_siege_at END,
        unite, unite_at, siege, siege_at, category,
        coalesce(code_commune, CASE WHEN NOT has_moved THEN stored_commune END),
        kept_rev2, kept_rev2_from, kept_2025,
        siege_naf OR etablissement_siege IS TRUE AND num_nonnulls(rev2, new_2025) > 0,
        siege_enseigne OR etablissement_siege IS TRUE AND nom_commercial IS NOT NULL,
        kept_enseigne_from
    FROM (
        SELECT key, etablissement_siege, source_date, stored_unite_at, stored_siege_at, unite,
            unite_at, siege, siege_at, category, code_commune, stored_commune, rev2, new_2025,
            kept_rev2, kept_rev2_from, kept_2025, siege_naf, siege_enseigne, nom_commercial,
            kept_enseigne_from, has_moved
        FROM found
        WHERE of_sirene AND outcome <> 's' AND NOT idle AND NOT outdated
        UNION ALL
        SELECT key, etablissement_siege, source_date, stored_unite_at, stored_siege_at, unite,
            unite_at, siege, siege_at, category, code_commune, stored_commune, rev2, new_2025,
            CASE WHEN takes_naf THEN ingest.kept_naf(rev2, stored_rev2, new_2025, stored_2025)
                ELSE stored_rev2 END,
            CASE WHEN takes_naf AND rev2 IS NOT NULL THEN origin ELSE naf_rev2_from END,
            CASE WHEN takes_naf THEN ingest.kept_naf(new_2025, stored_2025, rev2, stored_rev2)
                ELSE stored_2025 END,
            siege_naf, siege_enseigne, nom_commercial,
            CASE WHEN takes_enseigne AND nom_commercial IS NOT NULL THEN origin
                ELSE enseigne_from END, false
        FROM fresh
        WHERE of_sirene AND (outcome IN ('i', '=') OR is_known AND outcome = 'p') AND NOT idle
    ) said
    ON CONFLICT (siren) DO UPDATE SET
        unite_at = EXCLUDED.unite_at, siege_at = EXCLUDED.siege_at,
        diffusion_unite = EXCLUDED.diffusion_unite,
        diffusion_unite_at = EXCLUDED.diffusion_unite_at,
        diffusion_siege = EXCLUDED.diffusion_siege,
        diffusion_siege_at = EXCLUDED.diffusion_siege_at,
        categorie_juridique = EXCLUDED.categorie_juridique,
        naf_rev2_from = EXCLUDED.naf_rev2_from, enseigne_from = EXCLUDED.enseigne_from,
        code_commune = EXCLUDED.code_commune, naf_rev2 = EXCLUDED.naf_rev2,
        naf_2025 = EXCLUDED.naf_2025, siege_naf = EXCLUDED.siege_naf,
        siege_enseigne = EXCLUDED.siege_enseigne
)
SELECT import_id, outcome, sum(counted), sum(repeated), resolving,
    CASE WHEN outcome IN ('p', 'n') THEN array_agg(offset_) END
FROM (
    SELECT import_id, outcome, counted, repeated, resolving, offset_ FROM found
    UNION ALL
    SELECT import_id, outcome, counted, repeated, resolving, offset_ FROM fresh
) outcomes
GROUP BY import_id, outcome, resolving
