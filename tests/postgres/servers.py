"""Where the programs of other PostgreSQL servers are, fetched if need be."""

import os
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from deploy.local.jars.cache import Pin, read_lock, resolve, sha256
from deploy.local.servers import unprivileged
from deploy.local.servers.postgres import NAME, Postgres

LOCK = Path(__file__).with_name("servers.lock")
DEBIAN = Path("/usr/lib/postgresql")


def debian() -> dict[str, Path]:
    """The programs of each server that Debian's packages installed, by name, the oldest first."""
    found = sorted(DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name))
    return {f"debian-{path.parent.name}": path for path in found}


def pinned() -> dict[str, Pin]:
    """The servers of the lock, by major version."""
    return {pin.parts[2].partition(".")[0]: pin for pin in read_lock(LOCK)}


def fetched(pin: Pin) -> Path:
    """The programs of a pinned server. Raises OSError or RuntimeError if it cannot be fetched."""
    home = Path(tempfile.gettempdir()) / f"foxstream-{os.geteuid()}-postgres-{pin.parts[2]}"
    if not home.exists():
        with tempfile.TemporaryDirectory() as folder:
            jar = resolve(pin, Path(folder))
            if sha256(jar) != pin.sha256:
                raise RuntimeError(f"{jar.name} is not what {LOCK.name} names")
            scratch = Path(tempfile.mkdtemp(dir=home.parent))
            with zipfile.ZipFile(jar) as archive:
                [name] = [name for name in archive.namelist() if name.endswith(".txz")]
                with archive.open(name) as file, tarfile.open(fileobj=file, mode="r:xz") as tar:
                    tar.extractall(scratch, filter="data")
        scratch.chmod(0o755)
        scratch.rename(home)
    return home / "bin"


class OtherPostgres(Postgres):
    """A server with the default settings of its build."""

    initdb: ClassVar = ("--encoding=UTF8", "--locale=C", "--auth=trust", f"--username={NAME}")
    settings: ClassVar[Mapping[str, str]] = {
        name: Postgres.settings[name]
        for name in ("listen_addresses", "unix_socket_directories", "timezone")
    }

    def __init__(self, directory: Path, programs: Path) -> None:
        super().__init__(directory, threading.Event())
        self._given = programs

    def _programs(self, owner: unprivileged.Owner | None) -> Path:
        return self._given
