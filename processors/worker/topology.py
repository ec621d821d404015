"""The topology: all agents, the topics that they read, and their resources.

Each kind of agent is a Faust app with a consumer group of its own: a failure of one never revokes the
partitions of another. One process may run several kinds.
"""

import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import faust
from faust.types import TP
from yarl import URL

from processors import metrics
from processors.database.pool import Pool
from processors.imports.log_guard import LogGuard
from processors.imports.record_mirror import RecordMirror
from processors.imports.tracker import Publish, Tracker
from processors.jobs.scheduler import Scheduler
from processors.kafka.consumer import BatchTransport
from processors.kafka.credentials import credentials
from processors.kafka.producer import Send, sender
from processors.kafka.tables import Tables
from processors.kafka.topic_identity import Identity, identify
from processors.monitoring import gauges
from processors.monitoring.health import Health
from processors.monitoring.lag import Lag
from processors.monitoring.overview_counts import Counting, Topics
from processors.rows.accounting.positions import StoredPositions
from processors.rows.accounting.reject_limit import RejectLimit
from processors.rows.merge.naf_table import Naf
from processors.rows.merge.targets import TARGETS, Target
from processors.rows.outbox import Outbox
from processors.rows.parking.category_table import CategoryTable
from processors.rows.parking.parked_rows import ChildType
from processors.rows.sweeps.page_sweep import resolve_pages
from processors.rows.sweeps.parked_sweep import ParkedSweep
from processors.rows.upstream_lineage import UpstreamLineage
from processors.rows.writer import RelatedTypes, RowWriter, Validator, WriterResources
from processors.settings import Settings
from processors.texts import stage_config
from processors.texts.model.budgets import Budgets
from processors.texts.requests.intake import Requests, Results
from processors.texts.requests.publisher import StoredPublisher
from processors.texts.stage import CaughtUp, Parts, Stage
from processors.worker.schema_watch import SubjectEncoder
from schemas.codec.framing import AnyDecoder, Decoder, Encoder, RowDecoder, load
from schemas.codec.schema import SchemaUnknownError
from schemas.import_types import CATEGORIE, ENTREPRISE, SOUS_CATEGORIE, ImportType
from schemas.runtime.registry import Registry
from schemas.runtime.traces import BatchSpans
from schemas.topics import (
    CATEGORIES,
    ENRICHMENT,
    ENRICHMENT_RESULTS,
    IMPORT_EVENTS,
    IMPORT_LOG,
    MIRRORED,
    REFERENCE_NAF,
    REJECT_MAX_BYTES,
    STATS,
    Topic,
)

Watched = TypeVar("Watched", bound=AnyDecoder)

SEEK_SESSIONS = 2
"""Longest seek, in session timeouts: locks of a dead worker are released before."""

METADATA_SECONDS = 5
"""Interval of refreshing the topics' metadata. A worker that started with the broker may know no partitions."""

FETCH_ROWS = 2000
"""The most records of one fetch: memory is limited by the number of batches."""

EVERY_MINUTE = "* * * * *"
"""A cron expression. The lease decides who runs a job, not Faust's leader: docs/decisions/0010."""


@dataclass(frozen=True)
class World:
    """Resources that the agents of one process share."""

    settings: Settings
    pool: Pool
    registry: Registry
    identities: Mapping[str, Identity]
    health: Health = field(default_factory=Health)
    spans: BatchSpans = field(default_factory=partial(BatchSpans, None))
    decoders: list[AnyDecoder] = field(default_factory=list)
    writers: list[SubjectEncoder] = field(default_factory=list)

    def name(self, topic: Topic) -> str:
        return self.settings.topic_prefix + topic.name

    def row_topics(self, import_type: ImportType) -> tuple[str, str]:
        """Of files and of upstream systems."""
        return self.name(import_type.file_topic), self.name(import_type.topic)

    def reads(self, topic: Topic) -> str:
        """The name of a topic that an agent of this worker reads; creates its metrics."""
        name = self.name(topic)
        metrics.LAST_COMMIT.labels(name).set_to_current_time()
        metrics.TOPIC_PARTITIONS.labels(name).set(self.identities[name].partitions)
        return name

    def encoder(self, topic: Topic) -> Encoder:
        """Writes values of `topic`, under the id that its schema is registered with."""
        assert topic.record is not None  # noqa: S101 - of topics of our own making
        subject = f"{self.name(topic)}-value"
        schema_id = self.registry.schema_id(subject, load(topic.record))
        encoder = Encoder(topic.record, schema_id)
        self.writers.append(SubjectEncoder(subject, topic.record, encoder))
        return encoder

    def decoder(self, topic: Topic) -> Decoder:
        return self._watched(Decoder, topic)

    def row_decoder(self, topic: Topic) -> RowDecoder:
        return self._watched(RowDecoder, topic)

    def _watched(self, kind: type[Watched], topic: Topic) -> Watched:
        """Knows the newest schema of its topic from the start, if it is registered."""
        assert topic.record is not None  # noqa: S101 - of topics of our own making
        own_id = None
        with suppress(SchemaUnknownError):
            subject = f"{self.name(topic)}-value"
            own_id = self.registry.schema_id(subject, load(topic.record))
        decoder = kind(topic.record, self.registry, own_id)
        self.decoders.append(decoder)
        return decoder


def rows(world: World) -> faust.App:
    """Row topics → PostgreSQL → rejects, and progress as events."""
    app = _app(world, "rows")
    outbox = Outbox(
        world.pool,
        sender(app),
        world.encoder(IMPORT_EVENTS),
        world.settings.topic_prefix,
        lambda: app.consumer.assignment(),
    )
    app.task(outbox.run)
    validators = _validators(world)
    categories = CategoryTable(
        app,
        world.name(CATEGORIES),
        world.identities[world.name(CATEGORIES)].partitions,
        world.pool,
        sender(app),
    )
    children = ChildType(
        TARGETS[SOUS_CATEGORIE.name],
        world.row_topics(SOUS_CATEGORIE),
        validators[SOUS_CATEGORIE.name],
    )
    naf = Naf(
        app,
        world.name(REFERENCE_NAF),
        world.decoder(REFERENCE_NAF),
        world.settings.naf_primary,
    )
    companies = replace(
        TARGETS[ENTREPRISE.name],
        computed=("naf_first", "naf_other", "own_libelle"),
        compute=naf.activities,
        ready=naf.ready,
    )
    head_offices = ChildType(
        companies,
        world.row_topics(ENTREPRISE),
        validators[ENTREPRISE.name],
        world.settings.parked_rows,
    )
    for waiting in (children, head_offices):
        app.task(_sweep(world, waiting, outbox, lambda: app.consumer.assignment()).run)
    app.task(partial(resolve_pages, world.pool))
    types = {topic: name for name, topics in _row_topics(world).items() for topic in topics}
    parked = partial(gauges.look_at_parked, world.pool, lambda: app.consumer.assignment(), types)
    app.task(partial(gauges.watch, parked))
    related_types = {
        CATEGORIE.name: RelatedTypes(children, categories),
        SOUS_CATEGORIE.name: RelatedTypes(None, categories),
        ENTREPRISE.name: RelatedTypes(head_offices),
    }
    for name, target in {**TARGETS, ENTREPRISE.name: companies}.items():
        related = related_types.get(name, RelatedTypes())
        kind = target.import_type
        for topic, upstream in ((kind.file_topic, None), (kind.topic, UpstreamLineage())):
            writer = _writer(world, target, validators[name], outbox, related, upstream)
            _drain(app, world.reads(topic), writer.run)
    return app


def _row_topics(world: World) -> dict[str, tuple[str, str]]:
    return {name: world.row_topics(target.import_type) for name, target in TARGETS.items()}


def _sweep(
    world: World, children: ChildType, outbox: Outbox, assignment: Callable[[], Iterable[TP]]
) -> ParkedSweep:
    return ParkedSweep(world.pool, children, outbox, assignment, world.settings.sweep_seconds)


def _validators(world: World) -> dict[str, Validator]:
    """By import type."""
    return {
        name: Validator(
            target.import_type,
            world.row_decoder(target.import_type.topic),
            world.identities[world.name(target.import_type.topic)].partitions,
            world.settings.import_luhn,
        )
        for name, target in TARGETS.items()
    }


def _writer(
    world: World,
    target: Target,
    validate: Validator,
    outbox: Outbox,
    related: RelatedTypes,
    upstream: UpstreamLineage | None = None,
) -> RowWriter:
    limit = RejectLimit(world.settings.reject_limit)
    resources = WriterResources(world.pool, outbox, world.spans)
    return RowWriter(
        target, validate, resources, world.settings.batch_rows, limit, related, upstream
    )


def imports(world: World) -> faust.App:
    """Events of imports → their states in PostgreSQL → the compacted log, which is read back.

    Also the mirror of what only Kafka has, and counts of everything for the overview.
    """
    app = _app(world, "imports")
    send, events = sender(app), world.reads(IMPORT_EVENTS)

    async def publish(key: bytes, value: bytes | None) -> int:
        return await send(world.name(IMPORT_LOG), key, value, [])

    def assigned() -> list[TP]:
        return [tp for tp in app.consumer.assignment() if tp.topic == events]

    tracker = _tracker(world, publish, assigned)
    app.task(tracker.follow)
    app.task(partial(gauges.watch, partial(gauges.look_at_imports, world.pool, assigned)))
    _drain(app, events, tracker.run)
    app.task(_counting(world, app, send).run)
    look = Scheduler(world.settings, partial(datetime.now, UTC)).look
    app.task(look)  # for times that were missed while no worker ran
    app.crontab(EVERY_MINUTE)(look)
    _drain(app, world.reads(IMPORT_LOG), LogGuard(world.decoder(IMPORT_LOG), world.pool).run)
    for topic in MIRRORED:
        _drain(app, world.reads(topic), RecordMirror(topic, world.decoder(topic), world.pool).run)
    return app


def _tracker(world: World, publish: Publish, assigned: Callable[[], Iterable[TP]]) -> Tracker:
    return Tracker(
        world.decoder(IMPORT_EVENTS),
        world.encoder(IMPORT_LOG),
        world.pool,
        publish,
        assigned,
        _row_topics(world),
        world.settings.reader_gone_seconds,
    )


def _counting(world: World, app: faust.App, send: Send) -> Counting:
    """Counts by the worker to which the first partition of the events is assigned."""
    first = TP(world.name(IMPORT_EVENTS), 0)

    async def publish(key: bytes, value: bytes) -> None:
        await send(world.name(STATS), key, value, [])

    names = _row_topics(world)
    return Counting(
        world.pool,
        Topics(
            names,
            {topic: world.identities[topic].partitions for topic in chain(*names.values())},
            lambda *tps: app.consumer.highwaters(*tps),
        ),
        world.encoder(STATS),
        publish,
        lambda: first in app.consumer.assignment(),
        {"day_limit": world.settings.ai_budget_day, "month_limit": world.settings.ai_budget_month},
        world.settings.ai_texts_per_hour(),
    )


def enrichment(world: World) -> faust.App:
    """Requests for texts → PostgreSQL → the language model → the site's tables, and answers kept."""
    app = _app(world, "enrichment")
    requests, results = world.reads(ENRICHMENT), world.reads(ENRICHMENT_RESULTS)
    partitions = world.identities[results].partitions

    async def ends() -> Mapping[int, int]:
        found = await app.consumer.highwaters(*(TP(results, p) for p in range(partitions)))
        return {tp.partition: end for tp, end in found.items()}

    caught_up = CaughtUp(results, ends)
    publisher = StoredPublisher(
        world.pool,
        sender(app),
        (requests, world.encoder(ENRICHMENT)),
        (results, world.encoder(ENRICHMENT_RESULTS)),
        caught_up.published,
        partitions,
    )
    budgets = Budgets(world.settings.ai_budgets())
    terms = stage_config.terms(world.settings, budgets)
    parts = Parts(
        world.pool,
        stage_config.provider(world.settings),
        terms,
        publisher,
        caught_up,
        stage_config.batch_terms(terms),
        world.settings.ai_batch_seconds,
        budgets,
    )
    app.task(Stage(parts).run)
    _drain(app, requests, Requests(world.decoder(ENRICHMENT), world.pool).run)
    _drain(app, results, Results(world.decoder(ENRICHMENT_RESULTS), world.pool).run)
    return app


KINDS: Mapping[str, Callable[[World], faust.App]] = {
    "rows": rows,
    "imports": imports,
    "enrichment": enrichment,
}


def _app(world: World, kind: str) -> faust.App:
    settings = world.settings
    app = faust.App(
        settings.topic_prefix + kind,
        broker_credentials=credentials(settings),
        broker=[URL(f"aiokafka://{broker}") for broker in settings.kafka_bootstrap.split(",")],
        datadir=Path(tempfile.gettempdir()) / "foxstream",
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=settings.session_seconds / 5,
        broker_request_timeout=40.0,
        broker_max_poll_records=FETCH_ROWS,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_SECONDS * 1000,
        producer_acks=-1,
        producer_max_batch_size=256 << 10,  # one of a partition is under way at a time
        producer_max_request_size=REJECT_MAX_BYTES,
        stream_wait_empty=False,
        TableManager=Tables,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    positions = StoredPositions(world.pool, world.identities, partial(identify, settings))
    app.transport = BatchTransport(
        app.conf.broker,
        app,
        positions=positions,
        most_unwritten=3 * settings.batch_rows,  # what is written, what goes next, what comes
        seek_seconds=SEEK_SESSIONS * settings.session_seconds,
        halt_seconds=settings.halt_seconds,
    )
    lag = Lag(positions.read, lambda: app.consumer)
    app.task(lag.watch)
    world.health.watch(kind, lambda: app.consumer, lag)
    return app


def _drain(app: faust.App, topic: str, run: Callable[..., Awaitable[None]]) -> None:
    """An agent that passes the batches of `topic` to `run`."""
    channel = app.topic(
        topic,
        acks=False,
        key_serializer="raw",
        value_serializer="raw",
        key_type=None,
        value_type=None,
    )

    async def agent(stream: Any) -> None:
        await run(stream.noack().events(), app.consumer)

    app.agent(channel, name=f"{app.conf.id}.{topic}")(agent)
