-- The commune of each city of the site, by INSEE's code (Code officiel géographique): files of cities
-- bring it. A commune may have several cities, one for each postal code.
CREATE TABLE ingest.communes (
    slug text COLLATE "C" PRIMARY KEY, -- of the city
    code text COLLATE "C"
);
CREATE INDEX communes_code ON ingest.communes (code);

-- SIRENE and La Poste have the arrondissements of Paris, Lyon and Marseille for communes; other lists
-- have the city.
CREATE TABLE ingest.arrondissements (
    code text COLLATE "C" PRIMARY KEY,
    city text COLLATE "C" NOT NULL, -- the commune that it is part of
    postal_code text COLLATE "C" NOT NULL
);
INSERT INTO ingest.arrondissements
SELECT (75100 + n)::text, '75056', (75000 + n)::text FROM generate_series(1, 20) n
UNION ALL
SELECT (69380 + n)::text, '69123', (69000 + n)::text FROM generate_series(1, 9) n
UNION ALL
SELECT (13200 + n)::text, '13055', (13000 + n)::text FROM generate_series(1, 16) n;

-- Of companies whose postal code is not disclosed.
ALTER TABLE ingest.unresolved_pages ADD COLUMN code_commune text COLLATE "C";
UPDATE ingest.unresolved_pages u
SET code_commune = x.code_commune
FROM enterprise_entreprise e
JOIN ingest.sirene x ON x.siren = e.siren
WHERE e.id = u.entreprise_id AND u.code_postal = '';
