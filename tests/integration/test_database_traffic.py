"""What passes between a worker and PostgreSQL: how much, and what a reply that is lost does."""

from dataclasses import dataclass

from producers.terminal.exits import PARTIAL
from tests.fix_companies import Companies, exact, finish, importing, logged, make_slow, shared
from tests.fix_stack import Site, eventually
from tests.pg_proxy import PgProxy

STATEMENTS = 40
"""Most of one transaction, whatever it writes."""


def test_replies_to_commit_that_are_lost(site: Site, companies: Companies) -> None:
    """A batch whose COMMIT nobody confirmed is known, not written again."""
    make_slow(site, 0.1)
    with PgProxy(site.database_url) as proxy:
        site.settings = {**site.settings, "FOX_DATABASE_URL": proxy.url}
        worker = site.worker()
        eventually(lambda: shared(site, 1))
        proxy.losing = 0.3
        path = companies.file()
        with importing(site, path) as command:
            companies.begun(path)
            finish(site, companies, command)
        proxy.losing = 0
        known = logged(worker, "batch_known")
        assert proxy.lost >= 5
    assert len([line for line in known if line["topic"].endswith("rows.entreprise")]) >= 2
    assert not logged(worker, "batch_fenced")
    assert worker.running


@dataclass(frozen=True)
class Traffic:
    """What one import took."""

    rows: int
    transactions: int
    statements: int
    largest: int


def test_statements_grow_with_transactions_not_with_rows(site: Site, companies: Companies) -> None:
    """However many rows a transaction writes, it takes the same few statements."""
    site.worker("imports")
    with PgProxy(site.database_url) as proxy:
        site.settings = {"FOX_DATABASE_URL": proxy.url}
        site.worker("rows")
        eventually(lambda: shared(site, 1))
        few, many = (measured(site, companies, proxy, rows) for rows in (2_000, 20_000))
    exact(site, companies)
    assert min(few.largest, many.largest) > 0, (few, many)
    assert max(few.largest, many.largest) < STATEMENTS, (few, many)
    # Into how many transactions they are cut depends on how they arrive.
    assert many.statements < many.rows / 12, many
    assert many.statements < 5 * few.statements, (few, many)


def measured(site: Site, companies: Companies, proxy: PgProxy, rows: int) -> Traffic:
    """The traffic of the import of a new file."""
    commits, statements = proxy.commits, proxy.statements
    proxy.largest = 0
    path = companies.file(rows)
    with importing(site, path) as command:
        assert command.wait(180) == PARTIAL
    return Traffic(rows, proxy.commits - commits, proxy.statements - statements, proxy.largest)
