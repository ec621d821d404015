"""Whether the ids of schemas still mean what this worker takes them for.

A registry that is restored from a backup gives ids that it had given away once more, to other schemas.
Nothing in a record says which of the two is meant; the registry's answer of today is the right one
for what is published today.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from processors.kafka.schema_lookups import looked_up
from schemas.codec.framing import AnyDecoder, Encoder, load
from schemas.codec.schema import SchemaUnknownError
from schemas.runtime.registry import Registry, RegistryUnavailableError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0


@dataclass(frozen=True)
class SubjectEncoder:
    """An encoder, and the subject and record of its schema."""

    subject: str
    record: str
    encoder: Encoder


class SchemaWatch:
    """Asks again for what `decoders` and `writers` know; both may grow."""

    def __init__(
        self, registry: Registry, decoders: Iterable[AnyDecoder], writers: Iterable[SubjectEncoder]
    ) -> None:
        self._registry = registry
        self._decoders = decoders
        self._writers = writers

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await looked_up(self.look)

    def look(self) -> None:
        """Takes over what has changed, and logs it. A registry that is away changes nothing."""
        try:
            for decoder in list(self._decoders):
                for schema_id in decoder.recheck():
                    log.error(
                        "a schema id means something else than before: was the registry restored?",
                        action="schema_changed", schema_id=schema_id,
                    )  # fmt: skip
            for writing in list(self._writers):
                self._look_at(writing)
        except RegistryUnavailableError as error:
            log.info("schemas are not checked", action="schemas_unchecked", reason=str(error))

    def _look_at(self, writing: SubjectEncoder) -> None:
        try:
            schema_id = self._registry.schema_id(writing.subject, load(writing.record))
        except SchemaUnknownError:
            log.warning(
                "the registry has lost a schema: foxstream-worker schemas register",
                action="schema_lost", subject=writing.subject,
            )  # fmt: skip
            return
        if schema_id != writing.encoder.schema_id:
            log.error(
                "a schema has another id than before: was the registry restored?",
                action="schema_changed", subject=writing.subject, schema_id=schema_id,
            )  # fmt: skip
            writing.encoder.schema_id = schema_id
