-- A reject knows which reject of another import its row stood for, and which import settled it.
-- settled_told: readers of the topic rejects were told.
ALTER TABLE ingest.rejects
    ADD COLUMN cancelled boolean NOT NULL DEFAULT false, -- not refused: its import was cancelled
    ADD COLUMN settles_import uuid,
    ADD COLUMN settles_line integer,
    ADD COLUMN settles_sheet text,
    ADD COLUMN settled_by uuid,
    ADD COLUMN settled_at timestamptz,
    ADD COLUMN settled_told boolean NOT NULL DEFAULT false;
CREATE INDEX rejects_untold ON ingest.rejects (topic, partition, "offset")
    WHERE settled_by IS NOT NULL AND NOT settled_told;

-- Rows of children that were written before the reject that they stand for, as may happen where
-- rows are read again after a restore: partitions do not wait for each other.
CREATE TABLE ingest.settled_early (
    import_id uuid NOT NULL,
    line integer NOT NULL,
    sheet text, -- null: a text file
    child uuid NOT NULL,
    outcome text NOT NULL
);
CREATE INDEX settled_early_place ON ingest.settled_early (import_id, line);

ALTER TABLE ingest.progress ADD COLUMN settles integer NOT NULL DEFAULT 0;

-- stopped_after: the last line that was published where a cancel stopped the reading. settled_at:
-- when the tracker heard of settled rejects, which move counters of imports that have ended.
ALTER TABLE ingest.imports
    ADD COLUMN cancelled_at timestamptz,
    ADD COLUMN cancelled_by text,
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN stopped_after integer,
    ADD COLUMN settled_at timestamptz;
CREATE INDEX imports_cancelled ON ingest.imports (cancelled_at) WHERE cancelled_at IS NOT NULL;
CREATE INDEX imports_settled ON ingest.imports (settled_at) WHERE settled_at IS NOT NULL;
