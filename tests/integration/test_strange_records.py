"""What a row topic may hold besides what our own producer writes, and what a worker makes of it."""

import json
import random
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import fastavro
import httpx
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition, murmur2
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.processes.ports import free_port
from processors.rows.accounting.reject_limit import LEAST_ROWS
from schemas.codec.framing import Encoder, load
from schemas.runtime.registry import Registry
from schemas.values.slugs import slugify
from tests.fix_stack import Received, Site, eventually, headers

COMPANIES, CITIES = "rows.entreprise", "rows.ville"
OF_FILES = {topic: f"file-{topic}" for topic in (COMPANIES, CITIES)}
PARTITIONS = 4
NOW = datetime.now(UTC)


def siren(number: int) -> str:
    return f"{number + 1:09d}"  # 000000000 is not one


class Upstream:
    """A system that publishes rows by itself, with nothing of ours but the schemas."""

    def __init__(self, site: Site, **settings: object) -> None:
        self._site = site
        self._producer = Producer(
            {
                "log_level": 0,
                "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"],
                "partitioner": "murmur2_random",
                "message.max.bytes": 1_048_588,  # as a broker has it by default
                **settings,
            }
        )
        with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
            self._encoders = {
                topic: Encoder(
                    record, registry.schema_id(f"{site.prefix}{topic}-value", load(record))
                )
                for topic, record in ((COMPANIES, "entreprise_row"), (CITIES, "ville_row"))
            }

    def company(self, number: int, **fields: object) -> bytes:
        """The value of a company's row."""
        row = {"siren": siren(number), "nom": f"Entreprise {number}", **fields}
        return self._encoders[COMPANIES].encode(row)

    def city(self, name: str, **fields: object) -> bytes:
        """The value of a city's row."""
        row = {"nom": name, "code_postal_principal": "01000", **fields}
        return self._encoders[CITIES].encode(row)

    def send(
        self, key: str | bytes | None, value: bytes | None, topic: str = COMPANIES, **more: Any
    ) -> None:
        """Queues one record; `flush` sends what is queued."""
        self._producer.produce(self._site.prefix + topic, value, key, **more)

    def send_company(self, number: int, **fields: object) -> None:
        """Queues the row of a company as it should be."""
        topic = OF_FILES[COMPANIES] if "import" in fields else COMPANIES
        self.send(siren(number), self.company(number, **fields), topic)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    @property
    def transactions(self) -> Producer:
        """The client itself."""
        return self._producer


@pytest.fixture
def upstream(site: Site) -> Upstream:
    return Upstream(site)


def line(import_id: str, number: int, **more: object) -> dict[str, object]:
    """What ties a row to a file."""
    return {"id": import_id, "number": number, "line": number + 1, **more}


def settled(site: Site, topic: str = COMPANIES) -> bool:
    """Whether PostgreSQL stands at the end of the topic."""
    consumer = Consumer(
        {
            "log_level": 0,
            "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"],
            "group.id": "reads-only",
        }
    )
    ends = {
        number: consumer.get_watermark_offsets(TopicPartition(site.prefix + topic, number))[1]
        for number in range(PARTITIONS)
    }
    consumer.close()
    stored = dict(
        site.query(
            "SELECT partition, next_offset FROM ingest.positions WHERE topic = %s",
            site.prefix + topic,
        )
    )
    return stored == ends


def everything_published(site: Site) -> bool:
    """Whether no reject waits to be published."""
    return site.query("SELECT count(*) FROM ingest.rejects WHERE published_at IS NULL") == [(0,)]


def rejects(site: Site) -> list[Received]:
    """The rejects that are published."""
    return site.messages("rejects")


def stored(site: Site, number: int, columns: str = "nom") -> tuple[Any, ...]:
    """Columns of a company."""
    [row] = site.query(
        f"SELECT {columns} FROM enterprise_entreprise WHERE siren = %s", siren(number)
    )
    return row


def bad_records(upstream: Upstream) -> Mapping[str, tuple[str, dict[str, Any]]]:
    """By name: the code that its reject must have, and the record."""
    good = upstream.company(1)
    garbage = random.Random(1).randbytes(300)
    key = siren(1)
    home = murmur2(key.encode(), PARTITIONS)
    soon = datetime.now(UTC) + timedelta(minutes=10)
    return {
        "random bytes": ("undecodable", {"key": key, "value": b"\x07" + garbage}),
        "framed garbage": ("undecodable", {"key": key, "value": good[:5] + b"\xff" + garbage}),
        "text": ("undecodable", {"key": key, "value": b'{"siren": "000000001"}'}),
        "empty": ("undecodable", {"key": key, "value": b""}),
        "tombstone": ("undecodable", {"key": key, "value": None}),
        "unknown schema": (
            "unknown-schema",
            {"key": key, "value": b"\0" + (999_999).to_bytes(4, "big") + good[5:]},
        ),
        "schema id beyond int": (
            "unknown-schema",
            {"key": key, "value": b"\0\xff\xff\xff\xff" + good[5:]},
        ),
        "truncated": ("undecodable", {"key": key, "value": good[:-2]}),
        "trailing bytes": ("undecodable", {"key": key, "value": good + b"\0\0\0"}),
        "large": ("undecodable", {"key": key, "value": b"x" * 1_047_000}),
        "other key": ("key-mismatch", {"key": siren(2), "value": good}),
        "no key": ("key-mismatch", {"key": None, "value": good}),
        "key is no text": ("key-mismatch", {"key": b"\xff\xfe\0", "value": good}),
        "other partition": (
            "partition-mismatch",
            {"key": key, "value": good, "partition": (home + 1) % PARTITIONS},
        ),
        "other type": ("undecodable", {"key": "bourg-01000", "value": upstream.city("Bourg")}),
        "in the future": (
            "observed-in-future",
            {"key": key, "value": upstream.company(1, observed_at=soon)},
        ),
        "no siren": ("missing-value", {"key": key, "value": upstream.company(1, siren=None)}),
        "malformed siren": ("malformed", {"key": "12", "value": upstream.company(1, siren="12")}),
        "nul": ("nul-byte", {"key": key, "value": upstream.company(1, nom="a\0b")}),
    }


def test_bad_records_are_set_aside_and_good_ones_written(site: Site, upstream: Upstream) -> None:
    """Each bad record is on the topic rejects byte for byte and with its reason, and only they."""
    worker = site.worker()
    bad = bad_records(upstream)
    for number, (name, (_, record)) in enumerate(bad.items(), start=100):
        upstream.send_company(number)
        upstream.send(**record, headers={"name": name, "blob": b"\x00\xff"})
        upstream.send_company(number + 500)
    for at, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd"), start=1):
        compressing = Upstream(site, **{"compression.type": codec, "linger.ms": 100})
        for number in range(50):
            compressing.send_company(
                10_000 * at + number, nom=f"{codec} {number}", adresse="rue " * 50
            )
        compressing.flush()
    upstream.flush()

    eventually(lambda: settled(site))
    found = eventually(lambda: rejects(site) if everything_published(site) else [])

    assert worker.running
    assert site.query("SELECT count(*) FROM enterprise_entreprise") == [(2 * len(bad) + 5 * 50,)]
    told = {headers(message)["name"].decode(): message for message in found}
    assert told.keys() == bad.keys()
    for name, (code, record) in bad.items():
        message, facts = told[name], headers(told[name])
        assert message.value() == record["value"], name
        assert message.key().decode() == site.prefix + COMPANIES
        assert facts["blob"] == b"\x00\xff"
        key = record["key"]
        assert facts.get("ingest.key") == (key.encode() if isinstance(key, str) else key), name
        [fault, *_] = json.loads(facts["ingest.errors"])
        assert (name, code) == (name, fault["code"])
        assert 0 < len(fault["message"]) < 500, name
        assert facts["__connect.errors.topic"].decode() == site.prefix + COMPANIES
        assert facts["__connect.errors.exception.class.name"].decode() == code
        assert facts["__connect.errors.exception.message"].decode() == fault["message"]
        place = (
            int(facts["__connect.errors.partition"]),
            int(facts["__connect.errors.offset"]),
        )
        assert site.query(
            """
            SELECT value, key, faults -> 0 ->> 'code', published_at IS NOT NULL
            FROM ingest.rejects WHERE topic = %s AND partition = %s AND "offset" = %s
            """,
            site.prefix + COMPANIES,
            *place,
        ) == [(record["value"], key.encode() if isinstance(key, str) else key, code, True)]
    assert site.query("SELECT count(*) FROM ingest.rejects") == [(len(bad),)]


def of_company(**types: object) -> dict[str, Any]:
    """The schema of a company's row with other types for some fields; ... removes one."""
    schema = deepcopy(load("entreprise_row"))
    fields = {field["name"]: field for field in schema["fields"]}
    for name, avro_type in types.items():
        if avro_type is ...:
            schema["fields"].remove(fields[name])
        elif name in fields:
            fields[name]["type"] = avro_type
            del fields[name]["default"]
        else:
            schema["fields"].append({"name": name, "type": avro_type})
    return schema


def logical(avro_type: str, name: str, **more: object) -> list[object]:
    """A nullable logical type."""
    return ["null", {"type": avro_type, "logicalType": name, **more}]


def test_rows_of_other_schemas_are_read_or_set_aside(site: Site, upstream: Upstream) -> None:
    """An older or a newer schema is read; one of other types never stops those after it."""
    worker = site.worker()
    name = str(uuid4())
    columns = {"nom": name, "observed_at": NOW, "effectif": 7}
    readable = [
        (of_company(site_web=..., is_active=...), columns),
        (of_company(effectif="int"), columns),
        (of_company(nom="string", observed_at=logical("long", "timestamp-micros")), columns),
    ]
    others = [
        (of_company(observed_at=["null", "long"]), columns | {"observed_at": 1_700_000_000_000}),
        (of_company(observed_at=logical("int", "date")), columns),
        (of_company(nom=logical("string", "uuid")), columns),
        (of_company(nom=logical("bytes", "decimal", precision=9)), columns | {"nom": Decimal(5)}),
    ]
    for number, (schema, values) in enumerate(readable + others):
        with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
            schema_id = registry.register(f"{site.prefix}other{number}", schema)
        value = BytesIO()
        row = {"siren": siren(number), **values}
        fastavro.schemaless_writer(value, fastavro.parse_schema(schema), row)
        upstream.send(siren(number), b"\0" + schema_id.to_bytes(4, "big") + value.getvalue())
        upstream.send_company(100 + number)
    upstream.flush()

    eventually(lambda: settled(site))

    assert worker.running
    written = {found for (found,) in site.query("SELECT siren FROM enterprise_entreprise")}
    rejected = {key.decode() for (key,) in site.query("SELECT key FROM ingest.rejects")}
    count_of_all = len(readable + others)
    assert written >= {siren(n) for n in (*range(len(readable)), *range(100, 100 + count_of_all))}
    assert rejected == {siren(number) for number in range(count_of_all)} - written
    assert {stored(site, n, "nom, ingest_observed_at") for n in range(len(readable))} == {
        (name, NOW.replace(microsecond=NOW.microsecond // 1000 * 1000))
    }


def test_an_older_observation_never_overwrites_a_newer_one(site: Site, upstream: Upstream) -> None:
    """It is stale, in whatever order and batches both come; of equally old ones the later holds."""
    site.worker()
    hour, two_hours = NOW - timedelta(hours=1), NOW - timedelta(hours=2)
    import_id = str(uuid4())
    phases: list[list[dict[str, object]]] = [
        [
            {"number": 1, "nom": "new", "telephone": "01 02 03 04 05", "observed_at": hour},
            {"number": 2, "nom": "new", "telephone": "01 02 03 04 05", "observed_at": hour},
            {"number": 3, "nom": "given no time, so it is of now"},
            {"number": 4, "nom": "newer", "observed_at": hour},
            {"number": 4, "nom": "older, in the same batch", "observed_at": two_hours},
        ],
        [
            {"number": 1, "nom": "old", "observed_at": two_hours, "import": line(import_id, 1)},
            {"number": 2, "nom": "as old, but later", "observed_at": hour},
            {"number": 3, "nom": "a minute ago", "observed_at": NOW - timedelta(minutes=1)},
        ],
    ]
    for rows in phases:
        for fields in rows:
            upstream.send_company(**fields)  # type: ignore[arg-type]
        upstream.flush()
        eventually(lambda: settled(site) and settled(site, OF_FILES[COMPANIES]))

    assert stored(site, 1, "nom, telephone") == ("new", "01 02 03 04 05")
    assert stored(site, 2, "nom, telephone") == ("as old, but later", "01 02 03 04 05")
    assert stored(site, 3) == ("given no time, so it is of now",)
    assert stored(site, 4) == ("newer",)
    assert site.query(
        "SELECT stale, inserted + updated + unchanged + duplicate + rejected FROM ingest.progress"
        " WHERE import_id = %s",
        import_id,
    ) == [(1, 0)]


POLICIES = ("merge", "overwrite", "fill_missing", "insert_only")
TWO_COMPANIES: Sequence[tuple[Mapping[str, object], Mapping[str, object]]] = (
    (
        {"nom": "Un", "telephone": "01 02 03 04 05", "is_active": False},
        {"nom": "Deux", "adresse": "2 rue Deux"},
    ),
    ({}, {"is_active": False}),
    ({"adresse": ""}, {"adresse": "2 rue Deux"}),
)
TWO_CITIES: Sequence[tuple[Mapping[str, object], Mapping[str, object]]] = (
    ({}, {"codes_postaux": ["01000", "01001"], "departement": "2A", "population": 7}),
    ({"population": 0, "lat": 0.0}, {"population": 7, "lat": 1.5}),
    ({"codes_postaux": ["01000", "01002"], "region": "R"}, {"codes_postaux": []}),
)
FIRST_PAIR = {
    "merge": ("Deux", "01 02 03 04 05", "2 rue Deux", False),
    "overwrite": ("Deux", "", "2 rue Deux", True),
    "fill_missing": ("Un", "01 02 03 04 05", "2 rue Deux", False),
    "insert_only": ("Un", "01 02 03 04 05", "", False),
}


def test_a_policy_says_what_becomes_of_a_stored_row(site: Site, upstream: Upstream) -> None:
    """As schemas/avro/import_line.avsc has it, and alike whether two rows share a batch or not."""
    site.worker()
    import_id = str(uuid4())
    numbers = count(1)

    def send(occurrence: int, together: bool) -> None:
        for at, policy in enumerate(POLICIES):
            for pair, companies in enumerate(TWO_COMPANIES):
                tie = line(import_id, next(numbers), policy=policy, occurrence=occurrence)
                fields = {"nom": "Nom", **companies[occurrence - 1], "import": tie}
                upstream.send_company(1000 * together + 10 * at + pair, **fields)
            for pair, cities in enumerate(TWO_CITIES):
                tie = line(import_id, next(numbers), policy=policy, occurrence=occurrence)
                name = f"{'Together' if together else 'Apart'} {policy} {pair}"
                city = upstream.city(name, **cities[occurrence - 1], **{"import": tie})
                upstream.send(slugify(f"{name}-01000"), city, OF_FILES[CITIES])

    def settle() -> None:
        upstream.flush()
        eventually(lambda: all(settled(site, topic) for topic in OF_FILES.values()))

    send(1, together=False)
    settle()
    send(2, together=False)
    settle()
    send(1, together=True)
    send(2, together=True)
    settle()

    for at, policy in enumerate(POLICIES):
        found = stored(site, 10 * at, "nom, telephone, adresse, is_active")
        assert (policy, found) == (policy, FIRST_PAIR[policy])
    companies = """
        SELECT siren::integer %% 1000 AS which, nom, telephone, adresse, is_active
        FROM enterprise_entreprise WHERE (siren::integer >= 1000) = %s ORDER BY which
        """
    assert site.query(companies, True) == site.query(companies, False)
    cities = """
        SELECT substr(nom, strpos(nom, ' ')) AS which, codes_postaux, departement, region, lat,
            population
        FROM location_ville WHERE (nom ~ 'Together') = %s ORDER BY which
        """
    assert site.query(cities, True) == site.query(cities, False)
    keys = len(POLICIES) * 2 * len(TWO_COMPANIES)
    assert (
        site.query("SELECT sum(inserted), sum(duplicate) FROM ingest.progress GROUP BY topic")
        == [(keys, keys)] * 2
    )


def test_a_key_that_changes_all_the_time_holds_nothing_up(site: Site, upstream: Upstream) -> None:
    """A thousand observations of one company, each newer than the last, are all applied."""
    for number in range(1, 1001):
        observed_at = NOW - timedelta(days=1) + timedelta(seconds=number)
        upstream.send_company(1, nom=f"State {number}", observed_at=observed_at)
    upstream.flush()
    site.worker()

    eventually(lambda: settled(site))

    assert stored(site, 1) == ("State 1000",)


def test_only_committed_transactions_are_written(site: Site) -> None:
    """What an upstream system aborted is never seen, however large, and hides nothing after it."""
    worker = site.worker()
    upstream = Upstream(site, **{"transactional.id": "upstream", "compression.type": "none"})
    transactions = upstream.transactions
    transactions.init_transactions(30)

    def send(numbers: range, *, commit: bool, **fields: object) -> None:
        transactions.begin_transaction()
        for number in numbers:
            upstream.send_company(number, **fields)
        upstream.flush()
        if commit:
            transactions.commit_transaction(30)
        else:
            transactions.abort_transaction(30)

    send(range(100), commit=False)
    send(range(100, 200), commit=True)
    # More than a fetch brings of a partition.
    send(range(200, 220), commit=False, adresse="rue " * 200_000)
    send(range(300, 400), commit=True)
    for _ in range(20):
        send(range(400, 410), commit=False)
    send(range(500, 600), commit=True)

    expected = [
        (siren(number),) for start in (100, 300, 500) for number in range(start, start + 100)
    ]
    companies = "SELECT siren FROM enterprise_entreprise ORDER BY siren"
    eventually(lambda: len(site.query(companies)) >= len(expected))
    assert site.query(companies) == expected
    assert site.query("SELECT count(*) FROM ingest.rejects") == [(0,)]
    assert worker.running


def test_rows_that_only_postgresql_refuses_are_rejected_alone(site: Site, tmp_path: Path) -> None:
    """The others of their batch are written; a reject says what the database said."""
    site.worker()
    with psycopg.connect(site.database_url) as connection:
        connection.execute(
            "ALTER TABLE enterprise_entreprise ADD CONSTRAINT on_earth CHECK (ville_nom <> 'Mars')"
        )
    file = tmp_path / "companies.csv"
    bad = (2, 777, 778, 2000)
    file.write_text(
        "siren,nom,ville\n"
        + "".join(f"{siren(n)},Nom,{'Mars' if n in bad else 'Lyon'}\n" for n in range(1, 2001)),
        encoding="utf-8",
    )

    done = site.foxstream("import", file, "--type", "entreprise", "--json")

    state = done.json()
    assert (done.code, state["status"]) == (3, "PARTIAL")
    assert (state["total_rows"], state["inserted"], state["rejected"]) == (2000, 1996, 4)
    assert site.query("SELECT count(*) FROM enterprise_entreprise") == [(1996,)]
    report = tmp_path / "errors.jsonl"
    assert site.foxstream("errors", state["id"], "--output", report).code == 0
    lines = [json.loads(text) for text in report.read_text(encoding="utf-8").splitlines()]
    assert [line["_line"] for line in lines] == [str(number + 1) for number in bad]
    assert {(line["siren"], line["ville"]) for line in lines} == {(siren(n), "Mars") for n in bad}
    assert all("on_earth" in line["_message"] for line in lines)


def test_a_topic_of_which_most_is_rejected_halts(
    site: Site, upstream: Upstream, tmp_path: Path
) -> None:
    """And says so. Rows of files go on; a worker that is started without the limit takes it all."""
    records = 12_000
    for number in range(records):
        upstream.send(siren(number), b"no Avro")
    upstream.flush()
    port = free_port()
    site.settings = {"FOX_METRICS_PORT": str(port)}
    worker = site.worker()

    eventually(lambda: metric(port, "fox_partitions_halted", site.prefix + COMPANIES) == PARTITIONS)
    ready = httpx.get(f"http://127.0.0.1:{port}/readyz")
    assert ready.status_code == 503
    assert "rows waits for an operator" in ready.text
    file = tmp_path / "companies.csv"
    file.write_text("siren;nom\n123456782;Martin\n", encoding="utf-8")
    done = site.foxstream("import", file, "--type", "entreprise", "--json")
    assert (done.code, done.json()["inserted"]) == (0, 1)

    assert worker.running
    [(taken,)] = site.query("SELECT count(*) FROM ingest.rejects")
    assert taken < LEAST_ROWS * PARTITIONS
    behind = records - taken
    eventually(lambda: metric(port, "fox_consumer_lag_rows", site.prefix + COMPANIES) == behind)
    for (reason,) in site.query("SELECT halted FROM ingest.positions WHERE halted IS NOT NULL"):
        assert "FOX_REJECT_LIMIT" in reason

    worker.stop()
    site.settings = {"FOX_REJECT_LIMIT": "1"}
    site.worker()
    eventually(lambda: site.query("SELECT count(*) FROM ingest.rejects") == [(records,)])
    assert site.query("SELECT count(*) FROM ingest.positions WHERE halted > ''") == [(0,)]


def metric(port: int, name: str, topic: str) -> float:
    """The sum of a worker's metric over what it says of a topic."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    except httpx.TransportError:  # it is starting
        return -1
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels.get("topic") == topic
    )
