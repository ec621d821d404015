-- The tracker looks whether an import has rows whose companies have to be imported first. The index
-- holds nothing but these.
CREATE INDEX rejects_unknown_company ON ingest.rejects (import_id)
    WHERE settled_by IS NULL AND faults -> 0 ->> 'code' = 'unknown-company';
