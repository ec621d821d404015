"""The NAF file: from a file that an operator can edit to PostgreSQL and to the workers."""

import csv
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from processors.database.connection import connect
from processors.database.queries import load
from processors.errors import ConfigurationError, UnreachableError
from processors.kafka.broker_topics import TIMEOUT_SECONDS, configuration, unreachable
from processors.settings import Settings
from schemas.codec.framing import Encoder
from schemas.codec.framing import load as load_schema
from schemas.runtime.registry import Registry
from schemas.topics import REFERENCE_NAF

_SQL = load("processors.operator", "naf_reference.sql")

HEADER = ("naf_code", "libelle", "sous_categorie")

_CODE = re.compile(r"[0-9]{2}\.[0-9]{2}[A-Z]")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Activity(NamedTuple):
    """An activity's label, and the slug of its sub-category on the site."""

    label: str
    slug: str


def shipped() -> Path:
    """The 732 activities of NAF rev. 2 (INSEE) with the site's trades."""
    return Path(str(resources.files("schemas"))) / "reference" / "naf.csv"


def read(path: Path) -> Mapping[str, Activity]:
    """Activities by code. Raises ConfigurationError, with the line that is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            if tuple(next(rows, ())) != HEADER:
                raise ConfigurationError(f"{path}, line 1: the columns are {', '.join(HEADER)}")
            found: dict[str, Activity] = {}
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                code, activity = _checked(where, row)
                if code in found:
                    raise ConfigurationError(f"{where}: {code} is there twice")
                found[code] = activity
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not found:
        raise ConfigurationError(f"{path} has no activity")
    return found


def _checked(where: str, row: list[str]) -> tuple[str, Activity]:
    if len(row) != len(HEADER):
        raise ConfigurationError(f"{where}: {len(row)} cells, not {len(HEADER)}")
    code, label, slug = map(str.strip, row)
    if not _CODE.fullmatch(code):
        raise ConfigurationError(f"{where}: {code!r} is no NAF code such as 62.01Z")
    if not label or "\0" in label:
        raise ConfigurationError(f"{where}: {code} has no label")
    if not _SLUG.fullmatch(slug):
        raise ConfigurationError(f"{where}: {slug!r} is no slug of a sub-category")
    return code, Activity(label, slug)


def publish(settings: Settings, registry: Registry, activities: Mapping[str, Activity]) -> int:
    """Makes PostgreSQL and the topic contain exactly these; returns how many were removed.

    The topic first: an interrupted run has to be repeated. One at a time, so that the topic and the
    table end with the same file.
    """
    with connect(settings.database_url.get_secret_value()) as connection:
        connection.execute(_SQL["alone"])
        stored: dict[str, str] = dict(connection.execute(_SQL["stored"]).fetchall())
        removed = stored.keys() - activities.keys()
        changed = {code for code, each in activities.items() if stored.get(code) != each.slug}
        _send(settings, registry, activities, removed)
        connection.execute(
            _SQL["store"],
            {
                "codes": list(activities),
                "labels": [activity.label for activity in activities.values()],
                "slugs": [activity.slug for activity in activities.values()],
            },
        )
        connection.execute(_SQL["remove"], {"codes": list(activities)})
        connection.execute(_SQL["arrived"], {"codes": sorted(changed | removed)})
    return len(removed)


def _send(
    settings: Settings, registry: Registry, activities: Mapping[str, Activity], removed: set[str]
) -> None:
    topic, record = settings.topic_prefix + REFERENCE_NAF.name, str(REFERENCE_NAF.record)
    encoder = Encoder(record, registry.schema_id(f"{topic}-value", load_schema(record)))
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer(
        {
            **configuration(settings),
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "on_delivery": delivered,
        }
    )
    try:
        for code, activity in activities.items():
            value = encoder.encode({"libelle": activity.label, "sous_categorie": activity.slug})
            producer.produce(topic, value, code)
        for code in removed:
            producer.produce(topic, None, code)
    except KafkaException as error:
        raise unreachable(settings, error) from error
    if producer.flush(3 * TIMEOUT_SECONDS) or failures:
        raise UnreachableError(f"Kafka at {settings.kafka_bootstrap} did not take the reference")
