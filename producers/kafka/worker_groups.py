"""Which consumer groups of the workers have no member."""

from collections.abc import Sequence
from warnings import catch_warnings, simplefilter

from confluent_kafka import KafkaException

from producers.kafka.broker import UnreachableError, configuration
from producers.settings import Settings


def absent_workers(settings: Settings, groups: Sequence[str] = ("rows", "imports")) -> list[str]:
    """Those of the worker groups that have no member. Raises UnreachableError."""
    from confluent_kafka.admin import AdminClient  # not on the way of an import that moves

    admin = AdminClient(configuration(settings))
    absent = []
    with catch_warnings():
        # What replaces list_groups aborts the process if no broker answers in time, which is
        # just when this is called: librdkafka #4605.
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
