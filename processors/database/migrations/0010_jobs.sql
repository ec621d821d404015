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
