-- NAF 2025 beside rev. 2: ingest.naf has the codes of both, and '' as the trade of a code of NAF 2025
-- for which a person has to decide.

-- As loaded by `foxstream-worker reference load`.
CREATE TABLE ingest.naf_correspondence (
    code_rev2 text NOT NULL,
    code_2025 text NOT NULL,
    certain boolean NOT NULL,
    PRIMARY KEY (code_2025, code_rev2)
);

-- What people decided: `foxstream-worker reference decide`. It outlives what is loaded.
CREATE TABLE ingest.naf_decisions (
    code text PRIMARY KEY,
    sous_categorie text NOT NULL, -- slug
    decided_at timestamptz NOT NULL DEFAULT now()
);
