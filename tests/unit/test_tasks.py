"""Files of the spool that are published: only what was uploaded, and once."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import stamina
from stamina.instrumentation import set_on_retry_hooks
from structlog.testing import capture_logs

from deploy.local.processes.ports import free_port
from producers.gateway.processes import spool_publisher, tasks
from producers.gateway.processes.spool_publisher import Publishing
from producers.gateway.spool.spool import Spool, SpooledFile, new_upload_time
from producers.imports.order import Order, Reading
from producers.imports.start import begin
from producers.kafka.broker import ClusterError
from producers.kafka.import_state import new_state
from producers.kafka.publisher import Publisher
from producers.reading import RefusedError
from producers.settings import Settings, gateway_settings
from schemas.records import ImportState

CONTENT = b"siren;nom\n732829320;A\n552100554;B\n"
IMPORT_ID = str(UUID(int=0))


class Kafka:
    """In the place of it: what is read and refused. `known` is what the log says of the import."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[bytes] = []
        self.refused: list[str] = []
        self.known: ImportState | None = None
        monkeypatch.setattr(tasks, "Connections", self._connections)
        monkeypatch.setattr(tasks, "publish_file", self._read_file)
        monkeypatch.setattr(tasks, "publish_refusal", self._refuse)

    def _connections(self, *_: object, **__: object) -> AbstractContextManager[None]:
        return nullcontext()

    def _read_file(self, order: Order, *_: object) -> Reading:
        source = order.source()
        ids = [str(order.import_id)]
        states = {} if self.known is None else {ids[0]: self.known}
        reading = begin(self.known, states, ids, new_state(id=ids[0]), force=order.force)
        self.read.append(source.path.read_bytes())
        return reading

    def _refuse(
        self, order: Order, connections: object, sha256: str, refusal: RefusedError
    ) -> None:
        self.refused.append(refusal.code)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    return Kafka(monkeypatch)


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., str]:
    """Publishes a file of which `damaged` is left."""
    spool = Spool(tmp_path / "spool")

    def run(spooled: SpooledFile, damaged: bytes | None = None) -> str:
        data = spool.scratch(".part")
        data.write_bytes(CONTENT)
        spool.accept(spooled, data)
        if damaged is not None:
            spool.data(spooled).write_bytes(damaged)
        limit = tasks.Limit(60)
        outcome = tasks.publish(lambda _: None, Settings(), spool.folder, spooled.id, limit)
        assert spool.pending() == []
        return outcome

    return run


SPOOLED = SpooledFile(
    IMPORT_ID,
    "ENTREPRISE",
    "a.csv",
    sha256(CONTENT).hexdigest(),
    len(CONTENT),
    "me",
    new_upload_time(),
)


@pytest.mark.parametrize("max_rows", [None, 10], ids=["large", "plain"])
@pytest.mark.parametrize(
    "damaged",
    [CONTENT[:-14], CONTENT.replace(b"A", b"C"), b"", b"\0" * len(CONTENT), b"PK\x03\x04"],
    ids=["cut", "changed", "empty", "zeros", "unreadable"],
)
def test_a_file_that_was_damaged_is_not_imported(
    kafka: Kafka, publish: Callable[..., str], damaged: bytes, max_rows: int | None
) -> None:
    """A disk lost or changed bytes: that is what the import says, also where they are no file at all."""
    outcome = publish(replace(SPOOLED, max_rows=max_rows), damaged)

    assert (outcome, kafka.refused, kafka.read) == ("refused", ["damaged-file"], [])


@pytest.mark.parametrize("max_rows", [None, 10], ids=["large", "plain"])
def test_a_file_that_is_whole_is_read(
    kafka: Kafka, publish: Callable[..., str], max_rows: int | None
) -> None:
    """And one that was never right is refused for what is wrong with it."""
    assert publish(replace(SPOOLED, max_rows=max_rows)) == "published"
    assert (kafka.refused, kafka.read) == ([], [CONTENT])

    wrong = b"foo;bar\n1;2\n"
    sent = replace(
        SPOOLED, id=str(UUID(int=1)), max_rows=max_rows, sha256=sha256(wrong).hexdigest()
    )
    assert publish(sent, wrong) == "refused"
    assert kafka.refused == ["unknown-columns"]


@pytest.mark.parametrize("status", ["SUCCESS", "ERROR"])
def test_an_import_that_has_ended_is_not_refused(
    kafka: Kafka, publish: Callable[..., str], status: str
) -> None:
    """Who published it died before it could say so; that the upload was forced changes nothing."""
    kafka.known = new_state(id=IMPORT_ID, status=status, created_at=SPOOLED.when, version=1)

    assert publish(SPOOLED) == "published"
    assert (kafka.refused, kafka.read) == ([], [])


@pytest.fixture
def gateway_retries() -> Iterator[None]:
    """Retries as in the process of a gateway, without the pauses."""
    spool_publisher.configure_retries()
    with stamina.set_testing(True, attempts=2):
        yield
    set_on_retry_hooks(None)


@pytest.mark.usefixtures("gateway_retries")
def test_a_failed_attempt_is_logged_once(tmp_path: Path) -> None:
    """With the id of its import, which is what an operator looks for; what reminds of it is of all uploads."""

    class Away(Publishing):
        async def _once(self, spooled: SpooledFile) -> str:
            raise tasks.AwayError("away")

    publishing = Away(Spool(tmp_path), Settings(), gateway_settings())
    with capture_logs() as logs:
        assert asyncio.run(publishing._tries(SPOOLED)) == "away"

    logged = [(line["event"], line.get("import_id"), line.get("error")) for line in logs]
    assert logged == [("published later", IMPORT_ID, "away"), ("uploads wait", None, "away")]


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_waiting_for_kafka_is_no_reading() -> None:
    """Neither for the limit in the child nor for that of the gateway, which goes by what it reports."""
    clock, reported = Clock(), list[tuple[str, float]]()
    reading = Reading(new_state(id=IMPORT_ID))
    progress = tasks._ReadingProgress(reported.append, tasks.Limit(100, clock))
    clock.now = 10
    progress(reading)
    for outstanding in range(200, 0, -1):  # slow, but it acknowledges
        clock.now += 20
        progress.await_kafka(outstanding)
    clock.now += 5
    progress(reading)

    assert reported == [("reading", 10), *[("waiting", 10)] * 200, ("reading", 15)]
    clock.now += 86
    with pytest.raises(RefusedError):
        progress(reading)


def test_questions_to_servers_are_no_reading() -> None:
    """Nor is the start of the child: only what lies between the opening of the file and a question counts."""
    clock, reported = Clock(), list[tuple[str, float]]()
    reading, watch = Reading(new_state(id=IMPORT_ID)), spool_publisher._PublishingTime()
    progress = tasks._ReadingProgress(reported.append, tasks.Limit(100, clock))
    assert watch.spent() == 0.0

    clock.now += 40
    progress.begin()
    clock.now += 3
    progress.ask()
    clock.now += 50
    progress.ask()
    clock.now += 50
    progress(reading)
    clock.now += 4
    progress(reading)

    assert reported == [
        ("reading", 0),
        ("waiting", 3),
        ("waiting", 3),
        ("reading", 3),
        ("reading", 7),
    ]
    watch.listen(("waiting", 3.0))
    assert watch.spent() == 3.0


def test_a_kafka_that_acknowledges_nothing_ends_the_try() -> None:
    """Not the import: the next try has connections of its own."""
    clock = Clock()
    progress = tasks._ReadingProgress(lambda _: None, tasks.Limit(1, clock))
    progress.await_kafka(200)
    clock.now += tasks.STALL_SECONDS
    progress.await_kafka(201)  # an error of a connection counts until it is reported
    clock.now += 0.1

    with pytest.raises(ClusterError):
        progress.await_kafka(200)


def test_a_kafka_that_acknowledges_nothing_while_workers_are_waited_for() -> None:
    """An import whose window is full would wait for rows that Kafka never had."""
    clock, reading = Clock(), Reading(new_state(id=IMPORT_ID), waiting=True)
    progress = tasks._ReadingProgress(lambda _: None, tasks.Limit(1, clock))

    def wait(seconds: int) -> None:
        for _ in range(seconds):
            clock.now += 1
            progress.await_kafka(200)
            progress(reading)

    wait(int(tasks.STALL_SECONDS))
    with pytest.raises(ClusterError):
        wait(2)


def test_an_idle_publisher_watches_what_kafka_has_to_acknowledge() -> None:
    """As one that flushes does: nothing else shows that its messages are not taken."""
    ticks: list[int] = []
    settings = Settings(kafka_bootstrap=f"127.0.0.1:{free_port()}")
    publisher = Publisher(settings, tick=lambda: ticks.append(publisher.outstanding))

    publisher.publish("imports.events", [("key", b"value")])
    publisher.idle()

    assert len(ticks) == 1


def test_a_publisher_shows_that_it_waits(kafka: Kafka, tmp_path: Path) -> None:
    """Its ticks are those of the progress that the gateway goes by."""
    ticks: list[Callable[[], None]] = []

    def connections(
        _: Settings, tick: Callable[[], None], ask: Callable[[], None]
    ) -> AbstractContextManager[Any]:
        ticks.append(tick)
        return nullcontext(SimpleNamespace(publisher=SimpleNamespace(outstanding=7)))

    def stalled(*_: object) -> Reading:
        ticks[0]()
        clock.now += tasks.STALL_SECONDS + 1
        ticks[0]()
        raise AssertionError("the try goes on")

    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "Connections", connections)
        patch.setattr(tasks, "publish_file", stalled)
        spool = Spool(tmp_path / "spool")
        data = spool.scratch(".part")
        data.write_bytes(CONTENT)
        spool.accept(SPOOLED, data)
        with pytest.raises(tasks.AwayError):
            tasks.publish(
                lambda _: None, Settings(), spool.folder, IMPORT_ID, tasks.Limit(60, clock)
            )
    assert spool.pending() == [IMPORT_ID]
