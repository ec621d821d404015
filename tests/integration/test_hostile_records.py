"""Records that the client library or the validator cannot bear, from an account that may write one topic."""

import gzip
import json
from pathlib import Path

from confluent_kafka import murmur2

from tests.benchmarks.measuring import peak_mb
from tests.fix_stack import Site, eventually, headers
from tests.integration.test_strange_records import (
    COMPANIES,
    PARTITIONS,
    Upstream,
    everything_published,
    rejects,
    settled,
    siren,
    stored,
)
from tests.record_bytes import RECORDS_AT, batch, compressed, sealed, send

MOST_MB = 400


def test_what_cannot_be_parsed_is_a_reject_and_stops_nothing(site: Site, tmp_path: Path) -> None:
    """A broker takes all of these; each worker that fetched one ended, and so did its successor."""
    upstream = Upstream(site)
    number = 1
    key = siren(number).encode()
    partition = murmur2(key, PARTITIONS)
    plain = batch([(key, upstream.company(number, nom="Hostile"))], headers=[("name", b"1")])
    at = plain.index(b"name")
    odd_name = sealed(plain[:at] + b"na\xff\xfe" + plain[at + 4 :])
    many = batch([(key, b"many")], "zstd", headers=[("", None)] * 2_000_000)
    huge = batch([(key, bytes(100 << 20))])
    bomb = compressed(huge, 1, gzip.compress(huge[RECORDS_AT:], 9))
    hostile = [odd_name, many, *[bomb] * 5]
    topic = site.prefix + COMPANIES
    worker = site.worker()
    upstream.send_company(number, nom="Avant")
    upstream.flush()

    codes = send(site.stack.environment["FOX_KAFKA_BOOTSTRAP"], topic, {partition: hostile})
    upstream.send_company(number, nom="Après")
    upstream.flush()

    eventually(lambda: settled(site))
    found = eventually(lambda: rejects(site) if everything_published(site) else [])
    assert worker.running
    assert codes == [0] * len(hostile)
    assert stored(site, number) == ("Après",)
    assert len(found) == len(hostile)
    errors = [json.loads(headers(message)["ingest.errors"])[0] for message in found]
    assert {error["code"] for error in errors} == {"undecodable"}
    [named] = [message for message in found if "na\\xff\\xfe" in headers(message)]
    assert named.value() == upstream.company(number, nom="Hostile")
    values = site.query('SELECT value FROM ingest.rejects WHERE key IS NULL ORDER BY "offset"')
    assert [bytes(value)[RECORDS_AT:] for (value,) in values[1:]] == [bomb[RECORDS_AT:]] * 5
    assert peak_mb(worker.pid) < MOST_MB
