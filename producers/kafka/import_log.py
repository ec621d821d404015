"""How imports stand and which of their lines were rejected, as the workers tell it on Kafka.

Both topics are read without a consumer group: every reader sees all of it, and leaves no trace.
"""

import json
import logging
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any, NamedTuple, Self
from warnings import catch_warnings, simplefilter

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
    murmur2,
)

from producers.kafka.broker import UnreachableError, configuration, partition_counts
from producers.settings import Settings
from schemas.codec.framing import NAMESPACE, DecodeError, Decoder, SchemaSource, load
from schemas.topics import IMPORT_EVENTS, IMPORT_LOG, REJECTS, Topic

State = dict[str, Any]
"""One import, by the field names of schemas/avro/import_state.avsc."""

_LOGGER = logging.getLogger(__name__)

TERMINAL = frozenset({"SUCCESS", "PARTIAL", "ERROR", "CANCELLED"})

_SILENCE_SECONDS = 10.0
_START_SECONDS = 8.0
_CLOCKS_APART = timedelta(minutes=1)
"""An import may seem younger than its first reject by so much: who asks for it has a clock of its own."""


def new_state(**given: Any) -> State:
    """A state of which only `given` is known, for an import that no worker has seen yet."""
    defaults = {field["name"]: field.get("default") for field in load("import_state")["fields"]}
    return {**defaults, "version": 0, "status": "PENDING", **given}


def document(state: State) -> dict[str, Any]:
    """A state by the names of schemas/avro/import_state.avsc, ready for JSON: timestamps are ISO 8601 in UTC."""
    return {
        name: f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
        if isinstance(value, datetime)
        else value
        for name, value in state.items()
    }


def accounted(state: State) -> int:
    """Rows that have an outcome."""
    done: int = state["success_rows"] + state["error_rows"] + state["cancelled"]
    return done


class Reader:
    """All partitions of a topic, or one of them, from the beginning."""

    def __init__(self, settings: Settings, topic: Topic) -> None:
        self._settings = settings
        self._topic = topic
        self._partitions: set[int] = set()
        self._at_end: set[int] = set()
        self._ends: dict[int, int] = {}
        self._consumer = Consumer(
            {
                **configuration(settings),
                # Required by librdkafka; nothing is subscribed to or committed, so no group exists.
                "group.id": "foxstream-reader",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                # How long the end of the log takes to be told, and to be told again.
                "fetch.wait.max.ms": 20,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def start(
        self,
        *,
        timeout_seconds: float,
        key: str | None = None,
        from_now: bool = False,
        since: datetime | None = None,
    ) -> bool:
        """Raises UnreachableError and NotReadyError. With a `key`, only its partition is read.

        `from_now`: what is published after this call returns, and nothing before it. `since`: what
        came to the broker then or later. False where that leaves nothing out.
        """
        counts = partition_counts(
            self._consumer, self._settings, [self._topic.name], timeout_seconds=timeout_seconds
        )
        count = counts[self._topic.name]
        numbers = range(count) if key is None else [murmur2(key.encode(), count)]
        name = self._settings.topic(self._topic.name)
        self._partitions = set(numbers)
        self._at_end, self._ends = set(), {}
        begins = dict.fromkeys(numbers, OFFSET_BEGINNING)
        left_out = from_now
        if from_now:
            begins = {n: self._bounds(name, n, timeout_seconds)[1] for n in numbers}
        elif since is not None:
            begins, left_out = self._begins(name, since, timeout_seconds)
        self._consumer.assign([TopicPartition(name, n, begins[n]) for n in numbers])
        return left_out

    def _begins(self, topic: str, since: datetime, seconds: float) -> tuple[dict[int, int], bool]:
        """Where to begin in each partition, and whether anything lies before it."""
        bounds = {n: self._bounds(topic, n, seconds) for n in self._partitions}
        # Whoever publishes while this reads must not keep it from ending.
        self._ends = {n: end for n, (_, end) in bounds.items()}
        at = int(since.timestamp() * 1000)
        asked = [TopicPartition(topic, n, at) for n in self._partitions]
        with _answering(topic):
            found = self._consumer.offsets_for_times(asked, timeout=seconds)
        # Negative: nothing is that young.
        begins = {f.partition: f.offset if f.offset >= 0 else bounds[f.partition][1] for f in found}
        return begins, any(begin > bounds[n][0] for n, begin in begins.items())

    def _bounds(self, topic: str, partition: int, seconds: float) -> tuple[int, int]:
        """The first offset and the end. OFFSET_END would be looked up by the first fetch, later."""
        with _answering(topic):
            found: tuple[int, int] = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=seconds
            )
        return found

    def poll(self, timeout_seconds: float) -> Message | None:
        """The next record, or None when there is none in time."""
        message = self._consumer.poll(timeout_seconds)
        if message is None:
            return None
        error = message.error()
        if error is None:
            if message.offset() + 1 == self._ends.get(message.partition()):
                self._at_end.add(message.partition())
            return message
        if error.code() == KafkaError._PARTITION_EOF:
            self._at_end.add(message.partition())
            return None
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED or error.fatal():
            raise UnreachableError(f"Kafka ne donne pas {message.topic()} : {error.str()}.")
        # Others pass, such as a topic unknown to a broker that is starting.
        _LOGGER.warning("read again", extra={"action": "read", "error": error.str()})
        return None

    def up_to_now(self) -> Iterator[Message]:
        """What the topic holds. Raises UnreachableError after 10 seconds of silence."""
        heard = monotonic()
        while self._at_end != self._partitions:
            at_end = len(self._at_end)
            message = self.poll(0.1)
            if message is not None:
                yield message
            if message is not None or len(self._at_end) > at_end:
                heard = monotonic()
            elif monotonic() - heard > _SILENCE_SECONDS:
                raise UnreachableError(
                    f"Kafka ne répond plus à l'adresse {self._settings.kafka_bootstrap}."
                )


@contextmanager
def _answering(topic: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise UnreachableError(f"Kafka ne donne pas {topic} : {error.args[0].str()}.") from error


class ImportLog(Reader):
    """The states of imports. Of two states of one import the higher version holds."""

    def __init__(self, settings: Settings, schemas: SchemaSource) -> None:
        super().__init__(settings, IMPORT_LOG)
        self._decoder = Decoder("import_state", schemas)
        self._states: dict[str, State] = {}

    def read(
        self, wanted: Container[str] | None = None, *, file_sha256: str | None = None
    ) -> dict[str, State]:
        """The states now, by import id; where it is given, those of `wanted` and of that file alone."""
        for message in self.up_to_now():
            # A look at the bytes, so that not every state of everybody is decoded.
            of_file = file_sha256 is not None and file_sha256.encode() in (message.value() or b"")
            self._take(message, None if of_file else wanted)
        return self._states

    def follow(self, import_id: str, timeout_seconds: float) -> State | None:
        """The newest state of one import, None while there is none.

        Returns as soon as there is a newer one, at the latest after the time-out. To be called
        after `read`.
        """
        until = monotonic() + timeout_seconds
        while True:
            message = self.poll(max(0.0, until - monotonic()))
            if message is not None and self._take(message, {import_id}):
                break
            if monotonic() >= until:
                break
        return self._states.get(import_id)

    def changed(self, timeout_seconds: float) -> dict[str, State | None]:
        """States that are newer, None where an import was forgotten; waits for the first of them.

        To be called after `read`, by whoever follows all imports.
        """
        changed: dict[str, State | None] = {}
        message = self.poll(timeout_seconds)
        while message is not None:
            if self._take(message, None):
                import_id = (message.key() or b"").decode(errors="replace")
                changed[import_id] = self._states.get(import_id)
            message = self.poll(0)
        return changed

    def _take(self, message: Message, wanted: Container[str] | None) -> bool:
        key = message.key()
        import_id = key.decode(errors="replace") if key else ""
        if message.value() is None:
            return self._states.pop(import_id, None) is not None
        if wanted is not None and import_id not in wanted:
            return False
        try:
            state = self._decoder.decode(message.value())
        except DecodeError:
            _LOGGER.warning("state skipped", extra={"action": "decode", "import_id": import_id})
            return False
        known = self._states.get(import_id)
        if known is not None and known["version"] >= state["version"]:
            return False
        self._states[import_id] = state
        return True


class ProgressLog(Reader):
    """How many rows of one import have an outcome, as the row writers tell it after each commit.

    Sooner than the import log, which the tracker writes once a second, but only a hint: what a
    writer that died had still to tell is told with its successor's next commit. `cancelled` and
    `paused` are what was asked for since the start; None: nothing.
    """

    def __init__(self, settings: Settings, schemas: SchemaSource, import_id: str) -> None:
        super().__init__(settings, IMPORT_EVENTS)
        self._decoder = Decoder("import_event", schemas)
        self._import_id = import_id
        self._accounted: dict[tuple[str, int], int] = {}
        self.cancelled = False
        self.paused: bool | None = None

    def start_now(self, timeout_seconds: float) -> None:
        """Reads from the end of the topic on. Raises UnreachableError and NotReadyError."""
        self.start(timeout_seconds=timeout_seconds, key=self._import_id, from_now=True)

    def accounted(self, timeout_seconds: float) -> int:
        """Rows that have an outcome, of the partitions heard of. Waits for news until the time-out."""
        message = self.poll(timeout_seconds)
        while message is not None:
            if message.key() == self._import_id.encode():
                self._take(message)
            message = self.poll(0)
        return sum(self._accounted.values())

    def _take(self, message: Message) -> None:
        try:
            name, event = self._decoder.decode(message.value())["event"]
        except DecodeError:
            return  # the tracker rejects it
        match name.removeprefix(f"{NAMESPACE}."):
            case "Progress":
                self._accounted[event["topic"], event["partition"]] = event["accounted"]
            case "Cancel":
                self.cancelled = True
            case "Pause" | "Resume" as asked:
                self.paused = asked == "Pause"


class Reject(NamedTuple):
    """A line that was not written. `errors` have column, code and message; `value` is its row."""

    line: int | None
    sheet: str | None
    errors: list[dict[str, str | None]]
    value: bytes | None


class RejectLog(Reader):
    """The rejects of one import."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, REJECTS)

    def read(self, state: State, patience_seconds: float) -> Iterator[Reject]:
        """The rejects of an import that no other import has settled, each once.

        Workers publish them a moment after they count them: at the end of the topic this waits for
        as many as the state knows, until none comes for as long as there is patience. What lies
        before the import is read only where some are missing then: clocks may differ. Raises
        UnreachableError and NotReadyError.
        """
        expected = state["rejected"] + state["cancelled"]
        since = state["created_at"] - _CLOCKS_APART
        begin = partial(self.start, timeout_seconds=_START_SECONDS, key=state["id"])
        left_out = begin(since=since)
        found = self._found(state["id"].encode(), expected, patience_seconds)
        if left_out and len(found) < expected:
            begin()
            found = self._found(state["id"].encode(), expected, 0.0)
        yield from found.values()

    def _found(self, key: bytes, expected: int, patience_seconds: float) -> dict[bytes, Reject]:
        open_: dict[bytes, Reject] = {}
        settled: set[bytes] = set()
        late = self._late(key, lambda: len(open_) == expected, patience_seconds)
        for message in chain(self.up_to_now(), late):
            if message.key() != key:
                continue
            headers = dict(message.headers() or ())
            if "ingest.settles" in headers:
                settled.add(headers["ingest.settles"])
                open_.pop(headers["ingest.settles"], None)
            elif headers["ingest.reject_id"] not in settled:
                open_.setdefault(headers["ingest.reject_id"], _reject(headers, message.value()))
        return open_

    def _late(
        self, key: bytes, complete: Callable[[], bool], patience_seconds: float
    ) -> Iterator[Message]:
        heard = monotonic()
        while not complete() and monotonic() - heard < patience_seconds:
            message = self.poll(0.1)
            if message is not None and message.key() == key:
                heard = monotonic()
                yield message


def _reject(headers: dict[str, bytes | None], value: bytes | None) -> Reject:
    def text(name: str) -> str:
        return (headers.get(f"ingest.{name}") or b"").decode()

    line = text("line")
    return Reject(
        int(line) if line else None, text("sheet") or None, json.loads(text("errors")), value
    )


def absent_workers(settings: Settings, groups: Sequence[str] = ("rows", "imports")) -> list[str]:
    """Those of the worker groups that have no member. Raises UnreachableError."""
    from confluent_kafka.admin import AdminClient  # not on the way of an import that moves

    admin = AdminClient(configuration(settings))
    absent = []
    with catch_warnings():
        # What replaces list_groups aborts the process where no broker answers in time, which is
        # just when this is asked: librdkafka #4605.
        simplefilter("ignore", DeprecationWarning)
        try:
            for group in groups:
                found = admin.list_groups(settings.topic(group), timeout=5)
                if not any(known.members for known in found):
                    absent.append(group)
        except KafkaException as error:
            raise UnreachableError(
                f"Kafka ne dit pas quels workers tournent : {error.args[0].str()}."
            ) from error
    return absent
