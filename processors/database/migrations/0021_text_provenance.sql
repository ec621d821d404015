-- Where each text comes from, what people changed in it, and what it was before.

-- What the provider says of an answer. `generation`: of a text that was asked for anew; null: the one
-- that the row has.
ALTER TABLE ingest.ai_results ADD COLUMN reported_model text, ADD COLUMN request_id text;
ALTER TABLE ingest.enrichment ADD COLUMN generation integer;
ALTER TABLE ingest.enrichment_texts ADD COLUMN generation integer NOT NULL DEFAULT 0;

CREATE FUNCTION ingest.text_generation(given integer, entity uuid, kind text) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        $1, (SELECT t.generation FROM ingest.enrichment_texts t WHERE t.entity_id = $2 AND t.kind = $3), 0
    )
$$;

CREATE FUNCTION ingest.next_generation(entity uuid, kind text) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT 1 + greatest(
        ingest.text_generation(NULL, $1, $2),
        (SELECT max(e.generation) FROM ingest.enrichment e WHERE e.entity_id = $1 AND e.kind = $2)
    )
$$;

-- The text of a synthesis by the column of the site, as those of the other kinds.
UPDATE ingest.enrichment_texts
SET content = jsonb_build_object(
    'texte_decrypte', content -> 'texte',
    'synthese_points_forts', (
        SELECT string_agg(point, E'\n' ORDER BY place)
        FROM jsonb_array_elements_text(content -> 'points_forts') WITH ORDINALITY AS p (point, place)
    ),
    'tendance_recente', content -> 'tendance', 'bilan_synthetique', content -> 'bilan'
)
WHERE kind = 'AVIS' AND content ? 'points_forts';

-- One row for each column of the site that the model has written. sha256: of what it wrote; where the
-- site's text has another, people have edited it. reviewed_*: the site writes them.
CREATE TABLE ingest.text_provenance (
    table_name text NOT NULL,
    row_id uuid NOT NULL,
    column_name text NOT NULL,
    kind text NOT NULL,
    entity_id uuid NOT NULL, -- of a synthesis the page, else row_id
    sha256 text NOT NULL,
    generated_by text NOT NULL DEFAULT 'model', -- model; model, then people: it was edited
    model text NOT NULL, -- as the provider reported it
    prompt_version text NOT NULL,
    request_id text, -- the provider's
    generated_at timestamptz NOT NULL,
    cost numeric(14, 8) NOT NULL, -- of the answer, which fills several columns
    reviewed_by text,
    reviewed_at timestamptz,
    edited_at timestamptz, -- when that was noticed
    reviews jsonb, -- of a synthesis: number, public, from, to, sources, and the reviews read
    PRIMARY KEY (table_name, row_id, column_name)
);
CREATE INDEX text_provenance_entity ON ingest.text_provenance (entity_id, kind);

-- What stood in a column before the model wrote it anew.
CREATE TABLE ingest.text_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity_id uuid NOT NULL,
    kind text NOT NULL,
    column_name text NOT NULL,
    text text NOT NULL,
    written_by text NOT NULL, -- model; people; unknown: before provenance was kept
    model text,
    prompt_version text,
    request_id text,
    generated_at timestamptz,
    reviewed_by text,
    reviewed_at timestamptz,
    replaced_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX text_history_entity ON ingest.text_history (entity_id, kind, id);
CREATE INDEX text_history_age ON ingest.text_history (replaced_at);

-- Answers that were removed, and are to be removed from the topic of results.
CREATE TABLE ingest.ai_results_removed (prompt_hash text PRIMARY KEY);

CREATE FUNCTION ingest.remove_answers(hashes text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ingest.ai_results_removed SELECT DISTINCT unnest(hashes) ORDER BY 1
    ON CONFLICT DO NOTHING;
    DELETE FROM ingest.ai_results WHERE prompt_hash = ANY(hashes);
$$;

-- Answers about a row that are to be removed with it.
CREATE INDEX ai_rejected_entity ON ingest.ai_rejected (entity_id);

CREATE FUNCTION ingest.text_sha256(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')
$$;

-- The table and the row that the texts of an entity stand in.
CREATE FUNCTION ingest.text_place(kind text, entity uuid, OUT table_name text, OUT row_id uuid)
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE $1
            WHEN 'CATEGORIE' THEN 'category_categorie'
            WHEN 'SOUS_CATEGORIE' THEN 'subcategory_souscategorie'
            WHEN 'VILLE' THEN 'location_ville'
            WHEN 'PROLOCALISATION' THEN 'enterprise_prolocalisation'
            WHEN 'AVIS' THEN 'reviews_avisdecrypte'
        END,
        CASE $1 WHEN 'AVIS' THEN ingest.request_id('synthesis', $2, 'AVIS') ELSE $2 END
$$;

-- The texts of an entity as they stand on the site, by column. No row, or null: null.
CREATE FUNCTION ingest.site_texts(kind text, entity uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE $1
        WHEN 'CATEGORIE' THEN (
            SELECT jsonb_build_object('texte_description_ia', t.texte_description_ia,
                'meta_description', t.meta_description)
            FROM category_categorie t WHERE t.id = $2)
        WHEN 'SOUS_CATEGORIE' THEN (
            SELECT jsonb_build_object('texte_description_ia', t.texte_description_ia,
                'meta_description', t.meta_description)
            FROM subcategory_souscategorie t WHERE t.id = $2)
        WHEN 'VILLE' THEN (
            SELECT jsonb_build_object('texte_description_ia', t.texte_description_ia,
                'meta_description', t.meta_description)
            FROM location_ville t WHERE t.id = $2)
        WHEN 'PROLOCALISATION' THEN (
            SELECT jsonb_build_object('texte_long_entreprise', t.texte_long_entreprise,
                'zone_description', t.zone_description, 'meta_description', t.meta_description)
            FROM enterprise_prolocalisation t WHERE t.id = $2)
        WHEN 'AVIS' THEN (
            SELECT jsonb_build_object('texte_decrypte', d.texte_decrypte,
                'synthese_points_forts', d.synthese_points_forts,
                'tendance_recente', d.tendance_recente, 'bilan_synthetique', d.bilan_synthetique)
            FROM reviews_avisdecrypte d WHERE d.id = ingest.request_id('synthesis', $2, 'AVIS'))
    END
$$;

-- For the site: what to say next to each text that stands there. is_edited: at this moment.
CREATE VIEW ingest.text_marks AS
SELECT p.table_name, p.row_id, p.column_name, p.kind, p.entity_id,
    CASE WHEN now_there.is_edited THEN 'model, then people' ELSE 'model' END AS generated_by,
    'https://cv.iptc.org/newscodes/digitalsourcetype/' || CASE
        WHEN now_there.is_edited THEN 'compositeWithTrainedAlgorithmicMedia'
        ELSE 'trainedAlgorithmicMedia'
    END AS digital_source_type,
    p.model, p.prompt_version, p.request_id, p.generated_at, p.cost, p.reviewed_by, p.reviewed_at,
    p.edited_at, now_there.is_edited,
    (p.reviews ->> 'number')::integer AS reviews_number,
    (p.reviews ->> 'from')::date AS reviews_from, (p.reviews ->> 'to')::date AS reviews_to,
    p.reviews ->> 'sources' AS reviews_sources
FROM ingest.text_provenance p
CROSS JOIN LATERAL (
    SELECT ingest.site_texts(p.kind, p.entity_id) ->> p.column_name AS text OFFSET 0
) site
CROSS JOIN LATERAL (SELECT ingest.text_sha256(site.text) <> p.sha256 AS is_edited) now_there
WHERE site.text <> '';

-- The reviews of a page that a synthesis is made of: the latest that are public.
CREATE FUNCTION ingest.synthesis_reviews(page uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'number', count(*), 'public', max(r.public), 'from', min(r.date_avis)::date,
        'to', max(r.date_avis)::date, 'sources', string_agg(DISTINCT r.source, ', '),
        'reviews', jsonb_object_agg(r.id, md5(r.texte))
    )
    FROM (
        SELECT id, texte, date_avis, source, count(*) OVER () AS public
        FROM ingest.public_reviews(page) ORDER BY date_avis DESC, id LIMIT 50
    ) r
    HAVING count(*) > 0
$$;

-- Of texts that stand already. Who wrote a column that reads otherwise is not known: it counts as edited.
INSERT INTO ingest.text_provenance (
    table_name, row_id, column_name, kind, entity_id, sha256, model, prompt_version, generated_at, cost,
    reviews
)
SELECT place.table_name, place.row_id, c.name, t.kind, t.entity_id, ingest.text_sha256(c.text), t.model,
    t.prompt_version, t.generated_at, t.cost,
    CASE t.kind WHEN 'AVIS' THEN ingest.synthesis_reviews(t.entity_id) END
FROM ingest.enrichment_texts t
CROSS JOIN LATERAL ingest.text_place(t.kind, t.entity_id) place
CROSS JOIN LATERAL jsonb_each_text(t.content) AS c (name, text)
WHERE c.text IS NOT NULL AND ingest.site_texts(t.kind, t.entity_id) ->> c.name <> '';

-- The role that the site's own role is granted (deploy/postgres/roles.sql).
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'foxstream_site') THEN
        GRANT USAGE ON SCHEMA ingest TO foxstream_site;
        GRANT SELECT ON ingest.text_provenance, ingest.text_marks, ingest.text_history TO foxstream_site;
        GRANT UPDATE (reviewed_by, reviewed_at) ON ingest.text_provenance TO foxstream_site;
    END IF;
END
$$;
