"""psql's \\copy: no Kafka, no Avro, no check. What PostgreSQL itself needs for the same rows.

    python -m tests.benchmarks.contestants.copy_floor insert|update FILE

FILE is a CSV file with a header and the columns of `common.COLUMNS`. `insert` copies into the
table, in which no row may be there before; `update` copies beside it, then upserts.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from deploy.local.servers.postgres import INSTALLATION, PACKAGE
from tests.benchmarks.contestants import common

COLUMNS = ", ".join(common.COLUMNS)

# id and both times have no default in the site's table.
DEFAULTS = (
    "ALTER TABLE enterprise_entreprise ALTER id SET DEFAULT gen_random_uuid(), "
    "ALTER created_at SET DEFAULT now(), ALTER updated_at SET DEFAULT now()"
)
FORMAT = r"WITH (FORMAT csv, HEADER, NULL '\N')"
INSERT = (DEFAULTS, f"\\copy enterprise_entreprise ({COLUMNS}) FROM '{{file}}' {FORMAT}")
UPDATE = (
    f"CREATE TEMPORARY TABLE staging AS SELECT {COLUMNS} FROM enterprise_entreprise WITH NO DATA",
    f"\\copy staging FROM '{{file}}' {FORMAT}",
    f"INSERT INTO enterprise_entreprise AS t ({common.INSERTED}) "
    f"SELECT {common.values('{}')} FROM staging {common.ON_CONFLICT}",
)


def command(mode: str, file: str, database_url: str) -> list[str]:
    """psql with all that it has to do."""
    steps = {"insert": INSERT, "update": UPDATE}[mode]
    words = [f"--command={step.replace('{file}', file)}" for step in steps]
    return [str(psql()), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *words, database_url]


def psql() -> Path:
    """The program beside the embedded server's."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(f"{PACKAGE} is missing: run `pip install foxstream[local]`")
    return Path(found.origin).resolve().parent / INSTALLATION / "bin" / "psql"


if __name__ == "__main__":
    subprocess.run(command(sys.argv[1], sys.argv[2], common.DATABASE_URL), check=True)
