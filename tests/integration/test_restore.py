"""The database is set back to an earlier copy while workers run: Kafka brings back what it lost."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from producers.terminal.exits import PARTIAL
from schemas.codec.framing import Decoder
from schemas.runtime.registry import Registry
from schemas.topics import IMPORT_LOG
from tests.fix_companies import Companies, exact, hurry, importing, make_slow, shared
from tests.fix_stack import Site, eventually
from tests.integration.test_strange_records import Upstream, settled

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
    with importing(site, companies.file()) as command:
        assert command.wait(180) == PARTIAL
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        copy = copied(site)
        hurry(site)
        assert command.wait(180) == PARTIAL
    with importing(site, companies.file()) as command:
        assert command.wait(180) == PARTIAL
    exact(site, companies)
    before, states = business(site), eventually(lambda: last_states(site))

    restored(site, copy)

    assert business(site) != before
    eventually(lambda: business(site) == before)
    eventually(lambda: all(companies.are_exact(each) for each in companies.files))
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
