"""How workers and the gateway log: one line per event on stderr, JSON unless that is a terminal."""

import logging
import sys

import structlog

# Fields of modules that log through the standard library: commands load them, and structlog, which
# loads rich, would take longer to load than a small import takes.
_FIELDS = structlog.stdlib.ExtraAdder(["action", "error", "import_id"])

_LEVELS = {
    **dict.fromkeys(("aiokafka", "faust", "httpx", "mode"), logging.WARNING),
    "librdkafka": logging.ERROR,
}
"""Of loggers that say too much at INFO."""


def configure() -> None:
    """structlog for our modules, and through it what others send to the standard library."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
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
            foreign_pre_chain=[*shared, _FIELDS],
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
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
