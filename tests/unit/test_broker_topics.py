"""Topics on the broker, as a broker that is slow to show them has it."""

import re
import socket
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic

from processors.errors import UnreachableError
from processors.kafka import broker_topics, topic_identity
from schemas.runtime.server_settings import ServerSettings
from schemas.topics import TOPICS


class SlowBroker:
    """Confirms topics at once, and shows them at the look after the `slow` next ones."""

    def __init__(self, slow: int) -> None:
        self._slow = slow
        self._topics: dict[str, object] = {}
        self.looks = 0

    def list_topics(self, timeout: float) -> Any:
        assert timeout > 0
        self.looks += 1
        shown = self._topics if self.looks > self._slow + 1 else {}
        return SimpleNamespace(topics=shown)

    def create_topics(self, topics: list[NewTopic]) -> Mapping[str, "Future[None]"]:
        done: Future[None] = Future()
        done.set_result(None)
        self._topics = {topic.topic: topic for topic in topics}
        return dict.fromkeys(self._topics, done)


def created(monkeypatch: pytest.MonkeyPatch, broker: SlowBroker) -> list[str]:
    monkeypatch.setattr(broker_topics, "SHOW_SECONDS", 0.0)
    monkeypatch.setattr(broker_topics, "admin_client", lambda _: broker)
    monkeypatch.setattr(broker_topics, "_denial", lambda _: None)
    return broker_topics.create_topics(ServerSettings())


def test_topics_are_created_when_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is started after the command finds them."""
    broker = SlowBroker(3)

    assert len(created(monkeypatch, broker)) == len(TOPICS)
    assert broker.looks == 1 + 3 + 1


def test_topics_that_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends, and names them."""
    monkeypatch.setattr(broker_topics, "TIMEOUT_SECONDS", 0.01)

    with pytest.raises(UnreachableError, match=f"does not show .*{TOPICS[0].name}"):
        created(monkeypatch, SlowBroker(10**9))


async def test_a_broker_that_does_not_respond(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is accepted and never answered is given up, and the worker can try again."""
    monkeypatch.setattr(topic_identity, "TIMEOUT_SECONDS", 0.2)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(UnreachableError, match=f"Kafka at 127.0.0.1:{port} does not respond"):
            await topic_identity.identify(
                ServerSettings(kafka_bootstrap=f"127.0.0.1:{port}"), ["x"]
            )


ROOT = Path(__file__).parents[2]

ADMIN_REQUESTS = re.compile(r"\.(describe_\w+|list_(?!topics|groups\()\w+|alter_\w+)\(")


def test_no_process_that_stays_makes_admin_requests() -> None:
    """librdkafka aborts the process if one times out and is answered while the client is being closed."""
    modules = [path for side in ("processors", "producers") for path in (ROOT / side).rglob("*.py")]

    assert [path.name for path in modules if ADMIN_REQUESTS.search(path.read_text("utf-8"))] == []
