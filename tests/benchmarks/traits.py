"""Whether rows are right, not only fast: what each contestant makes of rows that are not simple.

    python -m tests.benchmarks.traits [KEYS]

Each trait is a small topic. The table that it has to end in is worked out in memory from what
schemas/avro says: null means "not provided" and never erases; of two rows of a key the later
counts, field by field; a row number that its import already had is a replay. Writes
results/traits.json: rows missing, rows wrong, and whether the contestant ended by itself.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg
from confluent_kafka import Consumer, TopicPartition

from producers.imports.connections import Connections
from schemas.import_types import ENTREPRISE
from schemas.topics import ROW_PARTITIONS, ROWS_ENTREPRISE
from tests.benchmarks.contestants.common import COLUMNS
from tests.benchmarks.measuring import save
from tests.benchmarks.samples import siren
from tests.benchmarks.sinks import FAUST, FOXSTREAM, Contestant, handwritten
from tests.benchmarks.stage import Stage, stage, words

KEYS = 5_000
LONGEST_SECONDS = 90.0
POLL_SECONDS = 0.2
EMPTY: Mapping[str, Any] = {**dict.fromkeys(COLUMNS[3:-1], ""), "siret": None, "is_active": True}

Company = dict[str, Any]
Table = dict[str, tuple[Any, ...]]


@dataclass
class Log:
    """Rows in the order of their publication, tied to imports as a file's rows are."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def put(self, import_: str, companies: Sequence[Company]) -> None:
        """Rows of one import, numbered from 1; called again, the same import once more."""
        import_id = str(uuid5(NAMESPACE_URL, import_))
        seen: Counter[str] = Counter()
        for number, company in enumerate(companies, 1):
            seen[company["siren"]] += 1
            tie = {
                "id": import_id,
                "number": number,
                "line": number + 1,
                "sheet": None,
                "occurrence": seen[company["siren"]],
                "policy": "merge",
                "cells": None,
                "faults": (),
                "settles": None,
                "dropped": None,
                "absent": None,
            }
            nothing = dict.fromkeys(ENTREPRISE.field)
            self.records.append({**nothing, **company, "observed_at": None, "import": tie})

    def expected(self) -> Table:
        """What the table must hold in the end."""
        rows: dict[str, Company] = {}
        highest: Counter[str] = Counter()
        for record in self.records:
            tie = record["import"]
            if tie["number"] <= highest[tie["id"]]:
                continue
            highest[tie["id"]] = tie["number"]
            if len(record["nom"]) > LONGEST_NAME:
                continue
            given = {name: record[name] for name in COLUMNS if record[name] is not None}
            rows[record["siren"]] = {**rows.get(record["siren"], EMPTY), **given}
        return {key: tuple(row[name] for name in COLUMNS) for key, row in rows.items()}


LONGEST_NAME = 255
LAST_EDITION = "D"


@dataclass(frozen=True)
class Trait:
    """`kill`: the contestant is killed (SIGKILL) when part of the rows is there, and restarted."""

    name: str
    fill: Callable[[Log, int], None]
    kill: bool = False


def named(numbers: Sequence[int], nom: str, **more: Any) -> list[Company]:
    return [{"siren": siren(number), "nom": nom, **more} for number in numbers]


def duplicates(log: Log, keys: int) -> None:
    """Each key three times, one row after the other, each time with other cells filled."""
    rows: list[Company] = []
    for number in range(keys):
        rows += named([number], "A", telephone="01 22 33 44 55", naf_code="62.01Z")
        rows += named([number], "B", email_contact="b@exemple.fr")
        rows += named([number], "C", adresse="3 rue C")
    log.put("duplicates", rows)


def empty_first(log: Log, keys: int) -> None:
    """A file of empty cells, then the same companies with all cells, in other batches."""
    log.put("empty", named(range(keys), "A"))
    filled = {"adresse": "1 rue A", "telephone": "01 22 33 44 55"}
    log.put("filled", named(range(keys), "B", **filled))


def empty_last(log: Log, keys: int) -> None:
    """All cells, then a file of empty ones: null must not erase."""
    filled = {"adresse": "1 rue A", "telephone": "01 22 33 44 55", "naf_code": "62.01Z"}
    log.put("filled", named(range(keys), "A", is_active=False, **filled))
    log.put("empty", named(range(keys), "B"))


def killed(log: Log, keys: int) -> None:
    """Four editions of each company, enough rows to be killed among them."""
    for edition in f"ABC{LAST_EDITION}":
        log.put(edition, named(range(keys * 2), edition, adresse=f"1 rue {edition}"))


def again(log: Log, keys: int) -> None:
    """An import, a newer one, and the first once more: its producer died and was run again."""
    log.put("first", named(range(keys), "A", adresse="1 rue A"))
    log.put("second", named(range(keys), "B", adresse="2 rue B"))
    log.put("first", named(range(keys), "A", adresse="1 rue A"))


def too_long(log: Log, keys: int) -> None:
    """One name too long for its column among good rows: it alone may be missing."""
    rows = named(range(keys), "A")
    rows[keys // 2]["nom"] = "A" * (LONGEST_NAME + 1)
    log.put("long", rows)


TRAITS = (
    Trait("keys twice in a batch", duplicates),
    Trait("empty cells first", empty_first),
    Trait("empty cells last", empty_last),
    Trait("killed (SIGKILL) and restarted", killed, kill=True),
    Trait("published again after newer rows", again),
    Trait("one value too long", too_long),
)


def main(keys: int) -> None:
    results = []
    with stage() as ready:
        for number, trait in enumerate(TRAITS):
            log = Log()
            trait.fill(log, keys)
            prefix = f"trait{number}."
            publish(ready, prefix, log)
            for contestant in (FOXSTREAM, handwritten(5_000), FAUST):
                results.append(take(ready, prefix, trait, contestant, log))
    save("traits", results, keys=keys)


def publish(ready: Stage, prefix: str, log: Log) -> None:
    ready.topics(prefix)
    settings = ready.producer_settings(prefix)
    with Connections(settings) as connections:
        encoder = connections.encoder(ROWS_ENTREPRISE, str(ROWS_ENTREPRISE.record))
        values = encoder.encode_all(log.records)
        keys = [record["siren"] for record in log.records]
        connections.publisher.publish(ENTREPRISE.file_topic.name, zip(keys, values, strict=True))
        connections.publisher.flush()


def take(
    ready: Stage, prefix: str, trait: Trait, contestant: Contestant, log: Log
) -> dict[str, Any]:
    """One contestant's end of one trait."""
    database = ready.database()
    group = f"{contestant.name.replace(' ', '-')}-{prefix}"
    topic = f"{prefix}{ENTREPRISE.file_topic.name}"
    env = {
        **ready.environment(prefix, database),
        "BENCH_TOPIC": topic,
        "BENCH_GROUP": group,
        **contestant.env,
    }
    expected = log.expected()
    name = contestant.name.replace(" ", "-")
    process = ready.spawn(name, contestant.argv, env)
    at_kill: int | None = None
    if trait.kill:
        until(lambda: len(stored(database)) > 0 or not process.running)
        process.kill()
        at_kill = sum(row[1] != LAST_EDITION for row in stored(database).values())
        process = ready.spawn(name, contestant.argv, env)
    position = foxstream_position if contestant is FOXSTREAM else kafka_position
    until(
        lambda: not process.running or position(ready, database, topic, group) >= len(log.records)
    )
    ended = not process.running
    read = position(ready, database, topic, group)
    process.stop()
    found = stored(database)
    ready.drop(database)
    wrong = [key for key, row in found.items() if expected.get(key) != row]
    result = {
        "trait": trait.name,
        "contestant": contestant.name,
        "rows": len(expected),
        "missing": len(expected.keys() - found.keys()),
        "wrong": len(wrong),
        "crashed": ended,
        "records": len(log.records),
        "records_read": read,  # by the contestant's own position
        "rows_to_change_at_kill": at_kill,
    }
    print("{trait:<34} {contestant:<13} {missing:>6} missing {wrong:>6} wrong".format_map(result), "crashed" if ended else "", f"{read} of {len(log.records)} records read", "" if at_kill is None else f"({at_kill} rows not final when killed)")  # fmt: skip
    return result


def stored(database: str) -> Table:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(COLUMNS)} FROM enterprise_entreprise".encode()
        ).fetchall()
    return {row[0]: row for row in rows}


def foxstream_position(_: Stage, database: str, topic: str, __: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT coalesce(sum(next_offset), 0) FROM ingest.positions WHERE topic = %s", [topic]
        ).fetchone()
    return int(found[0]) if found else 0


def kafka_position(ready: Stage, _: str, topic: str, group: str) -> int:
    consumer = Consumer({"bootstrap.servers": ready.bootstrap, "group.id": group})
    partitions = [TopicPartition(topic, number) for number in range(ROW_PARTITIONS)]
    try:
        return sum(max(0, found.offset) for found in consumer.committed(partitions, timeout=10))
    finally:
        consumer.close()


def until(true: Callable[[], bool]) -> None:
    limit = perf_counter() + LONGEST_SECONDS
    while not true() and perf_counter() < limit:
        threading.Event().wait(POLL_SECONDS)


if __name__ == "__main__":
    main(*words([KEYS]))
