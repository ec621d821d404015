-- A worker that slept may publish a state after its successor published a later one, and die before
-- it notices. published_offset is where the last state stands on the log; stray_offset where an older
-- one was seen. An import whose stray state comes last is published again (processors/imports/log_guard.py).
ALTER TABLE ingest.imports
    ADD COLUMN published_offset bigint NOT NULL DEFAULT -1,
    ADD COLUMN stray_offset bigint NOT NULL DEFAULT -1;
CREATE INDEX imports_strayed ON ingest.imports (partition) WHERE stray_offset > published_offset;
