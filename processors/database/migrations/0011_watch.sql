-- The metrics look at the imports of the last day.
CREATE INDEX imports_completed ON ingest.imports (completed_at);
