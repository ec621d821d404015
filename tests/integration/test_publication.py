"""From a file to Kafka and back to the terminal, on a real broker and a real registry.

The tests play the worker's part: they publish the states and rejects that one would.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, cast
from uuid import uuid4

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition, murmur2
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from openpyxl import Workbook

from deploy.local.stack import Stack
from producers.imports.connections import Connections
from producers.imports.order import Order, Reading
from producers.imports.publication import publish_file
from producers.imports.start import AlreadyImportedError
from producers.kafka.broker import NotReadyError
from producers.kafka.import_log import ImportLog
from producers.kafka.import_state import new_state
from producers.kafka.publisher import Publisher
from producers.kafka.reject_log import RejectLog
from producers.kafka.worker_groups import absent_workers
from producers.reading import Options, RefusedError
from producers.settings import Settings
from schemas.codec.framing import Decoder, Encoder, Record, load
from schemas.import_types import ENTREPRISE
from schemas.records import ImportState
from schemas.runtime.registry import Registry
from schemas.topics import IMPORT_EVENTS, IMPORT_LOG, REJECTS, TOPICS, Topic
from tests.fix_stack import Received, Site, eventually

# SIGINT as at a terminal: who starts the tests in the background has it ignored.
HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{HEARD}; from producers.cli import app; app()"]
HEADER = "siren;nom;code_postal"


@pytest.fixture
def settings(site: Site) -> Settings:
    """Topics and schemas of this test's own."""
    return Settings(
        kafka_bootstrap=site.environment["FOX_KAFKA_BOOTSTRAP"],
        schema_registry_url=site.environment["FOX_SCHEMA_REGISTRY_URL"],
        topic_prefix=site.prefix,
    )


class Worker:
    """What a test has a worker publish, and what a worker would read."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._producer = Producer(
            {
                "log_level": 0,
                "bootstrap.servers": settings.kafka_bootstrap,
                "partitioner": "murmur2_random",
            }
        )
        subject = f"{settings.topic(IMPORT_LOG.name)}-value"
        schema_id = registry.schema_id(subject, load("import_state"))
        self._encoder = Encoder("import_state", schema_id)

    def tell(self, state: ImportState | None, **changed: Any) -> None:
        """Publishes a state of an import; one with only an id is a tombstone."""
        value = None if state is None else self._encoder.encode({**state, **changed})
        key = changed["id"] if state is None else state["id"]
        self._producer.produce(self._settings.topic(IMPORT_LOG.name), value, key)
        self._producer.flush()

    def reject(self, import_id: str, line: int, reject_id: str, value: bytes = b"") -> None:
        """Publishes a reject."""
        errors = [{"column": "siren", "code": "malformed", "message": f"Ligne {line} fausse."}]
        headers: dict[str, str | bytes | None] = {
            "ingest.reject_id": reject_id,
            "ingest.import_id": import_id,
            "ingest.line": str(line),
            "ingest.errors": json.dumps(errors),
        }
        topic = self._settings.topic(REJECTS.name)
        self._producer.produce(topic, value, import_id, headers=headers)
        self._producer.flush()

    def messages(self, topic: Topic) -> list[Received]:
        """All that a topic holds, partition by partition."""
        consumer = Consumer(
            {
                "log_level": 0,
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "group.id": "test",
                "enable.partition.eof": True,
            }
        )
        name = self._settings.topic(topic.name)
        consumer.assign(
            [TopicPartition(name, n, OFFSET_BEGINNING) for n in range(topic.partitions)]
        )
        found: list[list[Received]] = [[] for _ in range(topic.partitions)]
        ends = 0
        while ends < topic.partitions:
            message = consumer.poll(10)
            assert message is not None, "the broker is silent"
            if message.error():
                ends += 1
            else:
                found[cast(Received, message).partition()].append(cast(Received, message))
        consumer.close()
        return [message for partition in found for message in partition]

    def records(self, topic: Topic) -> list[Record]:
        """The values of a topic, decoded."""
        decoder = Decoder(str(topic.record), self._registry)
        return [decoder.decode(message.value()) for message in self.messages(topic)]

    def events(self) -> list[tuple[str, Record]]:
        """The events of one import, in order: what happened, by its short name, and its facts."""
        named = [event["event"] for event in self.records(IMPORT_EVENTS)]
        return [(name.rpartition(".")[2], event) for name, event in named]


@pytest.fixture
def worker(settings: Settings) -> Iterator[Worker]:
    """A worker of this test's topics."""
    with Registry(settings.schema_registry_url) as registry:
        yield Worker(settings, registry)


def nothing(_: Reading) -> None:
    """Watches nothing."""


def publish(
    settings: Settings, order: Order, watch: Callable[[Reading], None] = nothing
) -> Reading:
    """One run of the producer."""
    with Connections(settings) as connections:
        return publish_file(order, connections, watch)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """2,503 lines: companies, one of them three times, and two faulty lines."""
    path = tmp_path / "entreprises.csv"
    lines = [f"{100_000_000 + 7 * number};Société {number};75001" for number in range(2500)]
    lines[10] = "12AB;Sans SIREN;75001"
    lines[30] = "100000000;Encore;75001"
    lines[40] = "100000000;Et encore;75001"
    lines[20] = ";Sans numéro;75001"
    lines += ["", "999999999;Après un blanc;abc", "999999998;Fin;75001", "999999997;Fin;75001"]
    path.write_text("\n".join([HEADER, *lines]), encoding="utf-8")
    return Order(path, ENTREPRISE, Options())


def seen_by_worker(reading: Reading, **changed: Any) -> ImportState:
    """The state of an import as the tracker would tell it."""
    given = {"version": 1, "total_rows": None, "status": "PROCESSING", **changed}
    return new_state(**{**reading.state, **given})


def test_rows_are_numbered_without_holes(settings: Settings, worker: Worker, order: Order) -> None:
    """Over all partitions the numbers are 1 to n, and within each they rise."""
    reading = publish(settings, order)

    numbers = [record["import"]["number"] for record in worker.records(ENTREPRISE.file_topic)]
    assert list(range(1, 2504)) == sorted(numbers)
    assert reading.file_rows == 2503
    partitions: dict[int, list[int]] = {}
    for message, number in zip(worker.messages(ENTREPRISE.file_topic), numbers, strict=True):
        partitions.setdefault(message.partition(), []).append(number)
    assert len(partitions) == 4
    assert all(rising == sorted(rising) for rising in partitions.values())


def test_keys_and_partitions_are_those_of_java_clients(
    settings: Settings, worker: Worker, order: Order
) -> None:
    """A row's key is its SIREN, or the import where it has none; murmur2 places it."""
    reading = publish(settings, order)

    messages, records = (
        worker.messages(ENTREPRISE.file_topic),
        worker.records(ENTREPRISE.file_topic),
    )
    for message, record in zip(messages, records, strict=True):
        valid = not record["import"]["faults"]
        assert message.key().decode() == (record["siren"] if valid else reading.import_id)
        assert message.partition() == murmur2(message.key(), 4)


def test_rows_say_what_is_wrong_and_how_often_they_came(
    settings: Settings, worker: Worker, order: Order
) -> None:
    """Faulty lines carry cells, faults and no occurrence; valid ones only their occurrence."""
    publish(settings, replace(order, policy="fill_missing"))

    places = {r["import"]["number"]: r["import"] for r in worker.records(ENTREPRISE.file_topic)}
    assert {n: sum(place["occurrence"] == n for place in places.values()) for n in range(4)} == {
        0: 2,
        1: 2499,
        2: 1,
        3: 1,
    }
    assert tuple(places[n]["occurrence"] for n in (1, 31, 41)) == (1, 2, 3)
    assert places[11]["cells"] == ["12AB", "Sans SIREN", "75001"]
    assert [fault["code"] for fault in places[11]["faults"]] == ["malformed"]
    assert (places[1]["cells"], places[1]["faults"]) == (None, [])
    assert {"fill_missing"} == {place["policy"] for place in places.values()}
    assert places[2501]["line"] == 2503


def test_events_frame_the_rows(settings: Settings, worker: Worker, order: Order) -> None:
    """Submitted says how the file was read, ReadingFinished how much there was."""
    publish(settings, replace(order, generate_ai_content=True))

    [(first, submitted), (last, finished)] = worker.events()

    assert (first, last) == ("Submitted", "ReadingFinished")
    assert submitted["header"] == ["siren", "nom", "code_postal"]
    assert submitted["generate_ai_content"]
    assert {
        "partitions": "4",
        "encoding": "utf-8",
        "delimiter": ";",
        "policy": "merge",
    }.items() <= (submitted["options"].items())
    assert (finished["total_rows"], finished["warnings_by_code"]) == (
        2503,
        {"checksum": 2239, "malformed": 1},
    )


def test_a_known_file_is_refused(settings: Settings, worker: Worker, order: Order) -> None:
    """Whatever became of it; nothing more is published."""
    reading = publish(settings, order)
    worker.tell(seen_by_worker(reading, status="PARTIAL", total_rows=2503))

    with pytest.raises(AlreadyImportedError, match=reading.import_id):
        publish(settings, order)
    assert len(worker.messages(ENTREPRISE.file_topic)) == 2503


def test_force_imports_again_under_a_new_id(
    settings: Settings, worker: Worker, order: Order
) -> None:
    """Every forced repeat has an id of its own, the next free one."""
    ids = []
    for _ in range(3):
        reading = publish(settings, replace(order, force=True))
        worker.tell(seen_by_worker(reading, status="SUCCESS", total_rows=2503))
        ids.append(reading.import_id)

    assert len(set(ids)) == 3


def test_other_options_are_another_import(settings: Settings, order: Order) -> None:
    """The id follows from what the options come to, not from how they are given."""
    first = publish(settings, order).import_id

    assert first == publish(settings, replace(order, options=Options(delimiter=";"))).import_id
    assert first != publish(settings, replace(order, policy="fill_missing")).import_id


def test_a_dead_reading_is_done_again_alike(
    settings: Settings, worker: Worker, order: Order
) -> None:
    """The same id, numbers, keys and occurrences: a worker can tell what it has settled."""
    begun: list[Reading] = []

    def die(reading: Reading) -> None:
        begun.append(reading)
        if reading.file_rows:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(settings, order, die)
    before = rows_by_partition(worker)
    worker.tell(seen_by_worker(begun[0]))

    reading = publish(settings, order)

    assert reading.resumed
    assert begun[0].import_id == reading.import_id
    after = rows_by_partition(worker)
    assert sum(len(rows) - len(before[n]) for n, rows in after.items()) == 2503
    for partition, rows in after.items():
        first, again = rows[: len(before[partition])], rows[len(before[partition]) :]
        assert first == again[: len(first)]


def rows_by_partition(worker: Worker) -> dict[int, list[bytes]]:
    """The rows as published."""
    found: dict[int, list[bytes]] = {number: [] for number in range(4)}
    for message in worker.messages(ENTREPRISE.file_topic):
        found[message.partition()].append(message.value())
    return found


@pytest.mark.parametrize("pinned", ["reader", "partitions"])
def test_a_dead_reading_is_not_gone_on_with_otherwise(
    settings: Settings, worker: Worker, order: Order, pinned: str
) -> None:
    """Another reader or partition count would number or place rows otherwise."""
    reading = publish(settings, order)
    worker.tell(
        seen_by_worker(reading, options={**reading.state["options"], pinned: "something else"})
    )

    with pytest.raises(RefusedError, match=reading.import_id) as refused:
        publish(settings, order)
    assert refused.value.code == "changed-since"


def test_a_read_import_is_only_followed(settings: Settings, worker: Worker, order: Order) -> None:
    """Nothing is published a second time once the total is known."""
    reading = publish(settings, order)
    worker.tell(seen_by_worker(reading, total_rows=2503))

    again = publish(settings, order)

    assert (again.resumed, again.finished) == (True, True)
    assert len(worker.messages(ENTREPRISE.file_topic)) == 2503


def test_a_file_that_changes_meanwhile_fails(
    settings: Settings, worker: Worker, order: Order
) -> None:
    """Its rows are no longer those of the content that the id was made of."""

    def touch(reading: Reading) -> None:
        os.utime(order.path, ns=(1, 1))

    reading = publish(settings, order, touch)

    [_, (name, failed)] = worker.events()
    assert name == "ReadingFailed"
    assert failed["code"] == "file-changed"
    error = reading.state["error"]
    assert (reading.state["status"], error and error["code"]) == ("ERROR", "file-changed")


def test_a_line_too_large_for_a_message_is_rejected_alone(
    settings: Settings, worker: Worker, order: Order
) -> None:
    """The others go on; the line's reject says what is wrong."""
    with order.path.open("a", encoding="utf-8") as file:
        # Two cells that may be as long, in bytes beyond what a message holds.
        file.write(f"\n123456782;{'😀' * 131_000};{'😀' * 131_000}\n123456790;Dernière;75001\n")

    reading = publish(settings, order)

    by_number = {r["import"]["number"]: r for r in worker.records(ENTREPRISE.file_topic)}
    assert len(by_number) == 2505
    [fault] = by_number[2504]["import"]["faults"]
    assert (fault["column"], fault["code"]) == (None, "too-long")
    assert by_number[2504]["siren"] is None
    assert [reading.import_id.encode()] == [
        message.key()
        for message in worker.messages(ENTREPRISE.file_topic)
        if b"1000 Ko" in message.value()
    ]


def test_missing_topics_are_named(settings: Settings, order: Order) -> None:
    """And so is the command that creates them."""
    with pytest.raises(NotReadyError, match="foxstream-worker topics"):
        publish(settings.model_copy(update={"topic_prefix": "nowhere."}), order)


def test_missing_schemas_are_named(settings: Settings, stack: Stack, order: Order) -> None:
    """A producer never registers a schema by itself."""
    admin = AdminClient({"log_level": 0, "bootstrap.servers": settings.kafka_bootstrap})
    bare = settings.model_copy(update={"topic_prefix": f"bare{uuid4().hex[:8]}."})
    for created in admin.create_topics(
        [NewTopic(bare.topic(t.name), 4, 1) for t in TOPICS]
    ).values():
        created.result(30)
    topics = {bare.topic(t.name) for t in TOPICS}
    eventually(lambda: topics <= admin.list_topics(timeout=10).topics.keys())

    with pytest.raises(NotReadyError, match="foxstream-worker schemas"):
        publish(bare, order)


def test_the_highest_version_of_a_state_holds(
    settings: Settings, worker: Worker, order: Order
) -> None:
    """Whatever the order of arrival; a tombstone removes an import."""
    state = new_state(
        id="one", import_type="VILLE", file_name="f", file_sha256="0", created_at=datetime.now(UTC)
    )
    for version in (1, 3, 2):
        worker.tell(state, version=version)
    worker.tell(state, id="other", version=1)
    worker.tell({**state, "id": "gone"}, version=1)
    worker.tell(None, id="gone")

    with Registry(settings.schema_registry_url) as registry, ImportLog(settings, registry) as log:
        log.start(timeout_seconds=10)
        versions = {import_id: s["version"] for import_id, s in log.read().items()}

    assert versions["one"] == 3
    assert "gone" not in versions


def test_a_follower_sees_a_new_state_at_once(settings: Settings, worker: Worker) -> None:
    """Long before the end of the minute that it would wait."""
    state = new_state(
        id="one", import_type="VILLE", file_name="f", file_sha256="0", created_at=datetime.now(UTC)
    )
    with Registry(settings.schema_registry_url) as registry, ImportLog(settings, registry) as log:
        log.start(timeout_seconds=10)
        assert log.read({"one"}) == {}
        worker.tell(state, version=1)
        log.follow("one", 10)
        told: list[float] = []

        def tell() -> None:
            worker.tell(state, version=2)
            told.append(monotonic())

        timer = threading.Timer(0.3, tell)
        timer.start()
        found = log.follow("one", 60)
        seen_at = monotonic()
        timer.join()

    assert found is not None
    assert found["version"] == 2
    assert seen_at - told[0] < 20


def test_rejects_are_told_once(settings: Settings, worker: Worker) -> None:
    """Repeats are dropped, other imports left out, late ones waited for."""
    worker.reject("mine", 2, "a")
    worker.reject("mine", 2, "a")
    worker.reject("other", 9, "b")
    threading.Timer(0.5, worker.reject, ("mine", 5, "c")).start()

    assert lines_of(settings, rejected=2, created_at=datetime.now(UTC)) == [2, 5]


def lines_of(settings: Settings, **known: Any) -> list[int | None]:
    """The rejected lines of the import "mine", by a state of it."""
    with RejectLog(settings) as log:
        return [reject.line for reject in log.read(new_state(id="mine", **known), 10)]


def test_rejects_before_the_import_are_not_read(settings: Settings, worker: Worker) -> None:
    """Unless some are missing, as where the clock that dated the import was wrong."""
    minute = timedelta(minutes=1)  # for clocks that differ
    worker.reject("mine", 2, "a")
    threading.Event().wait(0.01)
    created_at = datetime.now(UTC) + minute
    worker.reject("mine", 5, "b")

    assert lines_of(settings, rejected=1, created_at=created_at) == [5]
    assert lines_of(settings, rejected=2, created_at=created_at) == [2, 5]
    assert lines_of(settings, rejected=2, created_at=created_at + minute) == [2, 5]


def test_nobody_works(settings: Settings) -> None:
    """Groups that no worker ever joined are absent."""
    assert absent_workers(settings) == ["rows", "imports"]


def test_kafka_may_be_away_for_a_while(
    stack: Stack, settings: Settings, worker: Worker, order: Order
) -> None:
    """Rows that were published before, during and after its death arrive once and in order."""
    publisher = Publisher(settings)
    publisher.partition_counts([REJECTS.name], 10)
    numbered = [("key", str(number).encode()) for number in range(3000)]
    publisher.publish(REJECTS.name, numbered[:1000])
    stack.kafka.kill()
    publisher.publish(REJECTS.name, numbered[1000:2000])
    stack.kafka.start()
    publisher.publish(REJECTS.name, numbered[2000:])
    publisher.flush()

    assert [value for _, value in numbered] == [m.value() for m in worker.messages(REJECTS)]


def environment(settings: Settings) -> dict[str, str]:
    """What a command of these settings is given."""
    return {
        **os.environ,
        "FOX_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "FOX_SCHEMA_REGISTRY_URL": settings.schema_registry_url,
        "FOX_TOPIC_PREFIX": settings.topic_prefix,
    }


def foxstream(settings: Settings, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a command."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@contextmanager
def begun(settings: Settings, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command that runs at most as long as the block."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            yield command
        finally:
            command.kill()


def finished_reading(settings: Settings, worker: Worker) -> Record:
    """Waits until a file is read; returns its Submitted event."""
    eventually(lambda: len(worker.events()) == 2)
    return worker.events()[0][1]


def state_of(worker: Worker, submitted: Record, **changed: Any) -> ImportState:
    """The state that a tracker would make of a Submitted event."""
    [message, _] = worker.messages(IMPORT_EVENTS)
    given = {"id": message.key().decode(), "created_at": datetime.now(UTC), "version": 1}
    return new_state(**submitted | given | {"uploaded_by": None} | changed)


def test_a_followed_import_ends_with_its_state(
    settings: Settings, worker: Worker, order: Order
) -> None:
    """One JSON document on stdout, the exit code of its status, one word on the missing worker."""
    with begun(settings, "import", order.path, "--type", "entreprise", "--json") as command:
        submitted = finished_reading(settings, worker)
        assert command.stderr is not None
        assert "Aucun worker ne tourne" in command.stderr.readline()
        state = state_of(
            worker,
            submitted,
            status="PARTIAL",
            total_rows=2503,
            inserted=2499,
            success_rows=2501,
            duplicate=2,
            rejected=2,
            error_rows=2,
        )
        worker.tell(state)
        out, err = command.communicate(timeout=120)

    assert command.returncode == 3
    assert err == ""
    document = json.loads(out)
    assert (state["id"], "PARTIAL", 2) == tuple(
        document[name] for name in ("id", "status", "rejected")
    )
    assert document["created_at"].endswith("Z")

    shown = foxstream(settings, "status", state["id"], "--json")
    assert (3, document) == (shown.returncode, json.loads(shown.stdout))
    assert [document] == json.loads(foxstream(settings, "list", "--json").stdout)
    again = foxstream(settings, "import", order.path, "--type", "entreprise", "--json")
    assert again.returncode == 4
    assert json.loads(again.stdout)["error"]["code"] == "already-imported"
    checked = foxstream(settings, "check", order.path, "--type", "entreprise", "--json")
    assert state["id"] == json.loads(checked.stdout)["already_imported"]["id"]


def test_errors_writes_the_lines_to_correct(
    settings: Settings, worker: Worker, order: Order, tmp_path: Path
) -> None:
    """The original columns, from the rows as they were published."""
    reading = publish(settings, order)
    by_number = {
        record["import"]["number"]: message.value()
        for message, record in zip(
            worker.messages(ENTREPRISE.file_topic),
            worker.records(ENTREPRISE.file_topic),
            strict=True,
        )
    }
    for number in (21, 11):
        worker.reject(reading.import_id, number + 1, f"r{number}", by_number[number])
    worker.tell(
        seen_by_worker(reading, status="PARTIAL", total_rows=2503, rejected=2, error_rows=2)
    )

    written = foxstream(settings, "errors", reading.import_id, "--output", tmp_path / "erreurs.csv")
    shown = foxstream(settings, "errors", reading.import_id)

    assert (written.returncode, written.stderr) == (0, "")
    report = (tmp_path / "erreurs.csv").read_text(encoding="utf-8-sig")
    assert report.replace('"', "").splitlines() == [
        "siren;nom;code_postal;_line;_column;_code;_message;_import",
        f"12AB;Sans SIREN;75001;12;siren;malformed;Ligne 12 fausse.;{reading.import_id}",
        f";Sans numéro;75001;22;siren;malformed;Ligne 22 fausse.;{reading.import_id}",
    ]
    assert len(shown.stdout.splitlines()) == 2
    assert foxstream(settings, "errors", "nobody").returncode == 4


def test_without_following_the_command_ends_when_the_file_is_read(
    settings: Settings, order: Order
) -> None:
    """The state is what its reader knows of it."""
    done = foxstream(
        settings, "import", order.path, "--type", "ENTREPRISE", "--no-follow", "--json"
    )

    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert (document["status"], document["total_rows"]) == ("PENDING", 2503)


def test_sheets_that_are_no_companies_are_named(settings: Settings, tmp_path: Path) -> None:
    """Whoever imports a workbook without a look at it first hears what is not imported of it."""
    book = Workbook()
    book.active.append(["siren", "nom"])
    book.active.append(["005520135", "A"])
    book.create_sheet("Notice").append(["Lisez-moi"])
    book.save(tmp_path / "entreprises.xlsx")

    done = foxstream(
        settings, "import", tmp_path / "entreprises.xlsx", "--type", "ENTREPRISE", "--no-follow"
    )

    assert "non lus : Notice" in done.stderr


def test_an_interrupted_follower_says_that_the_import_goes_on(
    settings: Settings, worker: Worker, order: Order
) -> None:
    """Exit code 130."""
    with begun(settings, "import", order.path, "--type", "ENTREPRISE") as command:
        finished_reading(settings, worker)
        assert command.stderr is not None
        assert "Aucun worker" in command.stderr.readline()
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=120)

    assert command.returncode == 130
    assert "l'import continue" in err
