"""The connections of an import: publisher, registry and import log, opened early."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Self

from producers.imports.order import Reading
from producers.imports.window import Window
from producers.kafka.broker import ANSWER_SECONDS, NotReadyError
from producers.kafka.import_log import ImportLog
from producers.kafka.progress_log import ProgressLog
from producers.kafka.publisher import Publisher
from producers.kafka.reject_log import Reject, RejectLog
from producers.mappings.mapping_topic import forget, remember, remembered_now
from producers.settings import Settings
from schemas.codec.framing import Encoder, load
from schemas.codec.schema import SchemaUnknownError
from schemas.records import GatewayMapping, ImportState
from schemas.runtime import traces
from schemas.topics import GATEWAY_MAPPINGS, Topic


class Connections:
    """The connections that imports need, opened as early as possible and used as late as possible.

    `ask` is called before servers are asked something; `tick` as by Publisher.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        tick: Callable[[], None] = lambda: None,
        ask: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self.ask = ask
        # First, because librdkafka connects in the background.
        self.publisher = Publisher(settings, tick=tick)
        self.registry = settings.registry()
        self.log = ImportLog(settings, self.registry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.__exit__()
        self.registry.__exit__()

    def partition_counts(self, *topics: Topic) -> dict[str, int]:
        """As producers.kafka.broker.partition_counts."""
        return self.publisher.partition_counts([topic.name for topic in topics], ANSWER_SECONDS)

    def traced(
        self, topic: Topic, reading: Reading
    ) -> AbstractContextManager[traces.Headers | None]:
        """As schemas.runtime.traces.publishing, if the settings name an endpoint."""
        endpoint = self._settings.otlp_endpoint
        return traces.publishing(endpoint, self._settings.topic(topic.name), reading.import_id)

    def window(self, state: ImportState, *, small: bool) -> Window:
        """For rows of an import, before it is published."""
        progress = ProgressLog(self._settings, self.registry, state["id"])
        follows = not small or state["status"] == "PAUSED"
        if follows:
            progress.start_now()
        return Window(progress, self.log, state, follows=follows)

    def rejects(self, state: ImportState, patience_seconds: float) -> list[Reject]:
        """The lines of an import that were not written and that no child import has resolved."""
        with RejectLog(self._settings) as log:
            return list(log.read(state, patience_seconds))

    def remember(self, mapping: GatewayMapping) -> None:
        """Adds a mapping of columns to those that are offered. Raises as `encoder`, and ClusterError."""
        known = remembered_now(self._settings, self.registry)
        encoder = self.encoder(GATEWAY_MAPPINGS, str(GATEWAY_MAPPINGS.record))
        remember(mapping, known, self.publisher, encoder.encode)

    def forget(self, mapping_ids: Iterable[str]) -> None:
        """Removes remembered mappings. Raises ClusterError."""
        self.partition_counts(GATEWAY_MAPPINGS)
        forget(mapping_ids, self.publisher)

    def encoder(self, topic: Topic, record: str) -> Encoder:
        """For values of a topic.

        Raises NotReadyError if its schema is not registered, and RegistryUnavailableError.
        """
        subject = f"{self._settings.topic(topic.name)}-value"
        try:
            return Encoder(record, self.registry.schema_id(subject, load(record)))
        except SchemaUnknownError as error:
            raise NotReadyError(
                f"Le registre de schémas ne connaît pas le schéma de {subject} : lancez "
                "« foxstream-worker schemas »."
            ) from error
