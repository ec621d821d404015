"""What docker-compose.yml runs of ours, with its commands and its environment."""

import re
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from deploy.local.local_settings import own_environment
from deploy.local.processes.ports import free_port
from deploy.local.processes.process import GuardedProcess, Launch
from deploy.local.stack import Stack
from tests.fix_stack import Site, create_database, eventually

ROOT = Path(__file__).parents[2]
SERVICES: Mapping[str, Any] = yaml.safe_load(
    (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
)["services"]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
DATABASE, PREFIX = "composed", "composed."


def defaults(text: str) -> str:
    """`${NAME:-default}` as Compose reads it where NAME is not set; `${NAME:?…}` as if somebody chose one."""
    text = re.sub(r"\$\{\w+:\?[^}]*\}", "chosen", text)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


class Containers:
    """Processes in place of containers: their names lead to the embedded servers, and each has a
    port and a folder of its own in place of those that a container has to itself.
    """

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        server = stack.environment["FOX_DATABASE_URL"].partition("@")[2].partition("/")[0]
        self._moved = {
            "kafka:29092": stack.environment["FOX_KAFKA_BOOTSTRAP"],
            "http://registry:8080/apis/ccompat/v7": stack.environment["FOX_SCHEMA_REGISTRY_URL"],
            "@postgres/foxstream": f"@{server}/{DATABASE}",
            "0.0.0.0": "127.0.0.1",
        }
        self.ports = {name: str(free_port()) for name in SERVICES}

    def environment(self, name: str) -> dict[str, str]:
        given = dict(re.findall(r"\b(FOX_\w+)=(\S+)", DOCKERFILE))
        given |= {key: defaults(str(value)) for key, value in SERVICES[name]["environment"].items()}
        given["FOX_GATEWAY_SPOOL"] = str(self.folder / name)
        return {
            **{key: self._here(name, value) for key, value in given.items()},
            "FOX_TOPIC_PREFIX": PREFIX,
        }

    def run(self, name: str, argv: list[str]) -> GuardedProcess:
        """A command in the container of that name."""
        path = f"{Path(sys.executable).parent}:{own_environment()['PATH']}"
        environment = {**own_environment(), "PATH": path, **self.environment(name)}
        log = self.folder / f"{name}-{free_port()}.log"
        return GuardedProcess(
            name, Launch([self._here(name, word) for word in argv], environment, log)
        )

    def healthy(self, name: str) -> bool:
        """What its health check says, the image's own where the file names none."""
        test = SERVICES[name].get("healthcheck", {}).get("test")
        if test is None:
            [test] = re.findall(r"HEALTHCHECK .*\n\s*CMD (\[.*\])", DOCKERFILE)
            test = ["CMD", *yaml.safe_load(test)]
        answered = self.run(name, test[1:]).wait() == 0
        threading.Event().wait(0 if answered else 0.5)
        return answered

    def _here(self, name: str, text: str) -> str:
        for there, here in self._moved.items():
            text = text.replace(there, here)
        return re.sub(r"\b(9464|8080)\b", self.ports[name], text)


@pytest.fixture
def containers(stack: Stack, tmp_path: Path) -> Containers:
    """Its database has the roles that the file gives PostgreSQL's image."""
    url = create_database(stack.environment["FOX_DATABASE_URL"], DATABASE)
    roles = (ROOT / "deploy" / "postgres" / "roles.sql").read_bytes()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(roles)
        connection.execute(roles)  # again changes nothing
    return Containers(stack, tmp_path)


def test_the_containers_do_their_work(containers: Containers, tmp_path: Path) -> None:
    """Each command of docker-compose.yml runs with its environment, all become healthy, a token is
    made as the file's header says, and a file goes from the gateway to the table.
    """
    prepared = containers.run("prepare", SERVICES["prepare"]["command"])
    assert prepared.wait() == 0, prepared.log_tail()
    names = ["gateway", "worker-rows", "worker-imports", "worker-enrichment"]
    running = {name: containers.run(name, SERVICES[name]["command"]) for name in names}
    try:
        for name in names:
            eventually(
                partial(lambda one: containers.healthy(one) or not running[one].running, name)
            )
            assert running[name].running, running[name].log_tail()
        made = containers.run("gateway", ["foxstream-gateway", "token", "create", "--name", "me"])
        assert made.wait() == 0, made.log_tail()
        (tmp_path / "un.csv").write_bytes(b"siren,nom\n123456782,Un\n")
        environment = containers.environment("worker-rows")
        site = Site(containers.stack, PREFIX, environment["FOX_DATABASE_URL"])
        done = site.foxstream("import", tmp_path / "un.csv", "--type", "entreprise", "--json")
    finally:
        for process in running.values():
            process.stop()

    assert done.code == 0, done.stderr
    assert site.query("SELECT nom FROM enterprise_entreprise") == [("Un",)]
