"""What the outbox publishes, without Kafka: nothing counts as published before Kafka has it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from faust.types import TP

from processors.rows.outbox import Outbox
from schemas.codec.framing import Encoder
from tests.integration.test_row_writer import IMPORT, OTHER, Partition, company, database, line, log

__all__ = ["database", "log"]  # fixtures

REJECTS, EVENTS = "fox.rejects", "fox.imports.events"


@dataclass
class Topics:
    """Kafka, as far as an outbox knows of it. `refused`: topics that take nothing at the moment."""

    sent: list[tuple[str, bytes | None, dict[str, bytes]]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    longest: int = 1000
    failing: set[bytes | None] = field(default_factory=set)

    async def send(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> int:
        if topic in self.refused:
            raise TimeoutError
        if len(value or b"") > self.longest:
            raise MessageSizeTooLargeError
        if value in self.failing:
            raise TimeoutError
        self.sent.append((topic, value, {name: text or b"" for name, text in headers}))
        return len(self.sent)

    def of(self, topic: str) -> list[tuple[bytes | None, dict[str, bytes]]]:
        return [(value, headers) for name, value, headers in self.sent if name == topic]


@pytest.fixture
def topics() -> Topics:
    """They take everything of up to 1,000 bytes."""
    return Topics()


def outbox(log: Partition, topics: Topics, *held: TP) -> Outbox:
    """That of the worker which holds the partition, unless others are given."""
    events = Encoder("import_event", 1)
    return Outbox(log.pool, topics.send, events, "fox.", lambda: held or [log.tp])


async def unpublished(log: Partition) -> int:
    [(count,)] = await log.query("SELECT count(*) FROM ingest.rejects WHERE published_at IS NULL")
    return int(count)


async def test_a_reject_is_published_before_that_is_noted(log: Partition, topics: Topics) -> None:
    """Where Kafka does not take it, it is left to the next try; it is published once."""
    log.put(b"x", b"damaged")
    await log.write_all()
    ours = outbox(log, topics)

    topics.refused = {REJECTS}
    with pytest.raises(TimeoutError):
        await ours._publish_rejects()
    assert await unpublished(log) == 1

    topics.refused = set()
    assert await ours._publish_rejects()
    assert [value for value, _ in topics.of(REJECTS)] == [b"damaged"]
    assert not await ours._publish_rejects()


async def test_rejects_of_others(log: Partition, topics: Topics) -> None:
    """A worker publishes what was rejected in the partitions that it holds, and leaves the rest."""
    log.put(b"x", b"damaged")
    await log.write_all()

    assert not await outbox(log, topics, TP(log.topic, 5), TP("other", 0))._publish_rejects()
    assert await unpublished(log) == 1


async def test_a_reject_that_is_too_large(log: Partition, topics: Topics) -> None:
    """It is published without its value, and holds up no other."""
    log.put(b"x", b"damaged" * 1000)
    log.put(b"x", b"damaged")
    await log.write_all()

    assert await outbox(log, topics)._publish_rejects()

    told = {
        value: headers.get("ingest.value_in_postgresql") for value, headers in topics.of(REJECTS)
    }
    assert told == {None: b"7000", b"damaged": None}
    assert await unpublished(log) == 0


async def test_a_reject_that_fails_holds_up_no_other(log: Partition, topics: Topics) -> None:
    """What Kafka has counts as published; what it does not take stays for the next try."""
    for value in (b"first", b"second", b"third"):
        log.put(b"x", value)
    await log.write_all()
    ours = outbox(log, topics)
    topics.failing = {b"second"}
    with pytest.raises(TimeoutError):
        await ours._publish_rejects()
    assert await unpublished(log) == 1

    topics.failing = set()
    assert await ours._publish_rejects()
    assert [value for value, _ in topics.of(REJECTS)] == [b"first", b"third", b"second"]


async def test_a_sender_s_headers_never_speak_for_us(log: Partition, topics: Topics) -> None:
    """They are passed on under the sender's own names only: `ingest.settles` would hide the reject."""
    forged = dict.fromkeys(("ingest.settles", "ingest.import_id", "ingest.line", "ingest.attempt", "__connect.errors.topic"), b"forged")  # fmt: skip
    log.put(b"x", b"damaged", headers=[*forged.items(), ("mine", b"kept"), ("none", None)])
    log.put(b"k" * 100_000, b"key")
    await log.write_all()

    assert await outbox(log, topics)._publish_rejects()

    (_, headers), (_, other) = topics.of(REJECTS)
    assert b"forged" not in {**headers, "ingest.attempt": b""}.values()
    assert headers.keys() & forged.keys() == {"ingest.attempt", "__connect.errors.topic"}
    assert (headers["mine"], headers["ingest.key"]) == (b"kept", b"x")
    assert other["ingest.key_in_postgresql"] == b"100000"
    assert "ingest.key" not in other


async def settled(log: Partition) -> None:
    """A reject of IMPORT that was published, and the row of OTHER that settles it."""
    log.append(company(1, None, **line(1)))
    await log.write_all()
    await log.execute("UPDATE ingest.rejects SET published_at = now()")
    log.append(company(1, **line(1, OTHER, settles={"id": IMPORT, "line": 2, "sheet": None})))
    await log.write(log.batch(1))


@pytest.mark.parametrize("refused", [REJECTS, EVENTS])
async def test_a_settled_reject_is_told_before_that_is_noted(
    log: Partition, topics: Topics, refused: str
) -> None:
    """The readers of rejects are told and then both trackers: whichever fails, all is told again."""
    await settled(log)
    ours = outbox(log, topics)
    topics.refused = {refused}
    with pytest.raises(TimeoutError):
        await ours._publish_resolved()
    topics.sent.clear()
    topics.refused = set()

    assert await ours._publish_resolved()

    [(reject_id,)] = await log.query("SELECT id FROM ingest.rejects")
    assert topics.of(REJECTS) == [(None, {"ingest.settles": str(reject_id).encode()})]
    assert len(topics.of(EVENTS)) == 2
    assert not await ours._publish_resolved()


async def test_a_reject_is_published_before_it_is_told_that_it_is_settled(
    log: Partition, topics: Topics
) -> None:
    """A reader that met the marker first would take the reject that follows for an open one."""
    await settled(log)
    await log.execute("UPDATE ingest.rejects SET published_at = NULL")
    ours = outbox(log, topics)

    assert not await ours._publish_resolved()
    assert await ours._publish_rejects()
    assert await ours._publish_resolved()
