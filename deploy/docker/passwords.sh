#!/bin/sh
# Run by the image of PostgreSQL when it makes its data directory, after roles.sql: one password for
# all roles, which is enough for one machine.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$POSTGRES_PASSWORD" --username "$POSTGRES_USER" \
    --dbname "$POSTGRES_DB" <<'SQL'
ALTER ROLE foxstream_migrate PASSWORD :'password';
ALTER ROLE foxstream_write PASSWORD :'password';
ALTER ROLE foxstream_read PASSWORD :'password';
SQL
