-- name: receive
-- Requests from the topic. What names no row by its id is looked up; the rest is returned.
WITH given AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(requests)s) AS r (
        place integer, id uuid, kind text, entity text, entity_id uuid, import_id uuid,
        reason text, priority smallint, generation integer
    )
), found AS (
    SELECT g.place, g.id, g.kind, coalesce(g.entity_id, c.id, s.id, v.id, p.id) AS entity_id,
        g.import_id, g.reason, g.priority, g.generation, p.id AS page_id
    FROM given g
    LEFT JOIN category_categorie c ON g.entity_id IS NULL AND g.kind = 'CATEGORIE' AND c.slug = g.entity
    LEFT JOIN subcategory_souscategorie s
        ON g.entity_id IS NULL AND g.kind = 'SOUS_CATEGORIE' AND s.slug = g.entity
    LEFT JOIN location_ville v ON g.entity_id IS NULL AND g.kind = 'VILLE' AND v.slug = g.entity
    LEFT JOIN enterprise_entreprise e
        ON g.entity_id IS NULL AND g.kind IN ('PROLOCALISATION', 'AVIS') AND e.siren = g.entity
    LEFT JOIN enterprise_prolocalisation p ON p.entreprise_id = e.id AND p.is_active
), each AS (
    -- One request for a company is one for each of its pages.
    SELECT CASE WHEN page_id IS NULL THEN id ELSE ingest.request_id(id::text, page_id, kind) END AS id,
        kind, entity_id, import_id, reason, priority,
        CASE WHEN reason IN ('regenerate', 'overwrite')
            THEN coalesce(generation, ingest.next_generation(entity_id, kind)) END AS generation
    FROM found
    WHERE entity_id IS NOT NULL
), chosen AS (
    SELECT DISTINCT ON (id) * FROM each ORDER BY id, priority
), begun AS (
    -- The turns of an import go on after its last one, and not before that of whoever is next: it neither
    -- waits for all that others asked before, nor catches up on what they were given before it came.
    SELECT import_id, priority, greatest(
        CASE WHEN import_id IS NULL THEN (
            SELECT turn FROM ingest.enrichment w
            WHERE w.state = 'pending' AND w.import_id IS NULL AND w.priority = g.priority
            ORDER BY turn DESC LIMIT 1
        ) ELSE (
            SELECT turn FROM ingest.enrichment w
            WHERE w.state = 'pending' AND w.import_id = g.import_id AND w.priority = g.priority
            ORDER BY turn DESC LIMIT 1
        ) END,
        (
            SELECT turn - 1 FROM ingest.enrichment w
            WHERE w.state = 'pending' AND w.priority = g.priority AND w.not_before <= now()
            ORDER BY turn LIMIT 1
        ),
        0
    ) AS turn
    FROM (SELECT DISTINCT import_id, priority FROM chosen) g
), stored AS (
    INSERT INTO ingest.enrichment AS known (
        id, kind, entity_id, import_id, reason, priority, generation, turn, state, sent_at
    )
    SELECT c.id, kind, entity_id, c.import_id, reason, c.priority, generation,
        b.turn + row_number() OVER (PARTITION BY c.import_id, c.priority ORDER BY c.id), 'pending', now()
    FROM chosen c
    JOIN begun b ON b.import_id IS NOT DISTINCT FROM c.import_id AND b.priority = c.priority
    ORDER BY c.id
    ON CONFLICT (id) DO UPDATE
        SET state = 'pending', turn = EXCLUDED.turn, sent_at = coalesce(known.sent_at, now())
        WHERE known.state = 'noted'
)
SELECT place FROM found WHERE entity_id IS NULL

-- name: unwanted
-- Noted before anybody knew that their import does not ask for texts; or of an import that never came.
DELETE FROM ingest.enrichment e
WHERE e.id IN (
    SELECT id FROM ingest.enrichment
    WHERE state = 'noted' AND sent_at IS NULL AND import_id IS NOT NULL
        AND (
            EXISTS (
                SELECT FROM ingest.imports i
                WHERE i.id = import_id AND NOT i.generate_ai_content
            )
            OR (
                asked_at < now() - interval '1 day'
                AND NOT EXISTS (SELECT FROM ingest.imports i WHERE i.id = import_id)
            )
        )
    ORDER BY asked_at, id
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)

-- name: unsent
SELECT e.id, e.kind, e.entity_id, e.import_id, e.reason, e.priority, e.generation
FROM ingest.enrichment e
LEFT JOIN ingest.imports i ON i.id = e.import_id
WHERE e.state = 'noted' AND e.sent_at IS NULL AND (e.import_id IS NULL OR i.generate_ai_content)
ORDER BY e.asked_at, e.id
LIMIT 500
FOR UPDATE OF e SKIP LOCKED

-- name: sent
UPDATE ingest.enrichment SET sent_at = now() WHERE id = ANY(%(ids)s)

-- name: mark_imports
-- Even where it is true already: whoever counts waits for the row, and so for what is to be counted.
UPDATE ingest.imports i SET ai_moved = true
FROM (
    SELECT id FROM ingest.imports WHERE id = ANY(%(ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE
) moved
WHERE i.id = moved.id

-- name: scan_next
SELECT s.import_id, s.after, i.import_type
FROM ingest.enrichment_scans s JOIN ingest.imports i ON i.id = s.import_id
LIMIT 1
FOR UPDATE OF s SKIP LOCKED

-- name: scanned
UPDATE ingest.enrichment_scans SET after = %(after)s WHERE import_id = %(import_id)s

-- name: scan_done
DELETE FROM ingest.enrichment_scans WHERE import_id = %(import_id)s

-- name: lease
-- Not of an import whose budget is used up. Where there is one, the first of every other import are found
-- by their index, however many of that one wait before them.
WITH RECURSIVE used_up AS MATERIALIZED (
    SELECT substr(scope, 8)::uuid AS import_id FROM ingest.ai_budgets
    WHERE scope LIKE 'import %%' AND spent + denied > %(import_budget)s
), imports AS (
    (
        SELECT import_id FROM ingest.enrichment
        WHERE state = 'pending' AND import_id IS NOT NULL AND EXISTS (SELECT FROM used_up)
        ORDER BY import_id LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT e.import_id FROM ingest.enrichment e
        WHERE e.state = 'pending' AND e.import_id > i.import_id
        ORDER BY e.import_id LIMIT 1
    )
    FROM imports i WHERE i.import_id IS NOT NULL
), others AS (
    SELECT first.id
    FROM imports i
    CROSS JOIN LATERAL (
        SELECT id FROM ingest.enrichment e
        WHERE e.state = 'pending' AND e.import_id = i.import_id AND e.not_before <= now()
        ORDER BY e.import_id, priority, turn LIMIT 4
    ) first
    WHERE i.import_id NOT IN (SELECT import_id FROM used_up)
    UNION ALL
    (
        SELECT id FROM ingest.enrichment
        WHERE state = 'pending' AND import_id IS NULL AND not_before <= now()
            AND NOT (%(batched)s AND reason IN ('missing', 'expired', 'low-quality'))
            AND EXISTS (SELECT FROM used_up)
        ORDER BY import_id, priority, turn LIMIT 4
    )
), other AS (
    SELECT id FROM ingest.enrichment
    WHERE id = ANY(ARRAY(SELECT id FROM others)) AND state = 'pending'
    ORDER BY priority, turn, asked_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), any_of_all AS (
    SELECT id FROM ingest.enrichment
    WHERE state = 'pending' AND not_before <= now()
        AND NOT (%(batched)s AND reason IN ('missing', 'expired', 'low-quality'))
        AND NOT EXISTS (SELECT FROM used_up)
    ORDER BY priority, turn, asked_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), next AS (
    SELECT id FROM other UNION ALL SELECT id FROM any_of_all
), leased AS (
    UPDATE ingest.enrichment e
    SET state = 'running', lease = %(lease)s, leased_until = now() + %(seconds)s * interval '1 second'
    FROM next
    WHERE e.id = next.id
    RETURNING e.id, e.kind, e.entity_id, e.import_id, e.reason, e.tries, e.lease,
        ingest.text_generation(e.generation, e.entity_id, e.kind) AS generation, e.code
), begun AS (
    UPDATE ingest.imports i
    SET ai_until = now() + %(import_seconds)s * interval '1 second', ai_moved = true
    FROM leased
    WHERE i.id = leased.import_id AND i.ai_until IS NULL
)
SELECT * FROM leased

-- name: waiting
SELECT id, kind, entity_id, import_id, reason, tries,
    ingest.text_generation(generation, entity_id, kind) AS generation, priority, turn, asked_at
FROM ingest.enrichment
WHERE state = 'pending'
    AND (priority, turn, asked_at, id)
        > (%(priority)s::smallint, %(turn)s::bigint, %(asked_at)s::timestamptz, %(id)s::uuid)
    AND (%(imports)s::uuid[] IS NULL OR import_id = ANY(%(imports)s::uuid[]))
ORDER BY priority, turn, asked_at, id
LIMIT %(limit)s

-- name: unpaid_imports
SELECT substr(scope, 8)::uuid FROM ingest.ai_budgets
WHERE scope LIKE 'import %%' AND spent + denied > %(import_budget)s

-- name: lease_one
UPDATE ingest.enrichment
SET state = 'running', lease = %(lease)s, leased_until = now() + %(seconds)s * interval '1 second'
WHERE id = %(id)s AND state = 'pending'
RETURNING id, kind, entity_id, import_id, reason, tries, lease,
    ingest.text_generation(generation, entity_id, kind) AS generation, code

-- name: keep
-- Goes on with a lease; whether the time of its import is over.
UPDATE ingest.enrichment e
SET leased_until = now() + %(seconds)s * interval '1 second'
WHERE e.id = %(id)s AND e.lease = %(lease)s AND e.state = 'running'
RETURNING coalesce(
    (SELECT i.ai_until <= now() FROM ingest.imports i WHERE i.id = e.import_id), false
)

-- name: again
UPDATE ingest.enrichment
SET state = 'pending', lease = NULL, leased_until = NULL, tries = %(tries)s,
    not_before = now() + %(seconds)s * interval '1 second', code = %(code)s, message = %(message)s
WHERE id = %(id)s AND lease = %(lease)s AND state = 'running'

-- name: over
UPDATE ingest.enrichment
SET state = %(state)s, lease = NULL, leased_until = NULL, finished_at = now(),
    prompt_hash = coalesce(%(prompt_hash)s, prompt_hash), code = %(code)s, message = %(message)s
WHERE id = %(id)s AND lease = %(lease)s AND state = 'running'
RETURNING import_id

-- name: dead
-- Requests of workers that died are anybody's again.
UPDATE ingest.enrichment
SET state = 'pending', lease = NULL, leased_until = NULL
WHERE state = 'running' AND leased_until < now()
RETURNING id

-- name: leave
-- A clean stop: the time that an import has for its texts is over.
WITH over AS (
    SELECT id FROM ingest.imports WHERE ai_until <= now() FOR UPDATE SKIP LOCKED
), gone AS (
    UPDATE ingest.enrichment e
    SET state = 'left', finished_at = now(), code = 'time', message = 'the time of its import was over'
    FROM over
    WHERE e.import_id = over.id AND e.state IN ('noted', 'pending')
    RETURNING e.import_id
)
UPDATE ingest.imports i
SET ai_until = NULL, ai_moved = true
FROM over
WHERE i.id = over.id
RETURNING (SELECT count(*) FROM gone)

-- name: stop_clock
-- The budget of this import has no room: its clock starts anew when it goes on.
UPDATE ingest.imports SET ai_until = NULL WHERE id = %(import_id)s AND ai_until IS NOT NULL

-- name: stop_clocks
-- A budget of all has no room: no import's time runs.
UPDATE ingest.imports SET ai_until = NULL WHERE ai_until > now()

-- name: pending
-- And the age of the oldest, in seconds.
SELECT count(*), coalesce(extract(epoch FROM now() - min(asked_at)), 0)::float8
FROM ingest.enrichment WHERE state IN ('pending', 'running')

-- name: dearest
SELECT substr(scope, 8), spent::float8 FROM ingest.ai_budgets
WHERE scope LIKE 'import %%' AND spent > 0
ORDER BY spent DESC, scope
LIMIT 10

-- name: claim
-- Of two who ask for the same at once, one asks the model. What failed stays so for some days, unless
-- the settings have changed or a person asks.
INSERT INTO ingest.ai_results AS known (
    prompt_hash, kind, model, prompt_version, input_hash, settings, state, lease, leased_until
)
VALUES (
    %(hash)s, %(kind)s, %(model)s, %(version)s, %(input_hash)s, %(settings)s, 'asking', %(lease)s,
    now() + %(seconds)s * interval '1 second'
)
ON CONFLICT (prompt_hash) DO UPDATE
    SET state = 'asking', settings = EXCLUDED.settings, lease = EXCLUDED.lease, leased_until = EXCLUDED.leased_until,
        asked_from = CASE WHEN known.state = 'failed' THEN (
            SELECT count(*) FROM ingest.ai_rejected r WHERE r.prompt_hash = known.prompt_hash
        ) ELSE known.asked_from END
    WHERE (known.state = 'asking' AND (known.leased_until < now() OR known.lease = EXCLUDED.lease))
        OR (
            known.state = 'failed' AND (
                %(again)s OR known.settings <> EXCLUDED.settings
                OR known.answered_at < now() - %(failure_seconds)s * interval '1 second'
            )
        )

-- name: known
SELECT state, content, code, message, tokens_in, tokens_out, cost, reported_model, request_id,
    answered_at
FROM ingest.ai_results WHERE prompt_hash = %(hash)s

-- name: rejected
SELECT r.answer, r.reason, r.tokens_in, r.tokens_out, r.cost FROM ingest.ai_rejected r
JOIN ingest.ai_results a USING (prompt_hash)
WHERE prompt_hash = %(hash)s AND r.number > a.asked_from
ORDER BY r.number

-- name: reject
INSERT INTO ingest.ai_rejected (
    prompt_hash, number, kind, entity_id, answer, reason, tokens_in, tokens_out, cost
)
SELECT %(hash)s, coalesce(max(number), 0) + 1, %(kind)s, %(entity_id)s, %(answer)s, %(reason)s,
    %(tokens_in)s, %(tokens_out)s, %(cost)s
FROM ingest.ai_rejected WHERE prompt_hash = %(hash)s

-- name: answered
UPDATE ingest.ai_results
SET state = %(state)s, lease = NULL, leased_until = NULL, content = %(content)s, code = %(code)s,
    message = %(message)s, tokens_in = %(tokens_in)s, tokens_out = %(tokens_out)s,
    cost = %(cost)s, reported_model = %(reported_model)s, request_id = %(request_id)s,
    answered_at = now(), sent_at = NULL
WHERE prompt_hash = %(hash)s AND state = 'asking'

-- name: unclaim
UPDATE ingest.ai_results SET leased_until = now() WHERE prompt_hash = %(hash)s AND lease = %(lease)s

-- name: results_unsent
SELECT prompt_hash, kind, model, prompt_version, input_hash, content, code, message, tokens_in,
    tokens_out, cost, answered_at, reported_model, request_id
FROM ingest.ai_results
WHERE state IN ('done', 'failed') AND sent_at IS NULL
ORDER BY answered_at
LIMIT 500
FOR UPDATE SKIP LOCKED

-- name: results_sent
UPDATE ingest.ai_results SET sent_at = now() WHERE prompt_hash = ANY(%(hashes)s)

-- name: removed_unsent
-- Not one that has been answered anew meanwhile.
DELETE FROM ingest.ai_results_removed
WHERE prompt_hash IN (
    SELECT prompt_hash FROM ingest.ai_results_removed LIMIT 500 FOR UPDATE SKIP LOCKED
)
RETURNING prompt_hash, EXISTS (
    SELECT FROM ingest.ai_results a
    WHERE a.prompt_hash = ai_results_removed.prompt_hash AND a.state IN ('done', 'failed')
) AS is_answered

-- name: results_read
-- From the topic: what the database has lost.
INSERT INTO ingest.ai_results AS known (
    prompt_hash, kind, model, prompt_version, input_hash, state, content, code, message, tokens_in,
    tokens_out, cost, answered_at, sent_at, reported_model, request_id
)
SELECT prompt_hash, kind, model, prompt_version, input_hash,
    CASE WHEN content IS NULL THEN 'failed' ELSE 'done' END, content::jsonb, code, message,
    tokens_in, tokens_out, cost, answered_at, now(), reported_model, request_id
FROM jsonb_to_recordset(%(results)s) AS r (
    prompt_hash text, kind text, model text, prompt_version text, input_hash text, content text,
    code text, message text, tokens_in integer, tokens_out integer, cost numeric,
    answered_at timestamptz, reported_model text, request_id text
)
ORDER BY prompt_hash
ON CONFLICT (prompt_hash) DO UPDATE
    SET state = EXCLUDED.state, content = EXCLUDED.content, code = EXCLUDED.code,
        message = EXCLUDED.message, tokens_in = EXCLUDED.tokens_in,
        tokens_out = EXCLUDED.tokens_out, cost = EXCLUDED.cost,
        answered_at = EXCLUDED.answered_at, sent_at = now(),
        reported_model = EXCLUDED.reported_model, request_id = EXCLUDED.request_id
    WHERE known.state = 'asking' AND known.leased_until < now()

-- name: removed_read
-- Not an answer that was given after its removal.
DELETE FROM ingest.ai_results a
USING unnest(%(hashes)s::text[], %(times)s::float8[]) AS gone (prompt_hash, at)
WHERE a.prompt_hash = gone.prompt_hash AND a.state IN ('done', 'failed')
    AND a.answered_at < to_timestamp(gone.at)

-- name: read_so_far
SELECT partition, next_offset FROM ingest.positions WHERE topic = %(topic)s

-- name: input_categorie
SELECT jsonb_build_object('nom', t.nom, 'description', left(t.description, 1000))
FROM category_categorie t WHERE t.id = %(id)s

-- name: input_sous_categorie
SELECT jsonb_build_object(
    'nom', t.nom, 'categorie', c.nom, 'description', left(t.description, 1000),
    'mots_cles', left(t.mots_cles, 500)
)
FROM subcategory_souscategorie t JOIN category_categorie c ON c.id = t.categorie_id
WHERE t.id = %(id)s

-- name: input_ville
SELECT jsonb_build_object(
    'nom', t.nom, 'code_postal', t.code_postal_principal, 'departement', t.departement,
    'region', t.region, 'population', t.population
)
FROM location_ville t WHERE t.id = %(id)s

-- name: input_prolocalisation
SELECT jsonb_build_object(
    'entreprise', coalesce(nullif(e.nom_commercial, ''), e.nom), 'activite', e.naf_libelle,
    'metier', s.nom, 'categorie', c.nom, 'ville', v.nom,
    'code_postal', v.code_postal_principal, 'departement', v.departement, 'region', v.region
)
FROM enterprise_prolocalisation t
JOIN enterprise_entreprise e ON e.id = t.entreprise_id
JOIN subcategory_souscategorie s ON s.id = t.sous_categorie_id
JOIN category_categorie c ON c.id = s.categorie_id
JOIN location_ville v ON v.id = t.ville_id
WHERE t.id = %(id)s AND NOT ingest.is_partly_disclosed(e.siren)

-- name: input_avis
-- Without a public review there is nothing to ask.
SELECT jsonb_build_object(
    'entreprise', coalesce(nullif(e.nom_commercial, ''), e.nom), 'metier', s.nom, 'ville', v.nom,
    'nombre_avis', r.reviews, 'avis', r.list
)
FROM enterprise_prolocalisation t
JOIN enterprise_entreprise e ON e.id = t.entreprise_id
JOIN subcategory_souscategorie s ON s.id = t.sous_categorie_id
JOIN location_ville v ON v.id = t.ville_id
CROSS JOIN LATERAL (
    SELECT count(*) AS reviews, jsonb_agg(one ORDER BY place) FILTER (WHERE place <= 50) AS list
    FROM (
        SELECT row_number() OVER (ORDER BY date_avis DESC, id) AS place,
            jsonb_build_object('note', note, 'date', date_avis::date, 'texte', left(texte, 10000),
                'auteur', auteur_nom) AS one
        FROM ingest.public_reviews(t.id)
    ) each
) r
WHERE t.id = %(id)s AND r.reviews > 0 AND NOT ingest.is_partly_disclosed(e.siren)
