-- Why a partition is not written any more, until somebody mends it and the worker is started again.
ALTER TABLE ingest.positions ADD COLUMN halted text;
