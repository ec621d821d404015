"""Where a mutant meets its tests: a copy of the tree, and a PostgreSQL that nobody else uses."""

import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import psycopg
import pytest

from deploy.local.processes.ports import LOOPBACK
from deploy.local.servers.postgres import Postgres
from tests.mutants import ROOT, Mutant

MOST_SECONDS = 300
"""Longest run of the tests of a mutant. One that hangs them has survived: the suite would hang too."""

_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "site")
_OURS = frozenset({"deploy", "processors", "producers", "schemas", "tests"})
_OPTIONS = (
    *("-qx", "-p", "no:cacheprovider", "-p", "no:schemathesis"),
    # Of plugins that what is loaded before them has loaded.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
_FAILED = re.compile(r"^FAILED (.+?)(?: - |$)", re.MULTILINE)

# Each run is a fork of a process that has loaded what takes longest, and nothing of the tree.
_FORKED = get_context("forkserver")
_FORKED.set_forkserver_preload(
    ["aiokafka", "confluent_kafka", "fastapi", "fastavro", "faust", "openpyxl", "psycopg_pool",
     "pydantic_settings", "pytest", "sentry_sdk", "structlog", "typer", "uvicorn"]
)  # fmt: skip


class Lane:
    """The tests of its mutants share the PostgreSQL, and use no other server."""

    def __init__(self, tree: Path, postgres: Postgres) -> None:
        self._tree = tree
        self._url = postgres.url
        address = f"{LOOPBACK}:{postgres.port}"
        self._environment = {
            "PYTHONPATH": str(tree),
            # The stack of the tests takes what is there already, and starts neither of the others.
            "FOX_DATABASE_URL": self._url,
            "FOX_KAFKA_BOOTSTRAP": address,
            "FOX_SCHEMA_REGISTRY_URL": f"http://{address}",
        }

    def killer(self, mutant: Mutant) -> str | None:
        """The first of the mutant's tests that fails; None where none does.

        An error is no failure: a tree that cannot be imported proves nothing of its tests.
        """
        with self._broken(mutant):
            code, output = self.run(mutant.tests)
        found = _FAILED.search(output)
        return found[1] if code == pytest.ExitCode.TESTS_FAILED and found else None

    def run(self, tests: Collection[str]) -> tuple[int | None, str]:
        """The exit code and the output of pytest, which ends with the first failure."""
        output = self._tree / "output.txt"
        process = _FORKED.Process(
            target=_run, args=(self._tree, self._environment, list(tests), output)
        )
        process.start()
        process.join(MOST_SECONDS)
        process.kill()
        process.join()
        self._drop_databases()
        return process.exitcode, output.read_text(encoding="utf-8", errors="replace")

    @contextmanager
    def _broken(self, mutant: Mutant) -> Iterator[None]:
        path = self._tree / mutant.file
        text = path.read_text(encoding="utf-8")
        self._write(path, mutant.applied(text))
        try:
            yield
        finally:
            self._write(path, text)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # Compiled modules are known by size and whole seconds: another of the same would be taken.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()

    def _drop_databases(self) -> None:
        """Those of the tests, of which the next run gives its own the same names."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            for (name,) in connection.execute(
                "SELECT quote_ident(datname) FROM pg_database"
                " WHERE NOT datistemplate AND datname NOT IN ('postgres', current_database())"
            ).fetchall():
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _run(tree: Path, environment: Mapping[str, str], tests: list[str], output: Path) -> None:
    """Runs pytest in a process of its own, with the modules of this tree alone."""
    with output.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(tree)
    os.environ.update(environment)
    sys.path.insert(0, str(tree))
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]
    sys.exit(pytest.main([*_OPTIONS, *tests]))


@contextmanager
def lane() -> Iterator[Lane]:
    """A lane of its own, which ends with the block."""
    with TemporaryDirectory(prefix="mutants-") as scratch:
        tree = Path(scratch, "tree")
        shutil.copytree(ROOT, tree, ignore=_NOT_COPIED)
        # Never one that the environment names: its databases are dropped.
        postgres = Postgres(Path(scratch), Event())
        try:
            postgres.start()
            yield Lane(tree, postgres)
        finally:
            postgres.stop()
