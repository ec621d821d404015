"""How Kafka, the registry and PostgreSQL are reached, and what topics are called."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from shutil import copyfile
from typing import Any, cast

import producers.kafka.broker
from processors.kafka import broker_topics
from processors.kafka.credentials import credentials
from processors.kafka.topic_identity import Identity
from processors.settings import Settings
from processors.worker import topology
from processors.worker.process import _endpoints
from processors.worker.topology import World
from producers.settings import settings
from schemas.runtime.registry import RegistryDeniedError
from schemas.topics import IMPORT_EVENTS, TOPICS
from tests.effects.case import PRODUCERS, WORKER, Place, Proven, Seen
from tests.fix_secured import Authority, SecuredHttp
from tests.unit.test_validation import Registered


def world() -> World:
    """What a worker's agents share, without its servers."""
    nothing: Any = None
    registered: Any = Registered()
    names = [Settings().topic_prefix + topic.name for topic in TOPICS]
    return World(Settings(), nothing, registered, {name: Identity("c", "t", 4) for name in names})


def _librdkafka(*names: str) -> Iterator[tuple[tuple[str, ...], Callable[[Place], Any]]]:
    """Of each side, what its clients are told under these names."""
    worker = lambda _: [broker_topics.configuration(Settings()).get(name) for name in names]  # noqa: E731
    producer = lambda _: [producers.kafka.broker.configuration(settings()).get(n) for n in names]  # noqa: E731
    yield WORKER, worker
    yield PRODUCERS, producer


def _told(
    variable: str, name: str, value: str, before: str | None, after: str | None = None, **more: Any
) -> Iterator[Seen]:
    """Both sides' librdkafka is told the value under `name`."""
    for readers, see in _librdkafka(name):
        yield Seen(variable, readers, value, see, [before], [after or value], **more)


def _faust(see: Callable[[Any], Any]) -> Callable[[Place], Any]:
    """What Faust's own client, aiokafka, is told of credentials."""
    return lambda _: see(credentials(Settings()))


def _knows_the_authority(told: Any) -> bool:
    names = [str(known["subject"]) for known in told.context.get_ca_certs()]
    return any("trustme" in name for name in names)


PASSWORD = {"FOX_KAFKA_SECURITY_USERNAME": "u", "FOX_KAFKA_SECURITY_PASSWORD": "p"}
SASL = {"FOX_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", **PASSWORD}
TLS = {"FOX_KAFKA_SECURITY_PROTOCOL": "SSL"}
OWN = {
    **TLS,
    "FOX_KAFKA_SECURITY_CERTIFICATE": "{folder}/own.pem",
    "FOX_KAFKA_SECURITY_KEY": "{folder}/own.key",
}
REGISTRY = {
    "FOX_SCHEMA_REGISTRY_URL": "{registry}",
    "FOX_SCHEMA_REGISTRY_USERNAME": "u",
    "FOX_SCHEMA_REGISTRY_PASSWORD": "p",
}
TRUSTED = {**REGISTRY, "FOX_SCHEMA_REGISTRY_CA": "{folder}/ca.pem"}


def _kafka() -> Iterator[Seen]:
    yield from _told(
        "FOX_KAFKA_BOOTSTRAP", "bootstrap.servers", "other:1,third:2", "localhost:9092"
    )
    yield Seen(
        "FOX_KAFKA_BOOTSTRAP", WORKER, "other:1,third:2",
        lambda _: [str(url) for url in topology._app(world(), "rows").conf.broker],
        ["aiokafka://localhost:9092"], ["aiokafka://other:1", "aiokafka://third:2"],
    )  # fmt: skip
    yield from _told("FOX_KAFKA_SECURITY_PROTOCOL", "security.protocol", "SSL", "PLAINTEXT")
    yield Seen(
        "FOX_KAFKA_SECURITY_PROTOCOL", WORKER, "SSL",
        _faust(lambda told: told and told.protocol.value), None, "SSL",
    )  # fmt: skip
    for variable, name, before, value, attribute in (
        ("MECHANISM", "mechanism", "SCRAM-SHA-512", "SCRAM-SHA-256", "mechanism.value"),
        ("USERNAME", "username", "u", "claire", "username"),
        ("PASSWORD", "password", "p", "secret", "password"),
    ):
        full = f"FOX_KAFKA_SECURITY_{variable}"
        yield from _told(full, f"sasl.{name}", value, before, given=SASL)
        yield Seen(full, WORKER, value, _faust(_deep(attribute)), before, value, given=SASL)
    path = "{folder}/ca.pem"
    yield from _told("FOX_KAFKA_SECURITY_CA", "ssl.ca.location", path, None, given=TLS)
    yield Seen(
        "FOX_KAFKA_SECURITY_CA", WORKER, path, _faust(_knows_the_authority), False, True, given=TLS
    )
    for variable, name, own, other in (
        ("CERTIFICATE", "ssl.certificate.location", "{folder}/own.pem", "{folder}/same.pem"),
        ("KEY", "ssl.key.location", "{folder}/own.key", "{folder}/same.key"),
    ):
        yield from _told(f"FOX_KAFKA_SECURITY_{variable}", name, other, own, given=OWN)


def _deep(path: str) -> Callable[[Any], Any]:
    def see(told: Any) -> Any:
        for name in path.split("."):
            told = getattr(told, name)
        return told

    return see


def _registry() -> Iterator[Seen]:
    for readers, kind in ((WORKER, Settings), (PRODUCERS, settings)):

        def url(_: Place, kind: Any = kind) -> str:
            with kind().registry() as registry:
                return cast(str, registry.url)

        def answers(_: Place, kind: Any = kind) -> str:
            with kind().registry() as registry:
                try:
                    registry.answers()
                except RegistryDeniedError:
                    return "not trusted"
                return Registry.user

        def cached(_: Place, kind: Any = kind) -> bool:
            with kind().registry() as registry:
                return registry._cache is not None

        yield Seen(
            "FOX_SCHEMA_REGISTRY_URL", readers, "http://other:1/x", url,
            "http://localhost:8081", "http://other:1/x",
        )  # fmt: skip
        yield Seen(
            "FOX_SCHEMA_REGISTRY_CA", readers, "{folder}/ca.pem", answers, "not trusted", "u:p",
            given=REGISTRY,
        )  # fmt: skip
        yield Seen("FOX_SCHEMA_CACHE", readers, "", cached, True, False, given={"HOME": "{folder}"})
        yield Seen(
            "FOX_SCHEMA_REGISTRY_USERNAME", readers, "claire", answers, "u:p", "claire:p",
            given=TRUSTED,
        )  # fmt: skip
        yield Seen(
            "FOX_SCHEMA_REGISTRY_PASSWORD", readers, "secret", answers, "u:p", "u:secret",
            given=TRUSTED,
        )  # fmt: skip


class Registry(BaseHTTPRequestHandler):
    """Answers that it is there, and keeps who asked last as name:password."""

    user = ""

    def do_GET(self) -> None:
        told = self.headers.get("Authorization", "").removeprefix("Basic ")
        Registry.user = base64.b64decode(told).decode()
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b'["AVRO"]')

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """The root of a registry by https, whose authority and some certificates are in the folder."""
    authority = Authority(folder)
    for own in authority.issue("own"):
        copyfile(own, own.with_stem("same"))
    with SecuredHttp(Registry, authority) as server:
        yield server.root


def _names() -> Iterator[Seen]:
    yield Seen(
        "FOX_TOPIC_PREFIX", WORKER, "other.",
        lambda _: (world().name(IMPORT_EVENTS), topology._app(world(), "rows").conf.id),
        ("fox.imports.events", "fox.rows"), ("other.imports.events", "other.rows"),
    )  # fmt: skip
    yield Seen(
        "FOX_TOPIC_PREFIX", PRODUCERS, "other.", lambda _: settings().topic("imports.events"),
        "fox.imports.events", "other.imports.events",
    )  # fmt: skip
    yield Seen(
        "FOX_DATABASE_URL", WORKER, "postgresql://u:p@other:1/d",
        lambda _: _endpoints(Settings())["postgresql"][:2], ("localhost", 5432), ("other", 1),
    )  # fmt: skip


CASES: list[Seen | Proven] = [
    *_kafka(),
    *_registry(),
    *_names(),
    Proven(
        "FOX_OTLP_ENDPOINT",
        (*WORKER, *PRODUCERS),
        "tests/integration/test_watch.py::test_the_way_of_an_import_is_traced",
    ),
    Proven("FOX_SENTRY_DSN", WORKER, "tests/unit/test_sentry.py::test_an_error_of_a_worker"),
    Proven(
        "FOX_SENTRY_DSN", ("gateway",), "tests/unit/test_sentry.py::test_an_error_of_the_gateway"
    ),
]
