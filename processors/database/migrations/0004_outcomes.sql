-- Two more outcomes of a row: parked, it waits for the row that it belongs to; cancelled, its import
-- was cancelled before it was written. And what an import settles of the one that it is a child of:
-- settled rows move the parent's counters in the child's partition, so that counters of one
-- partition may be negative while their sum is right.
ALTER TABLE ingest.progress
    ADD COLUMN parked integer NOT NULL DEFAULT 0,
    ADD COLUMN cancelled integer NOT NULL DEFAULT 0;
ALTER TABLE ingest.imports
    ADD COLUMN parked integer NOT NULL DEFAULT 0,
    ADD COLUMN cancelled integer NOT NULL DEFAULT 0,
    ADD COLUMN parent uuid,
    ADD COLUMN settles integer NOT NULL DEFAULT 0;
CREATE INDEX imports_parked ON ingest.imports (partition) WHERE parked > 0;
