"""A worker process: checks its surroundings, runs its agents, ends in order."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
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


STOP_SECONDS = 9.0
"""Longest orderly end. aiokafka's consumer does not stop while Kafka is away: its fetcher's close
raises CancelledError, and Faust then waits for its thread for ever. Nothing is lost by leaving it:
what is not committed is the successor's."""


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
                try:
                    await asyncio.gather(*(app.start() for app in apps))
                except KafkaConnectionError as error:
                    raise _told(error) from error
                log.info("worker started", action="worker_started", kinds=list(kinds))
                while not stop.is_set() and not any(app.should_stop for app in apps):
                    await asyncio.sleep(0.1)
            finally:
                _end_in_time(apps)
                await asyncio.gather(*(app.stop() for app in apps))
                server.shutdown()
                server.server_close()
    for app in apps:
        if app.crash_reason is not None:
            raise _told(app.crash_reason) from app.crash_reason
    log.info("worker stopped", action="worker_stopped")


def _end_in_time(apps: Sequence[Any]) -> None:
    """Ends the process if it does not end in order."""

    def end() -> None:
        crashes = [app.crash_reason for app in apps if app.crash_reason is not None]
        log.error("worker ends without its consumers", action="stop_abandoned")
        os._exit(_told(crashes[0]).exit_code if crashes else 0)

    last_resort = threading.Timer(STOP_SECONDS, end)
    last_resort.daemon = True
    last_resort.start()


_AWAY = OperationalError | PoolTimeout | TimeoutError | KafkaConnectionError | KafkaTimeoutError


def _told(reason: BaseException) -> WorkerError:
    """What a crash is to whoever started the worker."""
    if isinstance(reason, WorkerError):
        return reason
    if isinstance(reason, _AWAY):
        return UnreachableError(f"a server went away: {reason!r}")
    return WorkerError(f"the worker crashed: {reason!r}")
