-- name: columns
-- The next columns: what people did to them since the model wrote them. Of a row that is gone nothing
-- is kept. An empty column counts as one to be filled.
WITH part AS MATERIALIZED (
    SELECT p.table_name, p.row_id, p.column_name, p.sha256, p.edited_at,
        ingest.site_texts(p.kind, p.entity_id) AS texts
    FROM ingest.text_provenance p
    WHERE (p.table_name, p.row_id, p.column_name) > (%(table)s, %(row)s::uuid, %(column)s)
    ORDER BY p.table_name, p.row_id, p.column_name
    LIMIT %(limit)s
), looked AS MATERIALIZED (
    SELECT *, ingest.text_sha256(nullif(texts ->> column_name, '')) <> sha256 AS is_edited FROM part
), edited AS (
    UPDATE ingest.text_provenance p
    SET generated_by = 'model, then people', edited_at = now()
    FROM looked l
    WHERE (p.table_name, p.row_id, p.column_name) = (l.table_name, l.row_id, l.column_name)
        AND p.sha256 = l.sha256 AND p.edited_at IS NULL AND l.is_edited
    RETURNING 1
), restored AS (
    UPDATE ingest.text_provenance p
    SET generated_by = 'model', edited_at = NULL
    FROM looked l
    WHERE (p.table_name, p.row_id, p.column_name) = (l.table_name, l.row_id, l.column_name)
        AND p.sha256 = l.sha256 AND p.edited_at IS NOT NULL AND NOT l.is_edited
    RETURNING 1
), gone AS (
    DELETE FROM ingest.text_provenance p USING looked l
    WHERE (p.table_name, p.row_id, p.column_name) = (l.table_name, l.row_id, l.column_name)
        AND l.texts IS NULL
    RETURNING 1
)
SELECT table_name, row_id, column_name, (SELECT count(*) FROM edited),
    (SELECT count(*) FROM restored), (SELECT count(*) FROM gone)
FROM looked
ORDER BY table_name DESC, row_id DESC, column_name DESC
LIMIT 1

-- name: syntheses
-- The next pages with a synthesis of the model: whether they have public reviews, and whether one that
-- the model has read is withdrawn or reads otherwise now. What people have edited is not written anew.
SELECT entity_id, ingest.has_public_reviews(entity_id), bool_or(
    edited_at IS NULL AND EXISTS (
        SELECT FROM jsonb_each_text(reviews -> 'reviews') AS read (id, digest)
        WHERE NOT EXISTS (
            SELECT FROM ingest.public_reviews(entity_id) r
            WHERE r.id = read.id::uuid AND md5(r.texte) = read.digest
        )
    )
)
FROM ingest.text_provenance
WHERE kind = 'AVIS' AND entity_id > %(after)s::uuid
GROUP BY entity_id
ORDER BY entity_id
LIMIT %(limit)s

-- name: renew
-- At once, not with the night's: what it says may not be true any more.
INSERT INTO ingest.enrichment (id, kind, entity_id, reason, priority)
SELECT ingest.request_id(%(run)s, e, 'AVIS'), 'AVIS', e, 'withdrawn', 1
FROM unnest(%(ids)s::uuid[]) AS e
WHERE NOT EXISTS (
    SELECT FROM ingest.enrichment r
    WHERE r.entity_id = e AND r.kind = 'AVIS' AND (
        r.state IN ('noted', 'pending', 'running')
        OR (r.state = 'failed' AND r.finished_at > now() - interval '1 day')
    )
)
ORDER BY e
ON CONFLICT (id) DO NOTHING

-- name: unlink
UPDATE reviews_avis SET avis_decrypte_id = NULL
WHERE avis_decrypte_id IN (
    SELECT ingest.request_id('synthesis', page, 'AVIS') FROM unnest(%(ids)s::uuid[]) AS page
)

-- name: remove_synthesis
DELETE FROM reviews_avisdecrypte
WHERE id IN (SELECT ingest.request_id('synthesis', page, 'AVIS') FROM unnest(%(ids)s::uuid[]) AS page)

-- name: remove_record
WITH provenance AS (
    DELETE FROM ingest.text_provenance WHERE kind = 'AVIS' AND entity_id = ANY(%(ids)s)
), texts AS (
    DELETE FROM ingest.enrichment_texts WHERE kind = 'AVIS' AND entity_id = ANY(%(ids)s)
    RETURNING prompt_hash
)
SELECT ingest.remove_answers(array_agg(prompt_hash)) FROM texts HAVING count(*) > 0

-- name: remove_history
DELETE FROM ingest.text_history WHERE kind = 'AVIS' AND entity_id = ANY(%(ids)s)

-- name: rate
UPDATE enterprise_prolocalisation
SET note_moyenne = 0, nb_avis = 0, updated_at = now(),
    score_global = CASE WHEN is_verified THEN 20 ELSE 0 END
WHERE id = ANY(%(ids)s)
