"""PostgreSQL servers that others built: Debian's, and one of each supported major version."""
