-- What foxstream itself keeps. Everything here changes in the transaction that writes the rows.

CREATE SCHEMA ingest;

-- The next offset to read of each partition: the truth, whatever Kafka's committed offsets say.
-- cluster, topic_id and partitions tell this topic from another of the same name.
CREATE TABLE ingest.positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    cluster text NOT NULL,
    topic_id text NOT NULL,
    partitions integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- What became of the rows of an import, per partition, as absolute figures. watermark is the
-- highest row number settled: rows at or below it are replays.
CREATE TABLE ingest.progress (
    import_id uuid NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    watermark integer NOT NULL DEFAULT 0,
    inserted integer NOT NULL DEFAULT 0,
    updated integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    duplicate integer NOT NULL DEFAULT 0,
    stale integer NOT NULL DEFAULT 0,
    rejected integer NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (import_id, topic, partition)
);

-- Rows that cannot be written: the record as it came, byte for byte, and why. The id is made of
-- the record's place in Kafka, so that one read again after a restore is the same reject.
CREATE TABLE ingest.rejects (
    id uuid PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    appended_at timestamptz NOT NULL,
    key bytea,
    value bytea,
    headers json NOT NULL, -- [[name, base64 of the value], ...], in order; jsonb takes no NUL
    import_id uuid,
    line integer,
    sheet text,
    faults jsonb NOT NULL, -- [{"column", "code", "message"}, ...]
    rejected_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz -- on the topic rejects; null: not yet
);
CREATE INDEX rejects_unpublished ON ingest.rejects (topic, partition, "offset") WHERE published_at IS NULL;
CREATE INDEX rejects_import ON ingest.rejects (import_id, line);

-- One row per import: what its events said, and the state last published of it.
CREATE TABLE ingest.imports (
    id uuid PRIMARY KEY,
    partition integer NOT NULL, -- of imports.events: who owns it writes this row
    import_type text NOT NULL,
    file_name text NOT NULL,
    file_sha256 text NOT NULL,
    uploaded_by text,
    generate_ai_content boolean NOT NULL,
    header jsonb NOT NULL,
    options jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    total_rows integer,
    warnings_by_code jsonb NOT NULL DEFAULT '{}',
    error jsonb, -- {"code", "message"}: the file as a whole failed
    status text NOT NULL DEFAULT 'PENDING',
    started_at timestamptz,
    completed_at timestamptz,
    inserted integer NOT NULL DEFAULT 0,
    updated integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    duplicate integer NOT NULL DEFAULT 0,
    stale integer NOT NULL DEFAULT 0,
    rejected integer NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 0,
    published_version bigint NOT NULL DEFAULT 0
);
CREATE INDEX imports_unfinished ON ingest.imports (partition) WHERE completed_at IS NULL;
CREATE INDEX imports_unpublished ON ingest.imports (partition) WHERE published_version < version;

-- What a column becomes when a row meets the one that is stored. blank is the column's empty value.
CREATE FUNCTION ingest.pick(policy text, given anyelement, stored anyelement, blank anyelement)
RETURNS anyelement LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE policy
        WHEN 'merge' THEN coalesce(given, stored)
        WHEN 'overwrite' THEN coalesce(given, blank)
        WHEN 'fill_missing' THEN
            CASE WHEN stored IS NULL OR stored = blank THEN coalesce(given, stored) ELSE stored END
        ELSE stored
    END
$$;
