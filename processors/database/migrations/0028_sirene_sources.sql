-- Which row the code of rev. 2 and the trade name are from, so that files end alike in any order: 1 for
-- one about the head office, which goes before, 0 for the company's own, and the row's own date.
ALTER TABLE ingest.sirene
    ADD COLUMN naf_rev2_from text COLLATE "C",
    ADD COLUMN enseigne_from text COLLATE "C";
