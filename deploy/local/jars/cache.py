"""The pinned jars of Kafka and of the registry, fetched once into a per-user cache.

`jars.lock` holds a line per file: its SHA-256 and its Maven coordinate. After a change of version
in `lock.py`, `python -m deploy.local.jars.lock` writes it again.
"""

import contextlib
import fcntl
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import JarError

LOCK = Path(__file__).with_name("jars.lock")
TIMEOUT_S = 60
ATTEMPTS = 3


@dataclass(frozen=True)
class Pin:
    """One file: `group:artifact:version` for a jar, `group:artifact:version:classifier@packaging` otherwise."""

    sha256: str
    coordinate: str

    @property
    def parts(self) -> tuple[str, str, str, str, str]:
        """Group, artifact, version, classifier, packaging."""
        group, artifact, version, *rest = self.coordinate.split(":")
        classifier, _, packaging = rest[0].partition("@") if rest else ("", "", "jar")
        return group, artifact, version, classifier, packaging

    @property
    def file_name(self) -> str:
        """Group included: two groups may publish the same artifact name."""
        group, artifact, version, classifier, packaging = self.parts
        suffix = f"-{classifier}" if classifier else ""
        return f"{group}.{artifact}-{version}{suffix}.{packaging}"


def read_lock(lock: Path = LOCK) -> list[Pin]:
    """The pinned files in the order of the lock."""
    lines = lock.read_text(encoding="ascii").splitlines()
    return [Pin(*line.split()) for line in lines if line and not line.startswith("#")]


def sha256(path: Path) -> str:
    """The digest of a file, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolve(coordinate: Pin, repository: Path) -> Path:
    """Downloads one artifact with jgo below `repository`; raises OSError or RuntimeError.

    The repositories of the user's own jgo configuration, if any, replace the default one.
    """
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    mirrors: dict[str, str] | None = GlobalSettings.load().repositories or None
    context = MavenContext(repo_cache=repository, remote_repos=mirrors, timeout=TIMEOUT_S)
    group, name, version, classifier, packaging = coordinate.parts
    component: Any = context.project(group, name).at_version(version)
    return Path(component.artifact(classifier=classifier, packaging=packaging).resolve())


class JarCache:
    """The fetched files below one directory, shared by every stack of the user.

    `report` gets a sentence before anything is downloaded.
    """

    def __init__(
        self, directory: Path, report: Callable[[str], None], pins: list[Pin] | None = None
    ) -> None:
        self._directory = directory
        self._report = report
        self._pins = read_lock() if pins is None else pins

    def kafka(self) -> list[Path]:
        """The class path of Kafka, every jar checked; raises JarError."""
        pins = [pin for pin in self._pins if pin.parts[-1] == "jar"]
        with self._locked():
            missing = [pin for pin in pins if not self._path(pin).exists()]
            if missing:
                self._report(f"downloading Apache Kafka ({len(missing)} files), once")
            for pin in missing:
                self._fetch(pin)
        for pin in pins:
            self._check(pin, self._path(pin))
        return [self._path(pin) for pin in pins]

    def registry(self) -> Path:
        """The directory of the unpacked registry; raises JarError."""
        pin = next(pin for pin in self._pins if pin.parts[-1] == "tar.gz")
        home = self._directory / f"{pin.parts[1]}-{pin.parts[2]}-{pin.sha256[:12]}"
        with self._locked():
            if not home.exists():
                self._report("downloading Apicurio Registry (about 160 MB), once")
                self._unpack(pin, home)
        return home

    def _path(self, pin: Pin) -> Path:
        return self._directory / "jars" / pin.file_name

    def _fetch(self, pin: Pin) -> None:
        self._path(pin).parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(ATTEMPTS)):
            try:
                self._download(pin)
            except (OSError, RuntimeError) as error:
                if left == 0:
                    raise JarError(
                        f"{pin.coordinate} could not be downloaded, and the first start needs the "
                        f"network: {error}"
                    ) from error
            else:
                return

    def _download(self, pin: Pin) -> None:
        """Puts a file in place in one step, after its check: a broken download leaves nothing."""
        with tempfile.TemporaryDirectory(dir=self._directory) as scratch:
            found = resolve(pin, Path(scratch))
            self._check(pin, found)
            found.replace(self._path(pin))

    def _unpack(self, pin: Pin, home: Path) -> None:
        archive = self._path(pin)
        if not archive.exists():
            self._fetch(pin)
        self._check(pin, archive)
        scratch = Path(tempfile.mkdtemp(dir=self._directory))
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            scratch.replace(home)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        archive.unlink()

    def _check(self, pin: Pin, path: Path) -> None:
        found = sha256(path)
        if found != pin.sha256:
            raise JarError(
                f"{path} is not the pinned {pin.coordinate}: its SHA-256 is {found} and jars.lock "
                f"says {pin.sha256}; delete the file to have it fetched again"
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process fetches, the others wait and find the files."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
