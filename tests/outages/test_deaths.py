"""Whatever dies in the middle of an import: every row is written once and accounted for once."""

import json
from typing import Any

from producers.terminal.exits import PARTIAL, REFUSED
from tests.fix_companies import ROWS, Companies, importing, logged, make_slow, published, shared
from tests.fix_stack import Site, eventually


def test_workers_that_die_or_sleep_are_succeeded(site: Site, companies: Companies) -> None:
    """By those that share the partitions, or start later; one that wakes up writes nothing twice."""
    make_slow(site, 0.3)
    sleeping, killed, left = site.worker(), site.worker(), site.worker()
    eventually(lambda: shared(site, 3))
    # A seek that is under way would take too long for one that sleeps: it would end itself.
    eventually(lambda: logged(sleeping, "worker_started"))

    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        sleeping.pause()
        killed.kill()
        assert companies.written(path) < ROWS
        assert command.wait(180) == PARTIAL
    sleeping.resume()
    eventually(lambda: shared(site, 2))
    assert companies.are_exact(path)

    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        sleeping.kill()
        left.kill()
        assert companies.written(path) < ROWS
        site.worker()
        assert command.wait(180) == PARTIAL
    assert companies.are_exact(path)


def test_a_worker_ends_in_order(site: Site, companies: Companies) -> None:
    """After SIGTERM in the middle of an import it exits with 0; its successor finishes."""
    site.quick = False  # a process as in production
    make_slow(site, 0.3)
    worker = site.worker()
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        worker.stop()
        assert worker.returncode == 0
        assert logged(worker, "worker_stopped")
        assert companies.written(path) < ROWS
        site.worker()
        assert command.wait(180) == PARTIAL
    assert companies.are_exact(path)


def test_a_file_that_is_published_again_adds_nothing(site: Site, companies: Companies) -> None:
    """Neither after the death of the command that published it, nor by two commands at once."""
    site.worker()
    rows = 3 * ROWS
    path = companies.file(rows)
    with importing(site, path) as command:
        eventually(lambda: published(site))
        command.kill()
    before = published(site)
    assert 0 < before < rows, "too fast to die in the middle"

    again = site.foxstream("import", path, "--type", "entreprise")

    assert again.code == PARTIAL, again.stderr
    assert published(site) > rows
    assert companies.are_exact(path, rows)

    path = companies.file()
    with importing(site, path) as one, importing(site, path) as other:
        codes = {one.wait(180), other.wait(180)}
    assert codes in ({PARTIAL}, {PARTIAL, REFUSED})  # the later one may find it imported
    assert companies.are_exact(path)


def test_postgresql_may_be_away_for_a_while(site: Site, companies: Companies) -> None:
    """The worker waits for it, says so, and goes on by itself; nothing is lost or written twice."""
    make_slow(site, 0.3)
    worker = site.worker()
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        written = companies.written(path)
        # Its state is published before there is nobody to ask.
        eventually(lambda: site.query("SELECT id FROM ingest.imports WHERE published_version > 0"))
        site.stack.postgres.stop()
        try:
            eventually(
                lambda: (
                    not worker.running
                    or [state["waiting_for"] for state in states(site)] == ["database"]
                )
            )
            assert worker.running
            assert command.poll() is None
        finally:
            site.stack.postgres.start()
        assert written < ROWS
        assert command.wait(180) == PARTIAL
    assert [state["waiting_for"] for state in states(site)] == [None]
    assert companies.are_exact(path)


def states(site: Site) -> list[dict[str, Any]]:
    """The imports as the log has them."""
    listed = site.foxstream("list", "--json")
    assert listed.code == 0, listed.stderr
    return list(json.loads(listed.stdout))


def test_a_worker_that_is_stopped_while_it_starts(site: Site) -> None:
    """Kafka falls silent before its consumers have joined: it does not wait for them."""
    worker = site.worker("rows")
    eventually(lambda: logged(worker, "metrics_served"))
    site.stack.kafka.pause()
    try:
        worker.stop()
    finally:
        site.stack.kafka.resume()

    assert not logged(worker, "worker_started")
    assert worker.returncode == 0
