"""The database is set back to an earlier copy while workers run: Kafka brings back what it lost."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import starmap
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.local.servers import postgres
from producers.terminal.exits import PARTIAL
from schemas.codec.framing import Decoder
from schemas.runtime.registry import Registry
from schemas.topics import IMPORT_LOG
from tests.fix_companies import Companies, exact, hurry, importing, make_slow, shared
from tests.fix_stack import Site, create_database, eventually
from tests.integration.test_strange_records import Upstream, settled

FEW = 2_000
"""Rows of the files that are imported before and after: only the one between is to be interrupted."""

COLUMNS = "siren, id, nom, code_postal, ville_nom, is_active, ingest_import_id, ingest_line"


@contextmanager
def stopped(site: Site) -> Iterator[Path]:
    """The data directory of the server, which is down meanwhile."""
    server = site.stack.postgres
    server.stop()
    try:
        yield server.data
    finally:
        server.start()


def copied(site: Site) -> Path:
    """A copy of the whole data directory, as it is now."""
    with stopped(site) as data:
        copy = data.with_name(f"{data.name}.copy")
        subprocess.run(["cp", "-a", data, copy], check=True)
    return copy


def restored(site: Site, copy: Path) -> None:
    """Puts a copy in the place of the data directory."""
    with stopped(site) as data:
        shutil.rmtree(data)
        copy.rename(data)


def business(site: Site) -> list[tuple[Any, ...]]:
    """What the site sees of its companies, and the rejects of each import."""
    rows = site.query(f"SELECT {COLUMNS} FROM enterprise_entreprise ORDER BY siren")
    return rows + site.query("SELECT id, import_id, line FROM ingest.rejects ORDER BY id")


def last_states(site: Site) -> dict[str, tuple[Any, ...]]:
    """The state of each import for a reader that follows the log: of the highest version."""
    states: dict[str, dict[str, Any]] = {}
    with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        decoder = Decoder(str(IMPORT_LOG.record), registry)
        for message in site.messages(IMPORT_LOG.name):
            state = decoder.decode(message.value())
            if state["version"] >= states.get(state["id"], state)["version"]:
                states[state["id"]] = state
    names = ("status", "total_rows", "inserted", "duplicate", "rejected", "error_rows")
    return {import_id: tuple(state[name] for name in names) for import_id, state in states.items()}


def test_the_database_is_set_back(site: Site, companies: Companies) -> None:
    """Imports that ended since end again, alike, with nobody's help and no row more on the topics."""
    make_slow(site, 0.2)
    workers = [site.worker(), site.worker()]
    eventually(lambda: shared(site, 2))
    with importing(site, companies.file(FEW)) as command:
        assert command.wait(180) == PARTIAL
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        copy = copied(site)
        hurry(site)
        assert command.wait(180) == PARTIAL
    with importing(site, companies.file(FEW)) as command:
        assert command.wait(180) == PARTIAL
    exact(site, companies)
    before, states = business(site), eventually(lambda: last_states(site))

    restored(site, copy)

    assert business(site) != before
    eventually(lambda: business(site) == before)
    eventually(lambda: all(starmap(companies.are_exact, companies.files.items())))
    exact(site, companies)
    eventually(lambda: last_states(site) == states, 10)
    assert all(worker.running for worker in workers)


def test_the_last_moments_are_lost(site: Site) -> None:
    """As with a standby that was a little behind: what it lacks comes back, without a row after it."""
    worker, upstream = site.worker(), Upstream(site)
    for number in range(100):
        upstream.send_company(number)
    upstream.flush()
    eventually(lambda: settled(site))
    copy = copied(site)
    for number in range(100, 200):
        upstream.send_company(number)
    upstream.flush()
    eventually(lambda: settled(site))

    restored(site, copy)

    companies = "SELECT count(*) FROM enterprise_entreprise"
    assert site.query(companies) == [(100,)]
    eventually(lambda: site.query(companies) == [(200,)])
    assert worker.running


def dumped(site: Site) -> str:
    """What pg_dump writes of the database, as statements that drop what they create."""
    package = find_spec(postgres.PACKAGE)
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / postgres.INSTALLATION / "bin" / "pg_dump"
    options = ["--inserts", "--rows-per-insert=1000", "--clean", "--if-exists", "--no-owner"]
    done = subprocess.run(
        [program, *options, site.database_url], capture_output=True, text=True, check=True
    )
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("\\"))


def restored_in_place(site: Site, dump: str) -> bool:
    """As pg_restore --clean --single-transaction; False if workers were in its way."""
    try:
        with psycopg.connect(site.database_url) as connection:
            connection.execute(dump.encode())
    except psycopg.errors.DeadlockDetected:
        return False
    return True


def restored_anew(site: Site, dump: str) -> bool:
    """Into a database of the same name."""
    server, _, name = site.database_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    create_database(f"{server}/postgres", name)
    return restored_in_place(site, dump)


@pytest.mark.parametrize("restore", [restored_in_place, restored_anew])
def test_a_dump_is_restored_under_running_workers(
    site: Site, companies: Companies, restore: Any
) -> None:
    """One that was taken while workers ran: they stop before they write anything, and new ones replay what it
    lacks to the same rows, rejects and states."""
    workers = [site.worker("rows"), site.worker("imports"), site.worker("enrichment")]
    for each in (companies.file(1000), companies.file(1000)):
        dump = dumped(site)
        done = site.foxstream("import", each, "--type", "entreprise")
        assert done.code == PARTIAL, done.stderr
    before, states = business(site), last_states(site)

    eventually(lambda: restore(site, dump))

    for worker in workers:
        assert worker.wait(60) == 2
        assert "a dump was restored" in worker.log_tail()
    assert set(business(site)) < set(before)
    assert not site.query("SELECT FROM ingest.imports WHERE file_name = 'companies2.csv'")
    site.worker()
    eventually(lambda: business(site) == before)
    eventually(lambda: last_states(site) == states)
