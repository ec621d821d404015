-- name: note
-- Of the model that is asked; of others nothing is known any more.
UPDATE ingest.ai_models
SET listed = CASE WHEN model = %(model)s THEN %(listed)s::boolean END,
    ends_on = CASE WHEN model = %(model)s THEN %(ends_on)s::date END
