-- The last record before a position: {"next_offset", "offset", "leader_epoch", "timestamp", "sha256"}. A seek
-- compares it with the log, whose offsets may have been used again for other records. NULL, or with another
-- next_offset than that of the row: it is not known.
ALTER TABLE ingest.positions
    ADD COLUMN last_record jsonb,
    -- How often a person let the partition go on after offsets were used again; NULL: never. With topic_id it
    -- distinguishes a record from another one at the same offset.
    ADD COLUMN log_number integer;
