-- name: known
-- Jobs that are new begin with the next time that they are due. By its key: while a dump is restored the
-- table is there before its key, and rows that are inserted meanwhile would keep the key from being made.
INSERT INTO ingest.jobs (name) SELECT unnest(%(jobs)s::text[]) ON CONFLICT (name) DO NOTHING

-- name: status
-- By job: since when it is known, the outcome of its last run, the end of the last successful one, and
-- the latest due time that has a run.
SELECT j.name, j.since,
    (
        SELECT outcome FROM ingest.job_runs r WHERE r.job = j.name AND r.ended_at IS NOT NULL
        ORDER BY r.started_at DESC LIMIT 1
    ),
    (SELECT max(ended_at) FROM ingest.job_runs r WHERE r.job = j.name AND r.outcome = 'done'),
    (
        SELECT max(due_at) FROM ingest.job_runs r
        WHERE r.job = j.name AND (r.outcome IN ('done', 'failed') OR r.ended_at IS NULL)
    )
FROM ingest.jobs j

-- name: large_import
SELECT max(completed_at) FROM ingest.imports WHERE inserted + updated >= 10000

-- name: latest
-- The latest run of each job.
SELECT DISTINCT ON (job) job, due_at, started_at, leased_until, ended_at, outcome, counts, message
FROM ingest.job_runs
ORDER BY job, started_at DESC

-- name: drift
SELECT i.id::text, i.total_rows - sum(p.inserted + p.updated + p.unchanged + p.duplicate + p.stale
    + p.rejected + p.parked + p.cancelled) AS drift
FROM ingest.imports i LEFT JOIN ingest.progress p ON p.import_id = i.id
WHERE i.completed_at IS NOT NULL AND i.total_rows IS NOT NULL AND i.error IS NULL
GROUP BY i.id
HAVING i.total_rows IS DISTINCT FROM sum(p.inserted + p.updated + p.unchanged + p.duplicate + p.stale
    + p.rejected + p.parked + p.cancelled)
ORDER BY i.id

-- name: repair
-- One batch of codes. A sub-category stands for the code that begins its description or ends its name.
-- One that names two codes is not touched; where several name one code, none is. A name that another
-- has in the category is followed by the code: a third of the labels are in both nomenclatures.
WITH codes AS (
    SELECT *
    FROM unnest(%(codes)s::text[], %(names)s::text[], %(slugs)s::text[], %(descriptions)s::text[])
        WITH ORDINALITY AS given (code, nom, slug, description, number)
), named AS MATERIALIZED (
    -- Once for each, not for each pair with a code.
    SELECT id, min(code) AS code
    FROM (
        SELECT id, substring(description FROM '^NAF ([0-9]{2}\.[0-9]{2}[A-Z]) :') AS code
        FROM subcategory_souscategorie
        UNION
        SELECT id, substring(nom FROM ' \(([0-9]{2}\.[0-9]{2}[A-Z])\)$')
        FROM subcategory_souscategorie
    ) names
    GROUP BY id
    HAVING count(code) = 1
), standing AS (
    SELECT s.id, s.categorie_id, s.nom AS old_nom, s.slug AS old_slug,
        s.description AS old_description, c.*, count(*) OVER (PARTITION BY c.code) AS standing
    FROM codes c
    JOIN named n ON n.code = c.code
    JOIN subcategory_souscategorie s ON s.id = n.id
), wanted AS MATERIALIZED (
    SELECT id, description,
        CASE WHEN EXISTS (
            SELECT FROM subcategory_souscategorie o
            WHERE o.id <> standing.id AND o.categorie_id = standing.categorie_id
                AND o.nom = standing.nom
        ) OR 1 < row_number() OVER (
            PARTITION BY categorie_id, nom ORDER BY (old_nom = nom) DESC, number
        )
        THEN rtrim(left(nom, %(cut)s)) || ' (' || code || ')' ELSE nom END AS nom,
        CASE WHEN old_slug <> '' AND NOT EXISTS (
            SELECT FROM subcategory_souscategorie o WHERE o.slug = old_slug AND o.id <> standing.id
        ) THEN old_slug ELSE slug END AS slug,
        old_nom, old_slug, old_description
    FROM standing
    WHERE standing.standing = 1
), repaired AS (
    UPDATE subcategory_souscategorie s
    SET nom = w.nom, slug = w.slug, description = w.description, updated_at = now()
    FROM wanted w
    WHERE s.id = w.id AND (w.nom, w.slug, w.description) <> (w.old_nom, w.old_slug, w.old_description)
        AND NOT EXISTS (
            SELECT FROM subcategory_souscategorie o WHERE o.id <> s.id AND o.slug = w.slug
        )
        AND NOT EXISTS (
            SELECT FROM subcategory_souscategorie o
            WHERE o.id <> s.id AND o.categorie_id = s.categorie_id AND o.nom = w.nom
        )
    RETURNING (w.nom <> w.old_nom)::integer AS nom, (w.slug <> w.old_slug)::integer AS slug,
        (w.description <> w.old_description)::integer AS description
)
SELECT (SELECT count(DISTINCT code) FROM standing), (SELECT count(*) FROM repaired),
    (SELECT coalesce(sum(nom), 0) FROM repaired), (SELECT coalesce(sum(slug), 0) FROM repaired),
    (SELECT coalesce(sum(description), 0) FROM repaired)

-- name: bury
UPDATE ingest.job_runs
SET ended_at = now(), outcome = 'died', message = coalesce(message, 'its lease ended')
WHERE job = %(job)s AND ended_at IS NULL AND leased_until < now()
RETURNING id

-- name: begin
-- The unique indexes decide between two that see the same: one run at a time, one of each attempt.
INSERT INTO ingest.job_runs (id, job, due_at, attempt, leased_until)
SELECT %(id)s, %(job)s, %(due_at)s::timestamptz,
    1 + (SELECT count(*) FROM ingest.job_runs WHERE job = %(job)s AND due_at = %(due_at)s::timestamptz),
    now() + %(seconds)s * interval '1 second'
WHERE %(due_at)s::timestamptz IS NULL OR (
    NOT EXISTS (
        SELECT FROM ingest.job_runs
        WHERE job = %(job)s AND due_at >= %(due_at)s::timestamptz
            AND (outcome IN ('done', 'failed') OR ended_at IS NULL)
    )
    AND %(most_deaths)s > (
        SELECT count(*) FROM ingest.job_runs
        WHERE job = %(job)s AND due_at = %(due_at)s::timestamptz AND outcome = 'died'
    )
)
ON CONFLICT DO NOTHING
RETURNING id

-- name: hold
UPDATE ingest.job_runs
SET leased_until = now() + %(seconds)s * interval '1 second', counts = %(counts)s
WHERE id = %(id)s AND ended_at IS NULL
RETURNING id

-- name: end
UPDATE ingest.job_runs
SET ended_at = now(), outcome = %(outcome)s, counts = coalesce(%(counts)s::jsonb, counts),
    message = %(message)s
WHERE id = %(id)s AND ended_at IS NULL
