"""Commands load what they use: without a clock, by the modules that are there afterwards."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from processors.jobs.catalogue import JOBS
from processors.jobs.job_run import WORK
from processors.worker import commands, topology

NOBODY = {
    "FOX_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    "FOX_SCHEMA_REGISTRY_URL": "http://127.0.0.1:1",
    "FOX_DATABASE_URL": "postgresql://foxstream@127.0.0.1:1/foxstream",
}

AGENTS = {"faust", "mode", "aiokafka", "aiohttp"}
SERVICES = AGENTS | {"fastapi", "uvicorn", "openai", "opentelemetry", "sentry_sdk"}
LOGGING = {"structlog", "prometheus_client", "rich"}
SERVERS = {"httpx", "psycopg", "confluent_kafka", "fastavro", "psutil", "pydantic"}

_RUN = """
import json, sys
from importlib import import_module
app = import_module(sys.argv[1]).app
codes = []
for command in sys.argv[2:]:
    try:
        app(command.split())
    except SystemExit as end:
        codes.append(end.code)
print(json.dumps([codes, list(sys.modules)]))
"""


def loaded(program: str, *commands: str, code: int) -> set[str]:
    """The modules that are there when these commands have ended, each with `code`."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, program, *commands],
        env={**os.environ, **NOBODY},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    codes, modules = json.loads(done.stdout.splitlines()[-1])
    assert codes == [code] * len(commands), done.stderr
    return set(modules)


@pytest.mark.parametrize(
    "program",
    [
        "processors.worker.commands",
        "producers.cli",
        "producers.gateway.commands",
        "deploy.local.cli",
    ],
)
def test_help_loads_the_command_line_alone(program: str) -> None:
    """Of any program: no client of a server, and nothing that paints."""
    assert loaded(program, "--help", code=0) & (SERVICES | LOGGING | SERVERS) == set()


@pytest.mark.parametrize(
    ("commands", "unused"),
    [
        (
            [
                *("migrate", "trace 552081317", "rejects list", "jobs", "parked", "pages"),
                *("enrichment report", "enrichment failed", "enrichment retry --all"),
                "reference worksheet",
            ],
            SERVICES | LOGGING | {"httpx"},
        ),
        (["schemas", "reference load"], SERVICES | {"structlog", "prometheus_client"}),
        (["job clean", "job resolve-pages"], SERVICES),
    ],
    ids=["of PostgreSQL", "of the registry", "jobs"],
)
def test_commands_of_operators_load_no_worker(commands: Sequence[str], unused: set[str]) -> None:
    """They end with 5, as the server that they ask is away: all that they need is loaded by then."""
    assert loaded("processors.worker.commands", *commands, code=5) & unused == set()


def test_a_worker_loads_what_its_settings_ask_for() -> None:
    """No model, no traces, no error reports unless they are set; never the gateway."""
    modules = loaded("processors.worker.commands", "run", code=5)

    assert modules & SERVICES == AGENTS


@pytest.mark.parametrize("program", ["processors.worker.commands", "producers.gateway.commands"])
def test_a_process_that_starts_ends_on_sigterm(program: str) -> None:
    """It has a handler before it loads anything: without one the first process of a container ignores it."""
    patched = f"""
import os, signal, sys
from importlib.abc import MetaPathFinder
from {program} import app

class Loading(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("processors.worker.process", "uvicorn"):
            assert callable(signal.getsignal(signal.SIGTERM)), "no handler"
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Loading())
app(["run"])
"""
    done = subprocess.run(
        [sys.executable, "-c", patched],
        env={**os.environ, **NOBODY},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 128 + signal.SIGTERM, done.stderr


def test_what_the_command_line_lists_is_what_there_is() -> None:
    """It names kinds of agents and jobs without loading them."""
    assert tuple(topology.KINDS) == commands.KINDS
    assert WORK.keys() == JOBS.keys()
