"""Servers that ask who is there and encrypt: Kafka, a registry behind a proxy, PostgreSQL."""

import base64
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Self

import httpx
import psycopg
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr

from deploy.local.jars.cache import JarCache
from deploy.local.local_settings import LocalSettings
from deploy.local.processes.ports import LOOPBACK, free_port
from deploy.local.processes.process import GuardedProcess, Launch
from deploy.local.servers import unprivileged
from deploy.local.servers.kafka import Kafka
from deploy.local.servers.postgres import Postgres
from deploy.local.stack import Stack
from schemas.runtime.server_settings import ServerSettings
from tests.fix_stack import Site
from tests.postgres.servers import OtherPostgres, debian

ROOT = Path(__file__).parents[1]
_numbers = count(1)

USERS = ("fox-admin", "fox-worker", "fox-producer", "fox-gateway", "fox-upstream")
SUPER = "root"


def password(user: str) -> str:
    """Each begins with the same marker, so that one search finds them all."""
    return f"MARKER-{user}-pass/word%"


def each_is_denied(connection: psycopg.Connection, *statements: str) -> None:
    """PostgreSQL refuses each of them to the connection's role."""
    for statement in statements:
        with pytest.raises(InsufficientPrivilege):
            connection.execute(statement.encode())


class Authority:
    """A certificate authority of the tests, and what it signed for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Files of a certificate and of its key, in PKCS #8: Java reads no other."""
        leaf = self._ca.issue_cert(LOOPBACK, common_name=name)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.write_bytes(
            load_pem_private_key(leaf.private_key_pem.bytes(), None).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
        )
        key.chmod(0o600)
        return certificate, key


SECURED = """
listeners=PLAINTEXT://{host}:{port},SECURED://{host}:{secured},MUTUAL://{host}:{mutual},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port},SECURED://{host}:{secured},MUTUAL://{host}:{mutual}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.mutual.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:root
"""
# ANONYMOUS is the broker itself, and the fixtures, on the listener without encryption.


class SecuredKafka(Kafka):
    """`secured` asks for SCRAM over TLS, `mutual` for a certificate; what is not allowed is denied."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        jars = JarCache(LocalSettings().local_cache.expanduser().resolve(), lambda _: None)
        super().__init__(directory, threading.Event(), jars.kafka())
        self._secured, self._mutual = free_port(), free_port()
        self._truststore = authority.file
        certificate, key = authority.issue("kafka")
        self._keystore = directory / "kafka-keystore.pem"
        self._keystore.write_bytes(key.read_bytes() + certificate.read_bytes())

    @property
    def secured(self) -> str:
        return f"{LOOPBACK}:{self._secured}"

    @property
    def mutual(self) -> str:
        return f"{LOOPBACK}:{self._mutual}"

    def _properties(self, logs: Path) -> str:
        return super()._properties(logs) + SECURED.format(
            host=LOOPBACK,
            port=self.port,
            secured=self._secured,
            mutual=self._mutual,
            controller=self._controller_port,
            keystore=self._keystore,
            truststore=self._truststore,
        )

    def _format_options(self) -> list[str]:
        return [
            f"--add-scram=SCRAM-SHA-512=[name={user},password={password(user)}]"
            for user in (*USERS, SUPER)
        ]


class SecuredPostgres(OtherPostgres):
    """TLS and SCRAM for every role but the superuser, who is the tests' own and comes without."""

    settings: ClassVar = {**Postgres.settings, "ssl": "on", "password_encryption": "scram-sha-256"}

    def __init__(self, directory: Path, authority: Authority, programs: Path) -> None:
        super().__init__(directory, programs)
        self._issued = authority.issue("postgres")

    def secured(self, role: str, authority: Path, database: str, secret: str | None = None) -> str:
        """The URL of a role, the password in it %-coded."""
        coded = (secret or password(role)).replace("%", "%25").replace("/", "%2F")
        return (
            f"postgresql://{role}:{coded}@{LOOPBACK}:{self.port}/{database}"
            f"?sslmode=verify-full&sslrootcert={authority}"
        )

    def _url(self, database: str) -> str:
        return f"{super()._url(database)}?sslmode=disable"

    def _initialise(self, programs: Path, owner: unprivileged.Owner | None) -> None:
        super()._initialise(programs, owner)
        for source, name in zip(self._issued, ("server.crt", "server.key"), strict=True):
            (self.data / name).write_bytes(source.read_bytes())
            (self.data / name).chmod(0o600)
            if owner is not None:
                os.chown(self.data / name, *owner)
        (self.data / "pg_hba.conf").write_text(
            "hostnossl all foxstream 127.0.0.1/32 trust\n"
            "hostssl all all 127.0.0.1/32 scram-sha-256\n",
            encoding="ascii",
        )


class _Proxy(BaseHTTPRequestHandler):
    target: ClassVar[str]
    authorization: ClassVar[str]

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def do_PUT(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != self.authorization:
            self._answer(401, b"")
            return
        headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
        answer = httpx.request(
            self.command,
            self.target + self.path,
            content=body,
            headers=headers,
            trust_env=False,
            timeout=20,
        )
        self._answer(answer.status_code, answer.content)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


class SecuredHttp:
    """What a handler answers, by https."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], authority: Authority) -> None:
        certificate, key = authority.issue("registry")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = ThreadingHTTPServer((LOOPBACK, 0), handler)
        # Shaken hands by the thread of the connection: a client that does not trust us ends there.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def root(self) -> str:
        return f"https://{LOOPBACK}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class RegistryProxy(SecuredHttp):
    """The registry by https, for who knows the user `fox` and its password."""

    def __init__(self, registry: str, authority: Authority) -> None:
        target, self._path = registry.split("/apis", 1)
        credentials = base64.b64encode(f"fox:{password('fox')}".encode()).decode()
        handler = type(
            "Proxy", (_Proxy,), {"target": target, "authorization": f"Basic {credentials}"}
        )
        super().__init__(handler, authority)

    @property
    def url(self) -> str:
        return f"{self.root}/apis{self._path}"


@dataclass(frozen=True)
class Secured:
    """The three servers, and the environments of who uses them."""

    stack: Stack
    kafka: SecuredKafka
    registry: RegistryProxy
    postgres: SecuredPostgres
    authority: Authority
    stranger: Authority
    folder: Path
    prefix: str = "fox."
    database: str = "foxstream"
    further: Mapping[str, str] = field(default_factory=dict)

    def environment(self, user: str, role: str | None = None) -> dict[str, str]:
        """Of a Kafka user; its secrets stand in files. `role` is that of PostgreSQL, if any."""
        found = {
            "FOX_KAFKA_BOOTSTRAP": self.kafka.secured,
            "FOX_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "FOX_KAFKA_SECURITY_USERNAME": user,
            "FOX_KAFKA_SECURITY_PASSWORD_FILE": self.secret(password(user)),
            "FOX_KAFKA_SECURITY_CA": str(self.authority.file),
            "FOX_SCHEMA_REGISTRY_URL": self.registry.url,
            "FOX_SCHEMA_REGISTRY_CA": str(self.authority.file),
            "FOX_SCHEMA_REGISTRY_USERNAME": "fox",
            "FOX_SCHEMA_REGISTRY_PASSWORD_FILE": self.secret(password("fox")),
            "FOX_TOPIC_PREFIX": self.prefix,
        }
        if role is not None:
            url = self.postgres.secured(role, self.authority.file, self.database)
            found["FOX_DATABASE_URL_FILE"] = self.secret(url)
        return found

    def settings(self, user: str) -> ServerSettings:
        """How that user of Kafka connects, and the user of the registry."""
        return ServerSettings(
            kafka_bootstrap=self.kafka.secured,
            kafka_security_protocol="SASL_SSL",
            kafka_security_username=user,
            kafka_security_password=SecretStr(password(user)),
            kafka_security_ca=self.authority.file,
            topic_prefix=self.prefix,
            schema_registry_url=self.registry.url,
            schema_registry_ca=self.authority.file,
            schema_registry_username="fox",
            schema_registry_password=SecretStr(password("fox")),
        )

    def secret(self, value: str) -> str:
        """The name of a file that holds it, with the line's end that an editor leaves."""
        path = self.folder / f"secret{abs(hash(value))}"
        path.write_text(value + "\n", encoding="utf-8")
        return str(path)

    def site(self, user: str, role: str | None = None, **settings: str) -> "SecuredSite":
        """Commands as that user."""
        return SecuredSite(
            self.stack, self.prefix, "", settings={**self.environment(user, role), **settings}
        )

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """As the superuser."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            done = connection.execute(sql.encode())
            return done.fetchall() if done.description else []


class SecuredSite(Site):
    """Nothing of the stack without security is in the environment."""

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.settings)

    def worker(self, *kinds: str) -> GuardedProcess:
        return self.process("processors.worker.commands", "run", *kinds)

    def process(self, module: str, *words: str) -> GuardedProcess:
        """Starts a command; it ends with the test."""
        log = self.stack.directory / "logs" / f"secured{next(_numbers)}-{module}.log"
        argv = [sys.executable, "-m", module, *words]
        process = GuardedProcess(module, Launch(argv, {**os.environ, **self.environment}, log))
        self.spawned.append(process)
        return process


def psql(programs: Path, url: str, file: Path) -> None:
    """Runs a file as its header says."""
    done = subprocess.run(
        [str(programs / "psql"), "--set", "ON_ERROR_STOP=1", "--quiet", "-d", url, "-f", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def secured(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """As `secured_servers`."""
    programs = newest_postgres()
    if programs is None:
        pytest.skip("NO TLS: Debian's PostgreSQL is not installed (apt install postgresql)")
    with secured_servers(stack, tmp_path_factory.mktemp("secured"), programs) as found:
        yield found


def newest_postgres() -> Path | None:
    """Programs of a PostgreSQL that has TLS; the embedded one has not."""
    return next(reversed(debian().values()), None)


@contextmanager
def secured_servers(stack: Stack, folder: Path, programs: Path) -> Iterator[Secured]:
    """Prepared as docs/security.md says: roles, rights, migrations, topics and schemas."""
    authority, stranger = Authority(folder / "ca"), Authority(folder / "stranger")
    kafka = SecuredKafka(folder, authority)
    # Debian's programs want to pass every directory above theirs.
    reachable = Path(tempfile.mkdtemp(prefix="foxstream-tests-"))
    reachable.chmod(0o755)
    postgres = SecuredPostgres(reachable, authority, programs)
    try:
        with ThreadPoolExecutor() as pool:
            for started in [pool.submit(kafka.start), pool.submit(postgres.start)]:
                started.result()
        with RegistryProxy(stack.registry.url, authority) as registry:
            found = Secured(stack, kafka, registry, postgres, authority, stranger, folder)
            _prepare(found, programs)
            yield found
    finally:
        kafka.stop()
        postgres.stop()
        shutil.rmtree(reachable)


def _prepare(found: Secured, programs: Path) -> None:
    psql(programs, found.postgres.url, ROOT / "deploy" / "postgres" / "roles.sql")
    for role in ("foxstream_migrate", "foxstream_write", "foxstream_read"):
        found.execute(f"ALTER ROLE {role} PASSWORD '{password(role)}'")
    root = found.site(SUPER)
    done = subprocess.run(
        [sys.executable, "-m", "deploy.kafka.acls"],
        env={**os.environ, **root.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    admin = found.site("fox-admin", "foxstream_migrate")
    for words in (("migrate",), ("topics",), ("schemas", "register")):
        command = admin.foxstream_worker(*words)
        assert command.code == 0, command.stderr
