"""A worker process: checks its surroundings, runs its agents, ends in order."""

import asyncio
import gc
import signal
from collections.abc import Sequence

import structlog
from aiokafka.errors import KafkaConnectionError
from prometheus_client import start_http_server
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from processors import cluster
from processors.app import KINDS, World
from processors.database.migrate import check_migrated
from processors.database.pool import open_pool
from processors.errors import ConfigurationError, UnreachableError, WorkerError
from processors.settings import Settings
from schemas.registry import Registry, RegistryUnavailableError, SchemaUnknownError
from schemas.topics import TOPICS

log = structlog.get_logger(__name__)

CONNECTIONS = 8
"""Most connections of one worker to PostgreSQL: a few partitions at a time, and what it tells."""


# Rows come and go by the thousand and refer to nothing in circles: with Python's own thresholds a
# third of the worker's time goes into looking for circles among them.
GARBAGE_THRESHOLDS = (200_000, 20, 50)


async def run(settings: Settings, kinds: Sequence[str]) -> None:
    """Runs agents of these kinds until SIGTERM or SIGINT. Raises WorkerError where it cannot go on."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    database_url = settings.database_url.get_secret_value()
    check_migrated(database_url)
    names = [settings.topic_prefix + topic.name for topic in TOPICS]
    identities = cluster.identify(settings.kafka_bootstrap, names)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server, _ = start_http_server(settings.metrics_port, settings.metrics_address)
    log.info("metrics are served", action="metrics_served", port=server.server_port)
    with Registry(settings.schema_registry_url) as registry:
        async with open_pool(database_url, CONNECTIONS) as pool:
            try:
                world = World(settings, pool, registry, identities)
                apps = [KINDS[kind](world) for kind in kinds]
            except RegistryUnavailableError as error:
                raise UnreachableError(str(error)) from error
            except SchemaUnknownError as error:
                raise ConfigurationError(
                    f"{error}: run 'foxstream-worker schemas register'"
                ) from error
            try:
                await asyncio.gather(*(app.start() for app in apps))
                log.info("worker started", action="worker_started", kinds=list(kinds))
                while not stop.is_set() and not any(app.should_stop for app in apps):
                    await asyncio.sleep(0.1)
            finally:
                await asyncio.gather(*(app.stop() for app in apps))
                server.shutdown()
                server.server_close()
    for app in apps:
        if app.crash_reason is not None:
            raise _told(app.crash_reason) from app.crash_reason
    log.info("worker stopped", action="worker_stopped")


def _told(reason: BaseException) -> WorkerError:
    """What a crash is to whoever started the worker."""
    if isinstance(reason, WorkerError):
        return reason
    if isinstance(reason, OperationalError | PoolTimeout | TimeoutError | KafkaConnectionError):
        return UnreachableError(f"a server went away: {reason!r}")
    return WorkerError(f"the worker crashed: {reason!r}")
