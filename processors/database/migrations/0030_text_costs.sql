-- What the texts of an import cost, spent and reserved, by kind of text and day (UTC).
CREATE TABLE ingest.ai_import_costs (
    import_id uuid NOT NULL,
    kind text NOT NULL,
    day date NOT NULL,
    cost numeric(14, 8) NOT NULL,
    PRIMARY KEY (import_id, day, kind)
);

INSERT INTO ingest.ai_import_costs
SELECT c.import_id, e.kind, (c.at AT TIME ZONE 'UTC')::date, sum(c.cost)
FROM ingest.ai_calls c JOIN ingest.enrichment e ON e.id = c.request_id
WHERE c.import_id IS NOT NULL
GROUP BY 1, 2, 3;

-- What is asked at once while batches send what the night asks for, which would be read each time.
CREATE INDEX enrichment_at_once ON ingest.enrichment (priority, turn, asked_at, id)
    WHERE state = 'pending' AND reason NOT IN ('missing', 'expired', 'low-quality');
CREATE INDEX enrichment_at_once_turns ON ingest.enrichment (import_id, priority, turn)
    WHERE state = 'pending' AND reason NOT IN ('missing', 'expired', 'low-quality');
