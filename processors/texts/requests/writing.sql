-- name: text
INSERT INTO ingest.enrichment_texts (
    entity_id, kind, prompt_hash, prompt_version, model, input_hash, content, tokens_in, tokens_out,
    cost, generation, generated_at, expires_at
)
VALUES (
    %(entity_id)s, %(kind)s, %(hash)s, %(version)s, %(model)s, %(input_hash)s, %(content)s,
    %(tokens_in)s, %(tokens_out)s, %(cost)s, %(generation)s,
    coalesce(%(generated_at)s::timestamptz, now()), now() + interval '90 days'
)
ON CONFLICT (entity_id, kind) DO UPDATE
    SET prompt_hash = EXCLUDED.prompt_hash, prompt_version = EXCLUDED.prompt_version,
        model = EXCLUDED.model, input_hash = EXCLUDED.input_hash, content = EXCLUDED.content,
        tokens_in = EXCLUDED.tokens_in, tokens_out = EXCLUDED.tokens_out, cost = EXCLUDED.cost,
        generation = EXCLUDED.generation, generated_at = EXCLUDED.generated_at,
        expires_at = EXCLUDED.expires_at

-- name: site_texts
SELECT ingest.site_texts(%(kind)s, %(entity_id)s)

-- name: input_hash
SELECT input_hash FROM ingest.enrichment_texts WHERE entity_id = %(entity_id)s AND kind = %(kind)s

-- name: marks
SELECT column_name, sha256 FROM ingest.text_provenance
WHERE entity_id = %(entity_id)s AND kind = %(kind)s

-- name: mark
-- A review holds as long as the text that was reviewed.
INSERT INTO ingest.text_provenance AS known (
    table_name, row_id, column_name, kind, entity_id, sha256, model, prompt_version, request_id,
    generated_at, cost, reviews
)
SELECT place.table_name, place.row_id, c.name, %(kind)s, %(entity_id)s, c.digest,
    coalesce(%(reported_model)s, %(model)s), %(version)s, %(request_id)s,
    coalesce(%(generated_at)s::timestamptz, now()), %(cost)s,
    CASE %(kind)s WHEN 'AVIS' THEN ingest.synthesis_reviews(%(entity_id)s) END
FROM ingest.text_place(%(kind)s, %(entity_id)s) place
CROSS JOIN unnest(%(columns)s::text[], %(digests)s::text[]) AS c (name, digest)
ON CONFLICT (table_name, row_id, column_name) DO UPDATE
    SET sha256 = EXCLUDED.sha256, generated_by = 'model', model = EXCLUDED.model,
        prompt_version = EXCLUDED.prompt_version, request_id = EXCLUDED.request_id,
        generated_at = EXCLUDED.generated_at, cost = EXCLUDED.cost, edited_at = NULL,
        reviews = EXCLUDED.reviews,
        reviewed_by = CASE WHEN known.sha256 = EXCLUDED.sha256 THEN known.reviewed_by END,
        reviewed_at = CASE WHEN known.sha256 = EXCLUDED.sha256 THEN known.reviewed_at END

-- name: edited
UPDATE ingest.text_provenance
SET generated_by = 'model, then people', edited_at = now()
WHERE entity_id = %(entity_id)s AND kind = %(kind)s AND column_name = ANY(%(columns)s)
    AND edited_at IS NULL

-- name: keep_old
-- What the site has at this moment.
INSERT INTO ingest.text_history (
    entity_id, kind, column_name, text, written_by, model, prompt_version, request_id, generated_at,
    reviewed_by, reviewed_at, reason
)
SELECT %(entity_id)s, %(kind)s, c.name, now_there.texts ->> c.name,
    CASE
        WHEN p.sha256 IS NULL THEN 'unknown'
        WHEN p.sha256 = ingest.text_sha256(now_there.texts ->> c.name) THEN 'model'
        ELSE 'people'
    END,
    p.model, p.prompt_version, p.request_id, p.generated_at, p.reviewed_by, p.reviewed_at,
    %(reason)s
FROM unnest(%(columns)s::text[]) AS c (name)
CROSS JOIN ingest.site_texts(%(kind)s, %(entity_id)s) AS now_there (texts)
LEFT JOIN ingest.text_provenance p
    ON p.entity_id = %(entity_id)s AND p.kind = %(kind)s AND p.column_name = c.name

-- name: synthesis_stands
-- The model has nothing else to say: the dates of the text stay.
UPDATE reviews_avisdecrypte
SET date_expiration = now() + interval '90 days', needs_regeneration = false
WHERE id = ingest.request_id('synthesis', %(entity_id)s, 'AVIS')

-- name: synthesis
INSERT INTO reviews_avisdecrypte (
    id, created_at, updated_at, entreprise_id, pro_localisation_id, texte_brut, texte_decrypte,
    source, has_reviews, review_source, review_rating, review_count, job_id, ai_payload,
    date_generation, date_expiration, needs_regeneration, avis_decryptes_json,
    synthese_points_forts, tendance_recente, bilan_synthetique /* filled columns */
)
SELECT ingest.request_id('synthesis', p.id, 'AVIS'), now(), now(), p.entreprise_id, p.id,
    r.texts, %(texte_decrypte)s, 'ai_generated', true, r.sources, r.rating, r.reviews, %(job_id)s,
    %(payload)s, coalesce(%(generated_at)s::timestamptz, now()), now() + interval '90 days', false, r.list,
    %(synthese_points_forts)s, %(tendance_recente)s, %(bilan_synthetique)s /* filled values */
FROM enterprise_prolocalisation p
CROSS JOIN LATERAL (
    SELECT string_agg(texte, E'\n\n' ORDER BY date_avis DESC, id) AS texts,
        left(string_agg(DISTINCT source, ', '), 255) AS sources, avg(note) AS rating,
        count(*) AS reviews,
        jsonb_agg(jsonb_build_object('titre', titre, 'note', note, 'date', date_avis, 'texte', texte)
            ORDER BY date_avis DESC, id) AS list
    FROM ingest.public_reviews(p.id)
) r
WHERE p.id = %(entity_id)s AND r.reviews > 0
ON CONFLICT (id) DO UPDATE
    SET updated_at = now(), texte_brut = EXCLUDED.texte_brut,
        texte_decrypte = EXCLUDED.texte_decrypte, has_reviews = true,
        review_source = EXCLUDED.review_source, review_rating = EXCLUDED.review_rating,
        review_count = EXCLUDED.review_count, job_id = EXCLUDED.job_id,
        ai_payload = EXCLUDED.ai_payload, date_generation = EXCLUDED.date_generation,
        date_expiration = EXCLUDED.date_expiration, needs_regeneration = false,
        avis_decryptes_json = EXCLUDED.avis_decryptes_json,
        synthese_points_forts = EXCLUDED.synthese_points_forts,
        tendance_recente = EXCLUDED.tendance_recente, bilan_synthetique = EXCLUDED.bilan_synthetique
RETURNING review_rating, review_count

-- name: rating
UPDATE enterprise_prolocalisation
SET note_moyenne = %(rating)s, nb_avis = %(reviews)s, updated_at = now(),
    score_global = %(rating)s / 5 * 50 + least(%(reviews)s / 100.0 * 30, 30)
        + CASE WHEN is_verified THEN 20 ELSE 0 END
WHERE id = %(entity_id)s
