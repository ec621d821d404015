"""Workers and commands behind pgBouncer in transaction mode, where a transaction may get any session."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import dict_row

from deploy.local.processes.ports import free_port
from deploy.local.processes.process import GuardedProcess, Launch
from deploy.local.servers import unprivileged
from processors.errors import ConfigurationError
from tests.fix_gateway import companies
from tests.fix_stack import Site, eventually

SESSIONS = 2
"""Of pgBouncer with PostgreSQL. Two workers have more connections to pgBouncer than that."""

CONFIGURATION = """
[databases]
* = host={host} port={port} user=foxstream
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {sessions}
server_reset_query_always = 0
"""


pytestmark = pytest.mark.skipif(
    shutil.which("pgbouncer") is None,
    reason="PGBOUNCER IS MISSING: nothing is tried behind one. apt install pgbouncer",
)


@contextmanager
def pooled(site: Site, tmp_path: Path, mode: str) -> Iterator[Site]:
    """The site, whose database is reached through a pgBouncer of this `pool_mode`."""
    server, listen = urlsplit(site.database_url), free_port()
    with tempfile.TemporaryDirectory() as folder:  # another user has to read it
        Path(folder).chmod(0o755)
        file = Path(folder) / "pgbouncer.ini"
        file.write_text(
            CONFIGURATION.format(
                host=server.hostname, port=server.port, listen=listen, mode=mode, sessions=SESSIONS
            ),
            encoding="ascii",
        )
        launch = Launch(
            [str(shutil.which("pgbouncer")), str(file)],
            dict(os.environ),
            tmp_path / "pgbouncer.log",
            owner=unprivileged.owner_for(Path(folder) / "none"),
        )
        bouncer = GuardedProcess("pgbouncer", launch)
        found = Site(
            site.stack, site.prefix, f"postgresql://foxstream@127.0.0.1:{listen}{server.path}"
        )
        try:
            eventually(lambda: bouncer.running and _answers(found.database_url))
            yield found
        finally:
            found.kill()
            bouncer.kill()


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, autocommit=True):
            return True
    except psycopg.OperationalError:
        return False


def _clients(site: Site) -> int:
    """Connections that pgBouncer has with clients of the site."""
    server = urlsplit(site.database_url)
    admin = server._replace(path="/pgbouncer").geturl()
    with psycopg.connect(admin, autocommit=True, row_factory=dict_row) as connection:
        pools = connection.execute("SHOW POOLS").fetchall()
    of_site = [pool for pool in pools if pool["database"] == server.path.removeprefix("/")]
    return sum(int(pool["cl_active"]) + int(pool["cl_waiting"]) for pool in of_site)


def test_workers_share_sessions(site: Site, tmp_path: Path) -> None:
    """Two of every kind, rows of three types: some are bad, wait, or have one key. Then commands."""
    with pooled(site, tmp_path, "transaction") as shared:
        _work(site, shared, tmp_path)


def _work(site: Site, pooled: Site, tmp_path: Path) -> None:
    for _ in range(2):
        pooled.worker()
    files = {
        "SOUS_CATEGORIE": b"nom,categorie\n"
        + b"".join(b"Metier %d,Famille\n" % n for n in range(300)),
        "CATEGORIE": b"nom\nFamille\n",
        "ENTREPRISE": companies(1, 20_000, faulty=30)
        + b"".join(b"\n%09d;Autre %d;75001" % (n % 2 + 1, n) for n in range(100)),
    }
    started = []
    for kind, content in files.items():
        path = tmp_path / f"{kind}.csv"
        path.write_bytes(content)
        started.append(pooled.start("import", path, "--type", kind))
    shared = 0

    def ended() -> bool:
        nonlocal shared
        shared = max(shared, _clients(pooled))
        return all(command.poll() is not None for command in started)

    eventually(ended)
    assert shared > SESSIONS
    [(sessions,)] = site.query(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    assert sessions <= SESSIONS

    assert site.query("SELECT count(*) FROM enterprise_entreprise") == [(20_000,)]
    eventually(lambda: site.query("SELECT count(*) FROM subcategory_souscategorie") == [(300,)])
    for words in (
        ["migrate"],
        ["trace", f"{1:09d}"],
        ["rejects", "list"],
        ["job", "check-accounts"],
        ["job", "repair-sous-categories"],
        ["job", "clean"],
    ):
        done = pooled.foxstream_worker(*words)
        assert done.code == 0, (words, done.stdout, done.stderr)
    for process in pooled.spawned:
        assert "exception" not in process.launch.log.read_text(encoding="utf-8")


def test_a_mode_without_transactions(site: Site, tmp_path: Path) -> None:
    """Workers and commands refuse it with the setting that is wrong; they do not wait for it."""
    with pooled(site, tmp_path, "statement") as refused:
        worker = refused.worker("rows")
        assert worker.wait(60) == ConfigurationError.exit_code
        command = refused.foxstream_worker("migrate")
        assert command.code == ConfigurationError.exit_code
        log = worker.launch.log.read_text(encoding="utf-8")
        assert all("pool_mode = transaction" in text for text in (log, command.stderr))


def test_a_mode_with_sessions(site: Site, tmp_path: Path) -> None:
    """As without pgBouncer, if it has enough sessions."""
    with pooled(site, tmp_path, "session") as patient:
        assert patient.foxstream_worker("migrate").code == 0
        assert patient.foxstream_worker("job", "clean").code == 0
