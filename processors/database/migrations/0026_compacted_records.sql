-- Records of compacted topics that exist nowhere else, as foxstream-worker recover publishes them to a new
-- cluster. Values are in Avro's JSON encoding: ids of schemas do not outlive their registry. Of type json,
-- because jsonb takes no NUL.
CREATE TABLE ingest.compacted_records (
    topic text NOT NULL,
    key bytea NOT NULL,
    value json NOT NULL,
    PRIMARY KEY (topic, key)
);
