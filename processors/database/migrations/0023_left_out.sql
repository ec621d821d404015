-- What a file has besides the rows that were read. left_out: lines of the import's own type that could not
-- be read, by sheet; other_sheets: the names of sheets that hold something else.
ALTER TABLE ingest.imports
    ADD COLUMN left_out_rows integer NOT NULL DEFAULT 0,
    ADD COLUMN left_out jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN other_sheets jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN encoding_hint text;
