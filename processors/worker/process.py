"""A worker process: checks its surroundings, runs its agents, ends in order."""

import asyncio
import ctypes
import os
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, closing, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from processors import metrics
from processors.database.migrator import check_migrated
from processors.database.pool import AWAY, address, answers, open_pool
from processors.errors import ConfigurationError, UnreachableError, WorkerError
from processors.kafka import broker_topics
from processors.kafka.topic_identity import identify
from processors.monitoring import certificates
from processors.monitoring.certificates import Endpoint
from processors.monitoring.health import Health
from processors.monitoring.http import served
from processors.monitoring.server_checks import Ask, Servers
from processors.settings import Settings
from processors.worker.schema_watch import SchemaWatch
from processors.worker.topology import KINDS, World
from schemas.codec.schema import SchemaUnknownError
from schemas.runtime import error_reports
from schemas.runtime.registry import RegistryDeniedError, RegistryUnavailableError
from schemas.runtime.traces import BatchSpans
from schemas.topics import IMPORT_EVENTS, TOPICS

log = structlog.get_logger(__name__)

CONNECTIONS = 8
"""Most connections of one worker to PostgreSQL: a few partitions at a time, and the outbox."""


STOP_SECONDS = 9.0
"""Longest orderly end. aiokafka's consumer does not stop while Kafka is away: its fetcher's close
raises CancelledError, and Faust then waits for its thread forever. Nothing is lost by leaving it:
the successor processes what is not committed."""


# Against fragmentation of a worker's memory: glibc raises its mmap threshold to the megabytes of a
# batch, small allocations end up in between, and each thread has a heap of its own (mallopt(3)).
MALLOC_OPTIONS = {"M_MMAP_THRESHOLD": (-3, 256 * 1024), "M_ARENA_MAX": (-8, 1)}


async def run(settings: Settings, kinds: Sequence[str]) -> None:
    """Runs agents of these kinds until SIGTERM or SIGINT. Raises WorkerError if it cannot go on."""
    _keep_memory_whole()
    _configure_sentry(settings)
    database_url = settings.database_url.get_secret_value()
    check_migrated(database_url)
    names = [settings.topic_prefix + topic.name for topic in TOPICS]
    identities = await identify(settings, names)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    servers = Servers(_asks(settings))
    health = Health(servers.away)
    with (
        _served(settings, health) as port,
        closing(BatchSpans(settings.otlp_endpoint)) as spans,
        settings.registry() as registry,
    ):
        log.info("metrics are served", action="metrics_served", port=port)
        async with open_pool(database_url, CONNECTIONS, settings.session_seconds) as pool:
            world = World(settings, pool, registry, identities, health, spans)
            apps = _apps(world, kinds)
            schemas = SchemaWatch(registry, world.decoders, world.writers)
            try:
                async with _meanwhile(
                    health.run(),
                    servers.watch(),
                    certificates.watch(_endpoints(settings)),
                    schemas.run(),
                ):
                    try:
                        await _start(apps, stop)
                    except KafkaConnectionError as error:
                        raise _worker_error(error) from error
                    if not stop.is_set():
                        _begin(health, kinds)
                    while not stop.is_set() and not any(app.should_stop for app in apps):
                        if pool.replaced is not None:
                            await apps[0].crash(pool.replaced)
                        await asyncio.sleep(0.1)
            finally:
                _end_in_time(apps)
                await asyncio.gather(*(app.stop() for app in apps))
    for app in apps:
        if app.crash_reason is not None:
            raise _worker_error(app.crash_reason) from app.crash_reason
    log.info("worker stopped", action="worker_stopped")


async def _start(apps: Sequence[Any], stop: asyncio.Event) -> None:
    """Returns once all have started, or as soon as the worker has to stop: Kafka may be silent."""
    starting = asyncio.gather(*(app.start() for app in apps))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()


def _begin(health: Health, kinds: Sequence[str]) -> None:
    health.begin()
    for kind in kinds:
        metrics.KIND.labels(kind).set(1)
    log.info("worker started", action="worker_started", kinds=list(kinds))


def _keep_memory_whole() -> None:
    with suppress(AttributeError):  # of glibc alone
        for option, value in MALLOC_OPTIONS.values():
            ctypes.CDLL(None).mallopt(option, value)


def _served(settings: Settings, health: Health) -> AbstractContextManager[int]:
    return served(settings.metrics_address, settings.metrics_port, health)


def _configure_sentry(settings: Settings) -> None:
    try:
        error_reports.begin(settings.sentry_dsn, "worker")
    except ValueError as error:
        raise ConfigurationError(f"FOX_SENTRY_DSN is none: {error}") from error


def _asks(settings: Settings) -> Mapping[str, Ask]:
    """A check of each server, by clients that nothing else uses."""
    admin = broker_topics.admin_client(settings)
    topic = settings.topic_prefix + IMPORT_EVENTS.name
    registry = settings.registry()
    return {
        "kafka": partial(asyncio.to_thread, broker_topics.answers, admin, topic),
        "postgresql": partial(answers, settings.database_url.get_secret_value()),
        "registry": partial(asyncio.to_thread, registry.answers),
    }


def _endpoints(settings: Settings) -> Mapping[str, Endpoint]:
    """Endpoints that show certificates, by the server's name in the metrics."""
    registry = urlsplit(settings.schema_registry_url)
    found: dict[str, Endpoint] = {}
    if settings.kafka_security_protocol.endswith("SSL"):
        kafka = urlsplit(f"//{settings.kafka_bootstrap.split(',')[0]}")
        found["kafka"] = Endpoint(kafka.hostname or "", kafka.port or 9092)
    if registry.scheme == "https" and registry.hostname:
        found["registry"] = Endpoint(registry.hostname, registry.port or 443)
    if database := address(settings.database_url.get_secret_value()):
        found["postgresql"] = Endpoint(*database, certificates.ask_postgresql)
    return found


@asynccontextmanager
async def _meanwhile(*watches: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs endless tasks for as long as the block lasts."""
    tasks = [asyncio.create_task(watch) for watch in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _apps(world: World, kinds: Sequence[str]) -> Sequence[Any]:
    try:
        return [KINDS[kind](world) for kind in kinds]
    except RegistryDeniedError as error:
        raise ConfigurationError(str(error)) from error
    except RegistryUnavailableError as error:
        raise UnreachableError(str(error)) from error
    except SchemaUnknownError as error:
        raise ConfigurationError(f"{error}: run 'foxstream-worker schemas register'") from error


def _end_in_time(apps: Sequence[Any]) -> None:
    """Ends the process if it does not end in order."""

    def end() -> None:
        crashes = [app.crash_reason for app in apps if app.crash_reason is not None]
        log.error("worker ends without its consumers", action="stop_abandoned")
        os._exit(_worker_error(crashes[0]).exit_code if crashes else 0)

    last_resort = threading.Timer(STOP_SECONDS, end)
    last_resort.daemon = True
    last_resort.start()


_AWAY = (*AWAY, TimeoutError, KafkaConnectionError, KafkaTimeoutError)


def _worker_error(reason: BaseException) -> WorkerError:
    """The error with which a crashed worker ends."""
    if isinstance(reason, WorkerError):
        return reason
    if isinstance(reason, _AWAY):
        return UnreachableError(f"a server went away: {reason!r}")
    return WorkerError(f"the worker crashed: {reason!r}")
