"""What the upstream account may not do, and schemas that cost their readers work."""

import json
from collections.abc import Callable, Iterable, Mapping
from threading import Event
from time import monotonic
from typing import Any

import httpx
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.codec.framing import load
from schemas.topics import TOPICS
from tests.attacks.scripts.attacker import Act, Attack, Attacker

_PAUSE = Event()
_EMPTY_BYTES = b"\0" * 7 + b"\xfe\xff\xff\xff\x0f" + b"\0" * 9


def _nested(levels: int) -> Any:
    kind: Any = "string"
    for _ in range(levels):
        kind = {"type": "array", "items": kind}
    return kind


_WIDE = {"type": "record", "name": "Wide", "fields": [{"name": f"f{n}", "type": "null"} for n in range(99)]
         + [{"name": "one", "type": "int"}]}  # fmt: skip
_KINDS: Mapping[str, Any] = {
    "nothing": {"type": "array", "items": "null"},
    "records of nothing": {
        "type": "array",
        "items": {"type": "record", "name": "Empty", "fields": []},
    },
    "much for one byte": {"type": "array", "items": _WIDE},
    "deep": _nested(500),
    "list": {
        "type": "record",
        "name": "List",
        "fields": [{"name": "next", "type": ["null", "List"]}],
    },
    "enormous": {"type": "enum", "name": "E", "symbols": [f"s{n}" for n in range(50_000)]},
}


def _registered(attacker: Attacker) -> list[int]:
    """Ids of the schemas that the registry takes."""
    ours, found = load("entreprise_row"), []
    with httpx.Client(base_url=attacker.registry, timeout=60, trust_env=False) as registry:
        for number, kind in enumerate(_KINDS.values()):
            schema = {**ours, "fields": [*ours["fields"], {"name": "more", "type": kind}]}
            answer = registry.post(
                f"/subjects/hostile-{number}/versions", json={"schema": json.dumps(schema)}
            )
            if answer.is_success:
                found.append(int(answer.json()["id"]))
    return found


def _schemas(attacker: Attacker) -> Act:
    """Values of those schemas, and of a thousand ids that the registry does not know."""
    ids = [*_registered(attacker), *range(10_000, 11_000)]
    producer = attacker.producer()
    key, _ = attacker.row(0)

    def act(until: float) -> Iterable[str]:
        if len(ids) < 1_000 + len(_KINDS) // 2:
            yield "the registry took hardly any of the schemas"
        while monotonic() < until:
            for schema_id in ids:
                value = b"\0" + schema_id.to_bytes(4, "big") + _EMPTY_BYTES
                producer.produce(attacker.companies.topic, value, key)
                producer.poll(0)
            _PAUSE.wait(3)
        producer.flush(30)

    return act


def _others(attacker: Attacker) -> Act:
    """Writes to each topic that is not its own, makes topics, and registers a schema."""
    producer = attacker.producer(**{"message.timeout.ms": 10_000})
    prefix = attacker.settings.topic_prefix
    taken: list[str] = []

    def note(name: str) -> Callable[[KafkaError | None, object], None]:
        return lambda error, _: taken.append(name) if error is None else None

    def act(until: float) -> Iterable[str]:
        names = {prefix + topic.name for topic in TOPICS} - {attacker.companies.topic}
        while monotonic() < until:
            for name in names:
                producer.produce(name, b"\0", b"k", on_delivery=note(name))
            producer.flush(20)
        yield from (f"the upstream account wrote to {name}" for name in sorted(set(taken)))
        admin = AdminClient({**attacker.settings.librdkafka(), "log_level": 0})
        for made in admin.create_topics([NewTopic(f"{prefix}hostile", 1)]).values():
            if made.exception() is None:
                yield "the upstream account made a topic"
        if _may_register(attacker):
            yield "the upstream account registered a schema"

    return act


def _may_register(attacker: Attacker) -> bool:
    settings = attacker.settings
    password = settings.kafka_security_password
    assert password is not None
    answer = httpx.post(
        f"{settings.schema_registry_url}/subjects/hostile/versions",
        json={"schema": '"string"'},
        auth=(settings.kafka_security_username or "", password.get_secret_value()),
        verify=settings.schema_registry_ca.as_posix() if settings.schema_registry_ca else True,
        trust_env=False,
    )
    return answer.is_success


ATTACKS = {"schemas": Attack(_schemas), "other-topics": Attack(_others)}
