-- Rows that were written without some of their values, which were not valid: the record, and each value with
-- the reason. Ids and columns are those of ingest.rejects.
CREATE TABLE ingest.dropped_values (
    id uuid PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    appended_at timestamptz NOT NULL,
    key bytea,
    value bytea,
    headers json NOT NULL,
    import_id uuid,
    line integer,
    sheet text,
    faults jsonb NOT NULL, -- [{"column", "code", "message", "value"}, ...]
    rejected_at timestamptz NOT NULL DEFAULT now(), -- when the row was written
    published_at timestamptz, -- on the topic dropped-values; null: not yet
    cancelled boolean NOT NULL DEFAULT false,
    settles_import uuid,
    settles_line integer,
    settles_sheet text,
    settled_by uuid,
    settled_at timestamptz,
    settled_told boolean NOT NULL DEFAULT false
);
CREATE INDEX dropped_values_unpublished ON ingest.dropped_values (topic, partition, "offset")
    WHERE published_at IS NULL;
CREATE INDEX dropped_values_untold ON ingest.dropped_values (topic, partition, "offset")
    WHERE settled_by IS NOT NULL AND NOT settled_told;
CREATE INDEX dropped_values_import ON ingest.dropped_values (import_id, line);
CREATE INDEX dropped_values_age ON ingest.dropped_values (rejected_at);

ALTER TABLE ingest.progress ADD COLUMN dropped integer NOT NULL DEFAULT 0;
ALTER TABLE ingest.imports ADD COLUMN dropped_rows integer NOT NULL DEFAULT 0;
