"""What is attacked: secured servers, one worker and one gateway with little memory, and two accounts."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.local.processes.ports import free_port
from deploy.local.processes.process import GuardedProcess, Launch
from deploy.local.stack import Stack
from tests.fix_gateway import Served
from tests.fix_secured import Secured, SecuredSite, newest_postgres, password, secured_servers
from tests.fix_stack import eventually

WORKER_BYTES = 1 << 30
GATEWAY_BYTES = 2 << 30
LIMIT = "prlimit --as (RLIMIT_AS of each process)"

_WORKER = {
    # The row topic of the attacks is that of the other upstream system as well: an account whose
    # rows are mostly rejected halts it on purpose (tests/unit/test_limit.py).
    "FOX_REJECT_LIMIT": "1",
    "FOX_JOBS_SCHEDULED": "false",
    "MALLOC_ARENA_MAX": "2",
}


@dataclass
class LimitedSite(SecuredSite):
    """Processes get `most_bytes` of address space each."""

    most_bytes: int = 0

    def spawn(
        self, name: str, module: str, *words: str, env: Mapping[str, str] | None = None
    ) -> GuardedProcess:
        limited = ["prlimit", f"--as={self.most_bytes}", sys.executable, "-m", module, *words]
        log = self.stack.directory / "logs" / f"{name}.log"
        environment = {**os.environ, **(env or self.environment)}
        process = GuardedProcess(name, Launch(limited, environment, log))
        self.spawned.append(process)
        return process


@dataclass
class Stage:
    """`legitimate` and `attacker` are tokens of two accounts of scope import."""

    secured: Secured
    worker: GuardedProcess
    served: Served
    legitimate: str
    attacker: str

    @property
    def gateway(self) -> GuardedProcess:
        assert self.served.process is not None
        return self.served.process


@contextmanager
def prepared_stage(folder: Path) -> Iterator[Stage]:
    """Everything runs and is ready."""
    programs = newest_postgres()
    if programs is None:
        raise SystemExit("Debian's PostgreSQL is not installed (apt install postgresql)")
    with (
        Stack(folder / "stack", keep_schemas=True) as stack,
        secured_servers(stack, folder, programs) as secured,
    ):
        port = free_port()
        settings = {"FOX_METRICS_PORT": str(port), **_WORKER}
        workers = _limited(secured.site("fox-worker", "foxstream_write", **settings), WORKER_BYTES)
        secret = {"FOX_GATEWAY_SECRET_FILE": secured.secret(password("gateway") * 2)}
        gateways = _limited(secured.site("fox-gateway", **secret), GATEWAY_BYTES)
        served = Served(gateways, folder / "spool", free_port())
        try:
            worker = workers.spawn("worker", "processors.worker.commands", "run")
            served.start()
            eventually(lambda: _ready(worker, port))
            tokens = [served.new_token(name, "import") for name in ("legitimate", "attacker")]
            yield Stage(secured, worker, served, *tokens)
        finally:
            served.close()
            gateways.kill()
            workers.kill()


def _limited(site: SecuredSite, most_bytes: int) -> LimitedSite:
    return LimitedSite(site.stack, site.prefix, "", settings=site.settings, most_bytes=most_bytes)


def _ready(worker: GuardedProcess, port: int) -> bool:
    assert worker.running, worker.log_tail()
    try:
        url = f"http://127.0.0.1:{port}/readyz"
        return httpx.get(url, trust_env=False, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
