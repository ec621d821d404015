"""More partitions: only when no row can be overtaken, and never behind the workers' backs."""

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from producers.terminal.exits import PARTIAL
from schemas.import_types import ENTREPRISE
from schemas.topics import CO_PARTITIONED
from tests.fix_companies import Companies, importing, published
from tests.fix_stack import Site, eventually

ROWS = 3_000


def refused(site: Site, *why: str) -> bool:
    """Whether more partitions are refused, for this reason and without any change."""
    done = site.foxstream_worker("topics", "--partitions", "8")
    assert done.code == 2, done.stderr
    return all(word in done.stderr for word in why) and counts(site) == {4}


def counts(site: Site) -> set[int]:
    """The numbers of partitions that the positions are of."""
    return {n for (n,) in site.query("SELECT partitions FROM ingest.positions WHERE topic LIKE '%%rows.%%'")}  # fmt: skip


def test_partitions_are_added_between_imports(site: Site, companies: Companies) -> None:
    """Rows of old and new keys are written afterwards, from all partitions."""
    worker = site.worker()
    path = companies.file(ROWS)
    assert site.foxstream("import", path, "--type", "entreprise").code == PARTIAL

    assert refused(site, "workers run")
    worker.stop()

    path, before = companies.file(ROWS), published(site)
    with importing(site, path) as command:  # nobody writes its rows
        eventually(lambda: published(site) > before)
        eventually(lambda: refused(site, "rows that are not written"))
        site.worker()
        assert command.wait(180) == PARTIAL
    site.spawned[-1].stop()

    done = site.foxstream_worker("topics", "--partitions", "8")
    assert (done.code, counts(site)) == (0, {8}), done.stderr
    for topic in CO_PARTITIONED:
        assert f"{site.prefix}{topic.name} has 8 partitions" in done.stdout

    site.worker()
    again = companies.file(ROWS)
    assert site.foxstream("import", again, "--type", "entreprise").code == PARTIAL
    assert companies.are_exact(again, ROWS)
    [(used,)] = site.query(
        "SELECT count(*) FROM ingest.positions WHERE topic = %s AND next_offset > 0",
        site.prefix + ENTREPRISE.file_topic.name,
    )
    assert used == 8


def test_partitions_that_somebody_else_added(site: Site) -> None:
    """A worker refuses to start: rows of one key would lie in two partitions, in no order."""
    first = site.worker("rows")
    eventually(lambda: counts(site) == {4})
    first.stop()
    admin = AdminClient(
        {"log_level": 0, "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"]}
    )
    name = site.prefix + ENTREPRISE.file_topic.name
    admin.create_partitions([NewPartitions(name, 8)])[name].result(10)

    worker = site.worker("rows")

    assert worker.wait(30) == 2
    assert "with 4 partitions" in worker.log_tail()
    assert "with 8 partitions" in worker.log_tail()
