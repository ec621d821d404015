-- Jobs: each runs once at a time, and what became of a run is known.

-- A time that was due before `since` was never missed.
CREATE TABLE ingest.jobs (
    name text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);

-- The record of a run, and the lease of one that runs.
-- outcome: done, failed, died (its lease ended before it did), stopped (with its worker).
CREATE TABLE ingest.job_runs (
    id uuid PRIMARY KEY,
    job text NOT NULL,
    due_at timestamptz, -- null: by hand
    attempt smallint NOT NULL DEFAULT 1, -- at what was due then
    started_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz NOT NULL,
    ended_at timestamptz,
    outcome text,
    counts jsonb NOT NULL DEFAULT '{}',
    message text
);
CREATE UNIQUE INDEX job_runs_running ON ingest.job_runs (job) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX job_runs_due ON ingest.job_runs (job, due_at, attempt);
CREATE INDEX job_runs_latest ON ingest.job_runs (job, started_at DESC);

-- The nightly plan had a lease and a record of its own.
DROP TABLE ingest.enrichment_runs;

-- Imports that were removed: who holds their partition of imports.events tells the log so.
-- A state that comes to the log after published_offset is a stray: it is told once more.
CREATE TABLE ingest.forgotten (
    id uuid PRIMARY KEY,
    partition integer NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    published_offset bigint NOT NULL DEFAULT -1
);
CREATE INDEX forgotten_untold ON ingest.forgotten (partition) WHERE published_at IS NULL;

-- What cleaning looks for, beside the index of 0011.
CREATE INDEX imports_parent ON ingest.imports (parent) WHERE parent IS NOT NULL;
CREATE INDEX rejects_age ON ingest.rejects (rejected_at);

-- What ANALYZE follows: as processors/jobs/jobs.sql has it.
CREATE INDEX imports_large ON ingest.imports (completed_at) WHERE inserted + updated >= 10000;

-- Batches of requests to the model (FOX_AI_BATCH). filled: all that belongs to it is in it.
-- provider_id: of the batch at the provider; null: not sent, or the answer did not come.
CREATE TABLE ingest.ai_batches (
    id uuid PRIMARY KEY,
    model text NOT NULL,
    filled boolean NOT NULL DEFAULT false,
    provider_id text,
    lease uuid NOT NULL,
    leased_until timestamptz NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    ended_at timestamptz,
    outcome text -- the provider's word: completed, expired, cancelled, failed
);
CREATE INDEX ai_batches_open ON ingest.ai_batches (made_at) WHERE ended_at IS NULL;

-- What a batch asks and has not settled. The request in ingest.enrichment is leased to the batch.
CREATE TABLE ingest.ai_batch_items (
    batch_id uuid NOT NULL REFERENCES ingest.ai_batches (id) ON DELETE CASCADE,
    request_id uuid NOT NULL,
    call_id bigint NOT NULL,
    prompt_hash text NOT NULL,
    input_hash text NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (batch_id, request_id)
);
CREATE INDEX ai_batch_items_prompt ON ingest.ai_batch_items (prompt_hash);
