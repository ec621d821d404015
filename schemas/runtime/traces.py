"""Spans for OpenTelemetry, where an endpoint is set: an import's publishing, a batch's writing.

Each record carries the context of its publishing in the header `traceparent` (W3C Trace Context). A
batch holds records of many imports and has a span of its own with a link to each (OpenTelemetry,
"Semantic conventions for messaging spans", whose attributes these are). What the endpoint requires
besides, such as a token, is set in the environment as OpenTelemetry documents it
(OTEL_EXPORTER_OTLP_HEADERS).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link

HEADER = "traceparent"

Headers = Sequence[tuple[str, bytes | None]]
"""Of a Kafka record."""

_EXPORT_SECONDS = 3.0
_LINKS = 128
"""As many as a span has by OpenTelemetry's own limit."""


@contextmanager
def publishing(endpoint: str | None, topic: str, import_id: str) -> Iterator[Headers | None]:
    """The headers for the records published meanwhile; None without an endpoint.

    The span is sent at the end, for which _EXPORT_SECONDS are waited at most.
    """
    if endpoint is None:
        yield None
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    provider = _provider(endpoint, "foxstream")
    try:
        with _span(
            provider,
            "send",
            topic,
            {"foxstream.import.id": import_id},
            kind=SpanKind.PRODUCER,
        ):
            carrier: dict[str, str] = {}
            TraceContextTextMapPropagator().inject(carrier)
            yield [(HEADER, carrier[HEADER].encode())]
    finally:
        provider.shutdown()


class BatchSpans:
    """Spans of a process that writes batches. Without an endpoint, nothing is loaded or read."""

    def __init__(self, endpoint: str | None) -> None:
        self._provider = None if endpoint is None else _provider(endpoint, "foxstream-worker")

    @contextmanager
    def writing(
        self, topic: str, partition: int, offset: int, found: Iterable[Headers]
    ) -> Iterator[None]:
        """A span around the writing of a batch whose first offset and records' headers are given."""
        if self._provider is None:
            yield
            return
        from opentelemetry.trace import SpanKind

        headers = list(found)
        with _span(
            self._provider,
            "process",
            topic,
            {
                "messaging.destination.partition.id": str(partition),
                "messaging.kafka.offset": offset,
                "messaging.batch.message_count": len(headers),
            },
            kind=SpanKind.CONSUMER,
            links=list(_links(headers)),
        ):
            yield

    def close(self) -> None:
        """Sends what is left, for _EXPORT_SECONDS at most."""
        if self._provider is not None:
            self._provider.shutdown()


@contextmanager
def _span(
    provider: "TracerProvider", operation: str, topic: str, attributes: dict[str, Any], **more: Any
) -> Iterator[None]:
    """An exception ends it by its kind alone: what it says may quote rows."""
    from opentelemetry.trace import StatusCode

    attributes |= {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }
    with provider.get_tracer(__name__).start_as_current_span(
        f"{operation} {topic}",
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
        **more,
    ) as span:
        try:
            yield
        except Exception as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise


def _links(found: Iterable[Headers]) -> "Iterator[Link]":
    """One a context, in the order of their first records; what is no context is passed over."""
    from opentelemetry.trace import Link, get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    contexts = dict.fromkeys(
        value for headers in found for name, value in headers if name == HEADER and value
    )
    for value in list(contexts)[:_LINKS]:
        carrier = {HEADER: value.decode(errors="replace")}
        context = get_current_span(
            TraceContextTextMapPropagator().extract(carrier)
        ).get_span_context()
        if context.is_valid:
            yield Link(context)


def _provider(endpoint: str, service: str) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.version": version("foxstream")})
    )
    url = endpoint.rstrip("/") + "/v1/traces"
    exporter = OTLPSpanExporter(url, timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
