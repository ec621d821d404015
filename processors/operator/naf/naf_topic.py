"""The compacted topic `reference.naf`, from which running workers take labels."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from processors.kafka import broker_topics
from processors.operator.naf.naf_files import Activity
from processors.settings import Settings
from schemas.codec.framing import Encoder, load
from schemas.runtime.registry import Registry
from schemas.topics import REFERENCE_NAF

Send = Callable[[Mapping[str, Activity], Iterable[str]], None]
"""Publishes activities by code, and removes codes."""


def sender(settings: Settings, registry: Registry) -> Send:
    """What publishes to the topic; it raises UnreachableError if Kafka has not taken everything."""
    topic, record = settings.topic_prefix + REFERENCE_NAF.name, str(REFERENCE_NAF.record)
    encoder = Encoder(record, registry.schema_id(f"{topic}-value", load(record)))

    def send(activities: Mapping[str, Activity], removed: Iterable[str]) -> None:
        def values() -> Iterator[tuple[str, bytes | None]]:
            for code, activity in activities.items():
                record = {"libelle": activity.label, "sous_categorie": activity.slug}
                yield code, encoder.encode(record)
            yield from ((code, None) for code in removed)

        broker_topics.publish(settings, ((topic, code, value) for code, value in values()))

    return send
