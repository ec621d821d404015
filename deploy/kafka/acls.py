"""Gives the users of foxstream the rights that acls.csv says, on a broker with an authorizer.

    python -m deploy.kafka.acls

The user of FOX_KAFKA_SECURITY_* must be allowed to alter the cluster. Names stand without the
prefix (FOX_TOPIC_PREFIX). A right that is there already stays; none is taken away.
"""

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports them without saying so
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from processors.kafka.broker_topics import TIMEOUT_SECONDS, admin_client
from schemas.runtime.server_settings import ServerSettings

FILE = Path(__file__).with_name("acls.csv")


class Right(NamedTuple):
    """A line of acls.csv; `operations` in Kafka's own spelling."""

    user: str
    resource: str
    pattern: str
    name: str
    operations: tuple[str, ...]


def rights() -> list[Right]:
    """All of acls.csv."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return [
            Right(user, resource, pattern, name, tuple(operations.split()))
            for user, resource, pattern, name, operations in islice(csv.reader(file), 1, None)
        ]


def bindings(prefix: str) -> Iterator[AclBinding]:
    """The rights as Kafka's client wants them."""
    for right in rights():
        for operation in right.operations:
            yield AclBinding(
                ResourceType[right.resource.upper()],
                prefix + right.name,
                ResourcePatternType[right.pattern.upper()],
                f"User:{right.user}",
                "*",
                AclOperation[_constant(operation)],
                AclPermissionType.ALLOW,
            )


def _constant(operation: str) -> str:
    """`DescribeConfigs` as `DESCRIBE_CONFIGS`."""
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in operation)[1:].upper()


def main() -> None:
    settings = ServerSettings()
    wanted = list(bindings(settings.topic_prefix))
    admin = admin_client(settings)  # held: without it the answers are lost
    for future in admin.create_acls(wanted).values():
        future.result(TIMEOUT_SECONDS)
    print(f"{len(wanted)} rights of {len({right.user for right in rights()})} users")  # noqa: T201


if __name__ == "__main__":
    main()
