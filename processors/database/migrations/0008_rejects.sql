-- What a person did about a reject of an upstream system: sent it again, or gave it up.
ALTER TABLE ingest.rejects
    ADD COLUMN replayed_at timestamptz,
    ADD COLUMN discarded_at timestamptz,
    ADD COLUMN discarded_by text,
    ADD COLUMN discarded_why text;
CREATE INDEX rejects_open ON ingest.rejects (rejected_at DESC)
    WHERE import_id IS NULL AND replayed_at IS NULL AND discarded_at IS NULL;
