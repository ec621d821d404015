-- Who paused the model, and why.
ALTER TABLE ingest.ai_pauses ADD COLUMN paused_by text, ADD COLUMN reason text;

-- For which request a text was replaced: regenerate, overwrite, expired and so on. Null: before this version.
ALTER TABLE ingest.text_history ADD COLUMN reason text;
