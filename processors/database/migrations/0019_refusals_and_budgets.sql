-- A halt is about settings, a refusal about a prompt: which of them it is shows whether others are
-- refused. A budget that is used up is seen before a request is leased. Failures are not for ever.

ALTER TABLE ingest.ai_models
    ADD COLUMN proven text[] NOT NULL DEFAULT '{}', -- hashes of settings with which a call was answered
    ADD COLUMN refused text[] NOT NULL DEFAULT '{}', -- "code hash" of prompts, since the last answer
    ADD COLUMN halted_until timestamptz, -- then the probe is asked
    ADD COLUMN halted_for double precision NOT NULL DEFAULT 0, -- seconds, the last time
    ADD COLUMN open_message text,
    ADD COLUMN unlimited boolean NOT NULL DEFAULT false; -- it ignores how long an answer may be

ALTER TABLE ingest.ai_results
    ADD COLUMN settings text; -- with which it was asked; null: before there was this column

ALTER TABLE ingest.ai_budgets
    ADD COLUMN denied numeric(14, 8); -- the cost for which there was no room, the last time

ALTER TABLE ingest.ai_batches
    ADD COLUMN requests integer, -- how many were sent
    ADD COLUMN reason text, -- the provider's, if it failed
    ADD COLUMN files text[] NOT NULL DEFAULT '{}'; -- at the provider, to be deleted there
