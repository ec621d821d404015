-- Texts by a language model: what is asked, what was answered, what it cost, and the site's tables
-- that have to do with it. As in 0001: on the site's own database the latter exist.

CREATE TABLE IF NOT EXISTS sponsorisation (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    pro_localisation_id uuid NOT NULL REFERENCES enterprise_prolocalisation (id) ON DELETE CASCADE,
    date_debut timestamptz NOT NULL,
    date_fin timestamptz NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    nb_impressions integer NOT NULL DEFAULT 0,
    nb_clicks integer NOT NULL DEFAULT 0,
    subscription_id varchar(255) NOT NULL DEFAULT '',
    montant_mensuel numeric(10, 2) NOT NULL DEFAULT 0,
    statut_paiement varchar(20) NOT NULL DEFAULT 'active'
);
CREATE INDEX IF NOT EXISTS sponsorisation_pro_localisation ON sponsorisation (pro_localisation_id);

CREATE TABLE IF NOT EXISTS reviews_avisdecrypte (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    entreprise_id uuid NOT NULL REFERENCES enterprise_entreprise (id) ON DELETE CASCADE,
    pro_localisation_id uuid NOT NULL REFERENCES enterprise_prolocalisation (id) ON DELETE CASCADE,
    texte_brut text NOT NULL,
    texte_decrypte text,
    source varchar(50) NOT NULL DEFAULT 'google',
    has_reviews boolean NOT NULL DEFAULT false,
    review_source varchar(255),
    review_rating double precision CHECK (review_rating BETWEEN 0 AND 5),
    review_count integer,
    job_id varchar(128) NOT NULL DEFAULT '',
    ai_payload jsonb NOT NULL DEFAULT '{}',
    date_generation timestamptz NOT NULL DEFAULT now(),
    date_expiration timestamptz,
    needs_regeneration boolean NOT NULL DEFAULT false,
    confidence_score double precision NOT NULL DEFAULT 0 CHECK (confidence_score BETWEEN 0 AND 1),
    avis_decryptes_json jsonb NOT NULL DEFAULT '[]',
    synthese_points_forts text,
    tendance_recente text,
    bilan_synthetique text
);
CREATE INDEX IF NOT EXISTS reviews_avisdecrypte_page
    ON reviews_avisdecrypte (pro_localisation_id, has_reviews);
CREATE INDEX IF NOT EXISTS reviews_avisdecrypte_regeneration
    ON reviews_avisdecrypte (needs_regeneration, date_expiration);
CREATE INDEX IF NOT EXISTS reviews_avisdecrypte_generation
    ON reviews_avisdecrypte (date_generation DESC);

CREATE TABLE IF NOT EXISTS reviews_avis (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    entreprise_id uuid NOT NULL REFERENCES enterprise_entreprise (id) ON DELETE CASCADE,
    pro_localisation_id uuid REFERENCES enterprise_prolocalisation (id) ON DELETE CASCADE,
    titre varchar(255) NOT NULL DEFAULT '',
    texte text NOT NULL,
    note integer NOT NULL CHECK (note BETWEEN 1 AND 5),
    date_avis timestamptz NOT NULL,
    auteur_nom varchar(100) NOT NULL DEFAULT '',
    auteur_email varchar(254) NOT NULL DEFAULT '',
    source varchar(20) NOT NULL DEFAULT 'client'
        CHECK (source IN ('client', 'google', 'facebook', 'site', 'import')),
    statut varchar(20) NOT NULL DEFAULT 'en_attente'
        CHECK (statut IN ('brouillon', 'en_attente', 'en_cours_ia', 'valide', 'publie', 'rejete')),
    avis_decrypte_id uuid REFERENCES reviews_avisdecrypte (id) ON DELETE SET NULL,
    reponse_entreprise text NOT NULL DEFAULT '',
    masque boolean NOT NULL DEFAULT false,
    ordre integer NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS reviews_avis_page ON reviews_avis (pro_localisation_id);
CREATE INDEX IF NOT EXISTS reviews_avis_entreprise ON reviews_avis (entreprise_id);

-- The absolute rule: no public review, no synthesis. NOT VALID: rows that the earlier system
-- invented do not stop the migration; none can be added, nor changed and stay untrue.
ALTER TABLE reviews_avisdecrypte
    DROP CONSTRAINT IF EXISTS ingest_no_review_no_synthesis,
    ADD CONSTRAINT ingest_no_review_no_synthesis CHECK (
        has_reviews AND btrim(coalesce(review_source, '')) <> '' AND review_rating IS NOT NULL
        AND coalesce(review_count, 0) > 0 AND btrim(texte_brut) <> ''
    ) NOT VALID;

-- What is asked: one text of one row of the site.
-- state: noted (with the row that an import wrote; on its way to the topic enrichment), pending,
-- running (leased to a worker), done, failed (reason says why; only a person asks again), left (the
-- time of its import was over).
CREATE TABLE ingest.enrichment (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    entity_id uuid NOT NULL,
    import_id uuid,
    reason text NOT NULL, -- import, asked, upstream, missing, expired, low-quality
    priority smallint NOT NULL, -- 0 sponsored, 1 asked, 2 by night
    state text NOT NULL DEFAULT 'noted',
    sent_at timestamptz, -- to the topic; null: not yet
    not_before timestamptz NOT NULL DEFAULT now(),
    tries smallint NOT NULL DEFAULT 0, -- calls that failed for a reason that passes
    lease uuid,
    leased_until timestamptz,
    prompt_hash text,
    code text,
    message text,
    asked_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX enrichment_pending ON ingest.enrichment (priority, asked_at, id) WHERE state = 'pending';
CREATE INDEX enrichment_running ON ingest.enrichment (leased_until) WHERE state = 'running';
CREATE INDEX enrichment_unsent ON ingest.enrichment (asked_at, id) WHERE state = 'noted' AND sent_at IS NULL;
CREATE INDEX enrichment_entity ON ingest.enrichment (entity_id, kind);
CREATE INDEX enrichment_import ON ingest.enrichment (import_id, state) WHERE import_id IS NOT NULL;

-- Rows of imports that are to be asked for afterwards, by the ids of the site's table. after: how far.
CREATE TABLE ingest.enrichment_scans (
    import_id uuid PRIMARY KEY,
    after uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);

-- ai_moved: what the requests of this import have come to is to be told. ai_until: they are left then.
ALTER TABLE ingest.imports
    ADD COLUMN ai_requested integer NOT NULL DEFAULT 0,
    ADD COLUMN ai_done integer NOT NULL DEFAULT 0,
    ADD COLUMN ai_failed integer NOT NULL DEFAULT 0,
    ADD COLUMN ai_left integer NOT NULL DEFAULT 0,
    ADD COLUMN ai_started boolean NOT NULL DEFAULT false,
    ADD COLUMN ai_completed boolean NOT NULL DEFAULT false,
    ADD COLUMN ai_moved boolean NOT NULL DEFAULT false,
    ADD COLUMN ai_until timestamptz;
CREATE INDEX imports_ai_moved ON ingest.imports (partition) WHERE ai_moved;
CREATE INDEX imports_ai_until ON ingest.imports (ai_until) WHERE ai_until IS NOT NULL;

-- Answers by the hash of all that decides them: the same is never paid twice. They go to the topic
-- enrichment.results as well, and come back from it where a restored database has lost them.
-- state: asking (leased), done, failed (the model will not answer this: code says why).
CREATE TABLE ingest.ai_results (
    prompt_hash text PRIMARY KEY,
    kind text NOT NULL,
    model text NOT NULL,
    prompt_version text NOT NULL,
    input_hash text NOT NULL,
    state text NOT NULL,
    lease uuid,
    leased_until timestamptz,
    asked_from smallint NOT NULL DEFAULT 0, -- of ai_rejected: those before are of an earlier request
    content jsonb,
    code text,
    message text,
    tokens_in integer NOT NULL DEFAULT 0,
    tokens_out integer NOT NULL DEFAULT 0,
    cost numeric(14, 8) NOT NULL DEFAULT 0,
    answered_at timestamptz,
    sent_at timestamptz
);
CREATE INDEX ai_results_unsent ON ingest.ai_results (answered_at)
    WHERE state IN ('done', 'failed') AND sent_at IS NULL;

-- Answers that were paid and not taken, and why: the re-asks go on from them.
CREATE TABLE ingest.ai_rejected (
    prompt_hash text NOT NULL,
    number smallint NOT NULL,
    kind text NOT NULL,
    entity_id uuid NOT NULL,
    answer text NOT NULL,
    reason text NOT NULL,
    tokens_in integer NOT NULL,
    tokens_out integer NOT NULL,
    cost numeric(14, 8) NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (prompt_hash, number)
);

-- The text that a row of the site has from the model.
CREATE TABLE ingest.enrichment_texts (
    entity_id uuid NOT NULL,
    kind text NOT NULL,
    prompt_hash text NOT NULL,
    prompt_version text NOT NULL,
    model text NOT NULL,
    input_hash text NOT NULL,
    content jsonb NOT NULL, -- by column of the site's table
    tokens_in integer NOT NULL,
    tokens_out integer NOT NULL,
    cost numeric(14, 8) NOT NULL,
    generated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (entity_id, kind)
);
CREATE INDEX enrichment_texts_expiry ON ingest.enrichment_texts (kind, expires_at, entity_id);

-- Every call: the sliding window of the rates, the reservations of the budgets, what was in flight.
-- state: started, answered, failed, void (never sent), lost (its worker died: it may have been paid).
CREATE TABLE ingest.ai_calls (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model text NOT NULL,
    at timestamptz NOT NULL,
    until timestamptz NOT NULL, -- of a call that is under way: its worker is dead after it
    state text NOT NULL DEFAULT 'started',
    request_id uuid NOT NULL,
    prompt_hash text NOT NULL,
    ask smallint NOT NULL, -- 0: the prompt; 1, 2: asked again with what was wrong
    import_id uuid,
    tokens integer NOT NULL, -- reserved, then used
    cost numeric(14, 8) NOT NULL, -- reserved, then paid
    code text
);
CREATE INDEX ai_calls_at ON ingest.ai_calls (model, at);
CREATE INDEX ai_calls_started ON ingest.ai_calls (model, until) WHERE state = 'started';
CREATE INDEX ai_calls_prompt ON ingest.ai_calls (prompt_hash, ask);

-- Spent and reserved, by scope: import ID, day YYYY-MM-DD, month YYYY-MM.
CREATE TABLE ingest.ai_budgets (
    scope text PRIMARY KEY,
    spent numeric(14, 8) NOT NULL DEFAULT 0
);

-- The circuit breaker of a model: open while open_until is not null; after it one call probes.
-- halted: a person has to do something, then start a worker again.
CREATE TABLE ingest.ai_models (
    model text PRIMARY KEY,
    failures integer NOT NULL DEFAULT 0, -- one after the other, of all workers
    open_until timestamptz,
    open_reason text,
    opened_for double precision NOT NULL DEFAULT 0, -- seconds, the last time
    probe_until timestamptz,
    blocked_until timestamptz, -- the provider said when it wants to be asked again
    halted text
);

-- Nightly plans. lease: of one that runs.
CREATE TABLE ingest.enrichment_runs (
    id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    finished_at timestamptz,
    missing integer NOT NULL DEFAULT 0,
    expired integer NOT NULL DEFAULT 0,
    low_quality integer NOT NULL DEFAULT 0,
    stopped_by text -- budget, count: what ended it before all was asked for
);
CREATE UNIQUE INDEX enrichment_runs_running ON ingest.enrichment_runs ((true)) WHERE finished_at IS NULL;

CREATE FUNCTION ingest.request_id(why text, entity_id uuid, kind text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT md5('enrichment ' || why || ' ' || entity_id || ' ' || kind)::uuid
$$;

CREATE FUNCTION ingest.is_sponsored(page uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM sponsorisation
        WHERE pro_localisation_id = page AND is_active AND statut_paiement = 'active'
            AND now() BETWEEN date_debut AND date_fin
    )
$$;

-- The reviews that a visitor of the page can read: the only ones that a synthesis may be made of.
CREATE FUNCTION ingest.public_reviews(page uuid) RETURNS SETOF reviews_avis
LANGUAGE sql STABLE AS $$
    SELECT a.*
    FROM reviews_avis a
    WHERE (
        a.pro_localisation_id = page
        OR (a.pro_localisation_id IS NULL AND a.entreprise_id = (
            SELECT entreprise_id FROM enterprise_prolocalisation WHERE id = page
        ))
    ) AND a.statut IN ('valide', 'publie') AND NOT a.masque AND btrim(a.texte) <> ''
$$;

CREATE FUNCTION ingest.has_public_reviews(page uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM ingest.public_reviews(page))
$$;
