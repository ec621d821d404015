"""`make test-postgres`: the tests that write to the site's tables, on every supported server.

Names of servers choose among them: debian-15, 15, 16, 17, 18.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.postgres.servers import OtherPostgres, debian, fetched, pinned

TESTS = (
    "tests/integration/test_row_writer.py",
    "tests/integration/test_row_writer_types.py",
    "tests/integration/test_public_pages.py",
    "tests/integration/test_sirene.py",
    "tests/integration/test_large_tables.py",
    "tests/integration/test_tracker_sql.py",
    "tests/integration/test_site_tables.py",
    "tests/integration/test_site_fit.py",
    "tests/integration/test_transaction_limits.py",
)


def run(name: str, programs: Path) -> int:
    """The exit code of pytest on this server."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server runs as another user
        server = OtherPostgres(Path(folder), programs)
        server.start()
        try:
            print(f"PostgreSQL {name}", flush=True)
            return subprocess.run(
                [sys.executable, "-m", "pytest", "-q", *TESTS],
                env={**os.environ, server.variable: server.url},
                check=False,
            ).returncode
        finally:
            server.stop()


def main(names: list[str]) -> int:
    """Servers that cannot be fetched fail the run: what was not tried is not supported."""
    found = debian()
    chosen = names or [*found, *pinned()]
    codes = [run(name, found.get(name) or fetched(pinned()[name])) for name in chosen]
    return max(codes, default=2)


sys.exit(main(sys.argv[1:]))
