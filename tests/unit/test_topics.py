"""The topics as data: what broker and workers take for granted."""

import re
from importlib import resources
from pathlib import Path

import pytest

from deploy.kafka.acls import rights
from schemas.codec.framing import load
from schemas.import_types import IMPORT_TYPES
from schemas.topics import (
    CATEGORIES,
    CO_PARTITIONED,
    DAY_MS,
    DROPPED_VALUES,
    ENRICHMENT_RESULTS,
    GATEWAY_MAPPINGS,
    GATEWAY_SESSIONS,
    GATEWAY_TOKENS,
    IMPORT_EVENTS,
    IMPORT_LOG,
    MIRRORED,
    REFERENCE_NAF,
    REJECTS,
    STATS,
    TOPICS,
    Topic,
)

topics = pytest.mark.parametrize("topic", TOPICS, ids=[topic.name for topic in TOPICS])


def test_names() -> None:
    """No two topics share a name, and behind the longest prefix each is one that Kafka takes."""
    names = [topic.name for topic in TOPICS]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9.-]{1,100}", name) for name in names)


@topics
def test_records(topic: Topic) -> None:
    """A topic names a schema that is there, or carries bytes of another topic or of a table."""
    if topic.record is None:
        assert topic in (REJECTS, DROPPED_VALUES, CATEGORIES)
    else:
        assert (resources.files("schemas") / "avro" / f"{topic.record}.avsc").is_file()
        assert load(topic.record)["type"] == "record"


@topics
def test_append_time(topic: Topic) -> None:
    """Kafka stamps records itself: an upstream's old time deletes no segment that nobody has read."""
    assert dict(topic.configuration())["message.timestamp.type"] == "LogAppendTime"


@topics
def test_cleanup(topic: Topic) -> None:
    """Only what holds states by key is compacted and kept for ever; all else ends after its time."""
    configuration = dict(topic.configuration())

    if topic in (
        IMPORT_LOG,
        CATEGORIES,
        REFERENCE_NAF,
        GATEWAY_TOKENS,
        GATEWAY_SESSIONS,
        GATEWAY_MAPPINGS,
        ENRICHMENT_RESULTS,
        STATS,
    ):
        assert configuration["cleanup.policy"] == "compact"
        assert "retention.ms" not in configuration
    else:
        assert configuration["cleanup.policy"] == "delete"
        assert int(configuration["retention.ms"]) >= 7 * DAY_MS


def test_row_topics() -> None:
    """Each import type has two row topics of its own, and all have the same number of partitions."""
    types = IMPORT_TYPES.values()
    rows = [topic for each in types for topic in (each.topic, each.file_topic)]

    assert {topic.name for topic in rows} == {
        topic.name for topic in TOPICS if topic.name.startswith(("rows.", "file-rows."))
    }
    assert len({topic.name for topic in rows}) == len(rows)
    assert {*rows, CATEGORIES} == set(CO_PARTITIONED)
    assert len({topic.partitions for topic in CO_PARTITIONED}) == 1


def test_rejects_outlive_rows() -> None:
    """A reject can be replayed for longer than its row would have stood on its topic."""
    for import_type in IMPORT_TYPES.values():
        assert (REJECTS.retention_ms or 0) > (import_type.topic.retention_ms or 0)


def test_events_and_log_share_their_partitions() -> None:
    """Events and states of an import are keyed alike: its partition is the same number on both."""
    assert IMPORT_EVENTS.key == IMPORT_LOG.key == "import id"
    assert IMPORT_EVENTS.partitions == IMPORT_LOG.partitions


COMPACTED = [topic for topic in TOPICS if topic.cleanup == "compact"]


def test_what_is_restored_after_kafka_was_lost() -> None:
    """The operations page says of each topic how it is restored: of compacted ones by name, unless it is
    published from its mirror."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.split("### Kafka was lost\n")[1].split("\n### ")[0]
    named = set(re.findall(r"`([a-z.-]+)`", section))

    assert {topic.name for topic in COMPACTED if topic not in MIRRORED} <= named
    assert {GATEWAY_TOKENS, GATEWAY_SESSIONS} <= set(MIRRORED)
    others = {topic.name for topic in TOPICS if topic not in COMPACTED}
    assert {name for name in others - named if "rows." not in name} == set()


@pytest.mark.parametrize("topic", MIRRORED, ids=[topic.name for topic in MIRRORED])
def test_rights_on_mirrored_topics(topic: Topic) -> None:
    """Workers read them, and the user that creates topics publishes them again."""
    allowed = {
        (right.user, operation)
        for right in rights()
        if right.resource == "topic" and right.name and topic.name.startswith(right.name)
        for operation in right.operations
    }

    assert {("fox-worker", "Read"), ("fox-admin", "Write")} <= allowed
