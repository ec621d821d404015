"""Topics and users for Strimzi, from schemas/topics.py and deploy/kafka/acls.csv."""

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from deploy.kafka.acls import Right, rights
from schemas.topics import TOPICS, Topic

BASE = Path(__file__).with_name("base")
PREFIX = "fox."
_HEADER = "# Written by python -m deploy.kubernetes: change {source} instead.\n"


def topics() -> str:
    """All topics. How many copies of each, the broker's settings say."""
    return _HEADER.format(source="schemas/topics.py") + _documents(map(_topic, TOPICS))


def users() -> str:
    """All users, with their rights."""
    found = groupby(rights(), key=lambda right: right.user)
    return _HEADER.format(source="deploy/kafka/acls.csv") + _documents(
        _user(name, list(own)) for name, own in found
    )


FILES: Mapping[Path, Callable[[], str]] = {
    BASE / "topics.yaml": topics,
    BASE / "users.yaml": users,
}


def _topic(topic: Topic) -> Mapping[str, Any]:
    spec = {"partitions": topic.partitions, "config": dict(topic.configuration())}
    return _resource("KafkaTopic", PREFIX + topic.name, spec)


def _user(name: str, own: Iterable[Right]) -> Mapping[str, Any]:
    acls = [
        {
            "resource": {
                "type": right.resource,
                "name": PREFIX + right.name,
                "patternType": "prefix" if right.pattern == "prefixed" else right.pattern,
            },
            "operations": list(right.operations),
        }
        for right in own
    ]
    authorization = {"type": "simple", "acls": acls}
    return _resource(
        "KafkaUser",
        name,
        {"authentication": {"type": "scram-sha-512"}, "authorization": authorization},
    )


def _resource(kind: str, name: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = {"name": name, "labels": {"strimzi.io/cluster": "fox"}}
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


def _documents(resources: Iterable[Mapping[str, Any]]) -> str:
    # JSON is YAML: no package is needed to write it.
    return "---\n".join(json.dumps(resource, indent=2) + "\n" for resource in resources)
