-- What the provider says of the model: whether it lists it, and the day on which it ends. Null: not known.
ALTER TABLE ingest.ai_models
    ADD COLUMN listed boolean,
    ADD COLUMN ends_on date;

-- Budgets that operators set by hand: they hold in place of the settings'. amount null: no limit.
CREATE TABLE ingest.ai_limits (
    kind text PRIMARY KEY CHECK (kind IN ('import', 'day', 'month')),
    amount numeric(14, 8) CHECK (amount >= 0),
    set_at timestamptz NOT NULL DEFAULT now()
);

-- A row while operators have paused the model.
CREATE TABLE ingest.ai_pauses (
    paused boolean PRIMARY KEY DEFAULT true CHECK (paused),
    paused_at timestamptz NOT NULL DEFAULT now()
);

-- Imports take turns: of those of equal priority the request with the lowest turn is next.
ALTER TABLE ingest.enrichment ADD COLUMN turn bigint NOT NULL DEFAULT 0;
DROP INDEX ingest.enrichment_pending;
CREATE INDEX enrichment_pending ON ingest.enrichment (priority, turn, asked_at, id) WHERE state = 'pending';
CREATE INDEX enrichment_turns ON ingest.enrichment (import_id, priority, turn) WHERE state = 'pending';
