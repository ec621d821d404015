"""How the gateway logs: one line per event on stderr, fields as key=value, or JSON in a container."""

import logging
import sys

import structlog

# Fields of producers.kafka. It logs through the standard library: the command line loads it, and
# structlog, which loads rich, would take longer to load than a small import takes.
_KAFKA_FIELDS = structlog.stdlib.ExtraAdder(["action", "error", "import_id"])


def configure() -> None:
    """structlog for the gateway, and through it what other modules send to the standard library."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _KAFKA_FIELDS],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.dev.ConsoleRenderer(colors=False)
                if sys.stderr.isatty()
                else structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("librdkafka").setLevel(logging.ERROR)
    logging.getLogger("httpx").setLevel(logging.WARNING)
