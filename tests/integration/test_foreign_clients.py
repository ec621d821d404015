"""Senders with other people's clients: what they write by default is read as it was meant.

Each is a program of its own in tests/foreign. One is skipped if its toolchain is missing, or if its
packages can be had neither from a cache nor from a registry.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, murmur2
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.fix_stack import Site, eventually, headers
from tests.integration.test_strange_records import settled

FOREIGN = Path(__file__).parents[1] / "foreign"

COMPANIES: list[dict[str, Any]] = [
    {
        "siren": "732829320",
        "nom": "Crêperie de l’Œuvre",
        "code_postal": "35000",
        "adresse": None,
    },
    {"siren": "552100554", "nom": "北京 & Fils", "code_postal": None, "adresse": "été " * 200},
    {"siren": "005520135", "nom": "Zéros", "code_postal": "01000", "adresse": ""},
    *(
        {"siren": f"{number:09d}", "nom": f"N° {number}", "code_postal": None, "adresse": None}
        for number in range(1, 500)
    ),
]


def missing(program: str) -> str:
    return f"{program} is not on this machine: its clients are not tried"


def ran(*argv: str | Path, folder: Path, text: str = "", **environment: str) -> None:
    done = subprocess.run(
        list(map(str, argv)),
        cwd=folder,
        input=text,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def packages(*argv: str | Path, folder: Path) -> None:
    """Gets the packages of a sender, or skips the test."""
    try:
        ran(*argv, folder=folder)
    except AssertionError as error:
        pytest.skip(f"packages of {folder.name} cannot be had: {str(error)[-300:]}")


def kafkajs(site: Site, folder: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip(missing("Node.js"))
    copy = shutil.copytree(FOREIGN / "kafkajs", folder / "kafkajs")
    packages(npm, "ci", "--no-audit", "--no-fund", "--prefer-offline", folder=copy)
    ran(node, "publish.js", folder=copy, text=json.dumps(COMPANIES), **site.environment)


def franz_go(site: Site, folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip(missing("Go"))
    program = folder / "franz"
    packages(go, "build", "-o", program, ".", folder=FOREIGN / "franz")
    ran(program, folder=folder, text=json.dumps(COMPANIES), **site.environment)


def avro_serializer(site: Site, _: Path) -> None:
    topic = f"{site.prefix}rows.entreprise"
    producer = Producer(
        {
            "bootstrap.servers": site.environment["FOX_KAFKA_BOOTSTRAP"],
            "partitioner": "murmur2_random",
            "compression.type": "zstd",
        }
    )
    context = SerializationContext(topic, MessageField.VALUE)
    settings = {"auto.register.schemas": False, "use.latest.version": True}
    with SchemaRegistryClient({"url": site.environment["FOX_SCHEMA_REGISTRY_URL"]}) as registry:
        latest = registry.get_latest_version(f"{topic}-value").schema
        serialize = AvroSerializer(registry, latest, conf=settings)
        for company in COMPANIES:
            row = {**company, "observed_at": datetime(2025, 1, 1, 12, tzinfo=UTC)}
            value = serialize(row, context)
            producer.produce(topic, value, company["siren"], headers={"sender": "confluent"})
    assert producer.flush(30) == 0


SENDERS: Mapping[str, Callable[[Site, Path], None]] = {
    "kafkajs": kafkajs,
    "franz-go": franz_go,
    "confluent": avro_serializer,
}


@pytest.mark.parametrize("name", SENDERS)
def test_a_sender(site: Site, tmp_path: Path, name: str) -> None:
    """Its rows are in their keys' partitions and in the table, with all they say, and none is a reject."""
    site.worker()

    SENDERS[name](site, tmp_path)

    sent = site.messages("rows.entreprise")
    assert {headers(message)["sender"].decode() for message in sent} == {name}
    assert len(sent) == len(COMPANIES)
    for message in sent:
        assert message.partition() == murmur2(message.key(), 4)
    eventually(lambda: settled(site))
    assert site.query("SELECT faults FROM ingest.rejects") == []
    assert site.query(
        "SELECT siren, nom, code_postal, adresse FROM enterprise_entreprise ORDER BY siren"
    ) == [
        (
            company["siren"],
            company["nom"],
            company["code_postal"] or "",
            company["adresse"] or "",
        )
        for company in sorted(COMPANIES, key=lambda company: str(company["siren"]))
    ]
