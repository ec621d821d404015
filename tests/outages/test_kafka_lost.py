"""Kafka is lost with all that it held, and PostgreSQL is kept: one command fills a new one."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from deploy.local.processes.ports import free_port
from deploy.local.stack import Stack
from producers.terminal.exits import PARTIAL
from schemas.codec.framing import Encoder, load
from schemas.runtime.registry import Registry
from schemas.topics import CATEGORIES, ENRICHMENT_RESULTS, MIRRORED, TOPICS, Topic
from tests.contract.test_examples import EXAMPLES, read, typed
from tests.fix_companies import Companies, importing, make_slow
from tests.fix_gateway import Served
from tests.fix_stack import Site, eventually, prepared

ROWS = 5_000
REMOVED = b"removed"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A site with servers of its own: what they hold is thrown away."""
    with Stack(tmp_path / "stack", keep_schemas=True) as servers:
        site = prepared(servers)
        yield site
        site.kill()


def replace_kafka(stack: Stack) -> None:
    """Starts another cluster without topics at the address of the one that was lost."""
    stack.kafka.kill()
    shutil.rmtree(stack.kafka.data)
    stack.kafka.start()


def listed(site: Site) -> dict[str, dict[str, object]]:
    """What `foxstream list` shows, by id."""
    names = ("status", "total_rows", "inserted", "duplicate", "rejected", "success_rows")
    states = json.loads(site.foxstream("list", "--json").stdout)
    return {state["id"]: {name: state[name] for name in names} for state in states}


def publish_examples(site: Site) -> None:
    """The examples of each topic that nothing else in this test publishes to."""
    producer = Producer({"log_level": 0, "bootstrap.servers": site.stack.kafka.url})
    with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        for topic in (*MIRRORED, ENRICHMENT_RESULTS):
            name, schema = site.prefix + topic.name, load(str(topic.record))
            encoder = Encoder(str(topic.record), registry.schema_id(f"{name}-value", schema))
            for file in (EXAMPLES / str(topic.record) / "valid").iterdir():
                record = typed(read(file), schema)
                key = record.get("prompt_hash") or next(iter(record.values()))
                for each in (key, REMOVED) if topic in MIRRORED else (key,):
                    producer.produce(name, encoder.encode(record), each)
    assert producer.flush(30) == 0


def remove_some(site: Site) -> None:
    """Publishes a tombstone of a record that each mirrored topic has."""
    producer = Producer({"log_level": 0, "bootstrap.servers": site.stack.kafka.url})
    for topic in MIRRORED:
        producer.produce(site.prefix + topic.name, None, REMOVED)
    assert producer.flush(30) == 0


def compacted(site: Site) -> dict[str, set[bytes]]:
    """The keys that each compacted topic has values of."""
    last = {
        topic.name: {message.key(): message.value() for message in site.messages(topic.name)}
        for topic in TOPICS
        if topic.cleanup == "compact"
    }
    return {name: {key for key, value in each.items() if value} for name, each in last.items()}


def test_kafka_is_lost(own: Site, tmp_path: Path) -> None:
    """Each compacted topic has the keys that it had; states, reports and tokens are there again; no row is
    skipped or counted twice, also of a file that was being imported."""
    site = own
    companies = Companies(site, tmp_path)
    assert site.foxstream_worker("topics", "--partitions", "8").code == 0
    with closing(Served(site, tmp_path / "spool", free_port())) as served:
        served.start()
        publish_examples(site)
        assert site.foxstream_worker("reference", "load").code == 0
        categories = tmp_path / "categories.csv"
        categories.write_text("nom\nPlomberie\nToiture\n", encoding="utf-8")
        site.start("import", categories, "--type", "categorie")
        _lose_and_recover(site, served, companies)


def _lose_and_recover(site: Site, served: Served, companies: Companies) -> None:
    worker = site.worker()
    old, cut = companies.file(ROWS), companies.file(ROWS)
    assert site.foxstream("import", old, "--type", "entreprise").code == PARTIAL
    [(import_id,)] = site.query(
        "SELECT id::text FROM ingest.imports WHERE file_name = %s", old.name
    )
    report = site.foxstream("errors", import_id).stdout
    revoked = served.new_token("gone", "read")
    [token_id] = re.findall(r"([0-9a-f]{16}).*gone", served.command("token", "list").stdout)
    served.command("token", "revoke", token_id)
    eventually(lambda: all(compacted(site).values()))
    whole = len(read_keys(site, MIRRORED)) + len(MIRRORED) - 1  # each has the one to be removed
    eventually(lambda: mirrored(site) == whole)
    remove_some(site)
    eventually(lambda: mirrored(site) == whole - len(MIRRORED))
    eventually(lambda: len(read_keys(site, [CATEGORIES])) == 2)
    tokens = served.command("token", "list").stdout
    before, keys = listed(site), compacted(site)
    worker.stop()
    make_slow(site, 0.05)
    site.worker()
    with importing(site, cut):
        companies.begun(cut)
        site.kill()
        replace_kafka(site.stack)

    done = site.foxstream_worker("recover")

    assert done.code == 0, done.stderr
    assert f"send {cut.name} again" in done.stdout
    site.settings = {}
    site.execute("DROP TRIGGER linger ON enterprise_entreprise")
    site.worker()
    served.start()
    assert served.command("token", "list").stdout == tokens
    assert served.client(revoked).get("/api/imports/").status_code == 401
    eventually(lambda: before.items() <= listed(site).items())
    eventually(lambda: all(found >= keys[name] for name, found in compacted(site).items()))
    assert REMOVED not in read_keys(site, MIRRORED)
    assert site.foxstream("import", old, "--type", "entreprise").code == 4
    for path in (cut, companies.file(ROWS)):
        done = site.foxstream("import", path, "--type", "entreprise")
        assert done.code == PARTIAL, done.stderr
        assert companies.are_exact(path, ROWS)
    assert companies.are_exact(old, ROWS)
    eventually(lambda: site.foxstream("errors", import_id).stdout == report)
    counts = site.query(
        "SELECT DISTINCT partitions FROM ingest.positions WHERE topic LIKE %s", "%rows.%"
    )
    assert counts == [(8,)]
    assert len(listed(site)) == 4

    again = site.foxstream_worker("recover")
    assert again.code == 2
    assert "workers run" in again.stderr


def mirrored(site: Site) -> int:
    """How many records PostgreSQL has of compacted topics."""
    [(count,)] = site.query("SELECT count(*) FROM ingest.compacted_records")
    return int(count)


def read_keys(site: Site, topics: Iterable[Topic]) -> set[bytes]:
    """The keys that these topics have values of; topics have none in common but REMOVED."""
    known = compacted(site)
    return set().union(*(known[topic.name] for topic in topics))
