"""foxstream-local: the embedded stack from the command line.

Exit codes: 0, 2 wrong usage, 5 a server cannot be started or nothing is running, 130 interrupted.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from deploy.local import stack_state
from deploy.local.errors import DirectoryInUseError, LocalStackError
from deploy.local.processes.ports import LOOPBACK, accepts, free_port
from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from deploy.local.stack import Stack

EXIT_UNREACHABLE = 5
EXIT_INTERRUPTED = 130
DOWN_TIMEOUT_S = 40.0
POLL_S = 0.1
WORKER = "worker"
GATEWAY = "gateway"
GATEWAY_PORT = 8080
# What a worker needs before its first start; each command can be repeated.
WORKER_PREPARATION = (
    ("migrate",),
    ("schemas", "register"),
    ("topics",),
    ("reference", "load"),
)

app = typer.Typer(
    help="Kafka, a schema registry and PostgreSQL on this machine.",
    add_completion=False,
    rich_markup_mode=None,
)
Directory = Annotated[
    Path, typer.Option(file_okay=False, help="Where the data and the logs of the servers are.")
]
DEFAULT_DIRECTORY = Path(".local")


@app.command()
def up(
    directory: Directory = DEFAULT_DIRECTORY,
    detach: Annotated[bool, typer.Option(help="Return when ready and keep it running.")] = False,
    with_worker: Annotated[
        bool, typer.Option(help="Run a worker and the gateway beside the servers.")
    ] = False,
) -> None:
    """Start the servers that the environment does not point to already."""
    directory = directory.resolve()
    with _failures():
        if detach:
            _detach(directory, with_worker)
        else:
            _run(directory, with_worker)


@app.command()
def down(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Stop everything that `up` started; nothing to stop is fine."""
    found = stack_state.read(directory)
    if found is None:
        _say(f"nothing is running in {directory}")
        return
    os.kill(found.pid, signal.SIGTERM)
    if not _gone(directory, DOWN_TIMEOUT_S):
        os.kill(found.pid, signal.SIGKILL)  # the guards end the servers
        _gone(directory, DOWN_TIMEOUT_S)
    _say(f"stopped the stack in {directory}")


@app.command()
def status(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """A line per server; the exit code is 0 only if all are up."""
    found = stack_state.read(directory)
    if found is None:
        _say(f"nothing is running in {directory}")
        raise typer.Exit(EXIT_UNREACHABLE)
    for entry in found.entries:
        word = "up" if _is_up(entry) else "down"
        address = "{}:{}".format(*entry.address) if entry.url else "-"
        owner = f"pid {entry.pid or '-'}" if entry.ours else "not ours"
        say(f"{entry.name:<10} {word:<5} {address:<22} {owner:<12} {entry.note}".rstrip())
    if not found.ready or not all(_is_up(entry) for entry in found.entries):
        raise typer.Exit(EXIT_UNREACHABLE)


@app.command()
def env(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Print the addresses as `export NAME=value` lines for a shell."""
    found = stack_state.read(directory)
    if found is None or not found.ready:
        _fail(f"no stack is running in {directory}: start it with `foxstream-local up --detach`")
    for name, value in found.environment.items():
        say(f"export {name}={shlex.quote(value)}")


def _run(directory: Path, with_worker: bool) -> None:
    from deploy.local.stack import Stack  # servers' clients: not for those who only look

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a shell starts its background jobs with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        # The directory outlives this run, and its topics hold ids of schemas.
        with Stack(directory, keep_schemas=True, report=_say) as stack:
            if with_worker:
                _start_worker(stack)
                _start_gateway(stack)
            _list(stack_state.read(directory))
            _say("ready; Ctrl-C stops everything. In another shell:")
            for line in _next(directory, with_worker)[:-1]:
                say(f"  {line}", err=True)
            while not threading.Event().wait(1.0):
                stack.look()
    except KeyboardInterrupt:
        _say("stopped")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _start_worker(stack: "Stack") -> None:
    command = [sys.executable, "-m", "processors.worker.commands"]
    for step in WORKER_PREPARATION:
        stack.complete(f"worker-{step[0]}", [*command, *step])
    stack.keep(WORKER, [*command, "run"])


def _start_gateway(stack: "Stack") -> None:
    """At its usual port, or a free one where that is taken."""
    port = free_port() if accepts(LOOPBACK, GATEWAY_PORT) else GATEWAY_PORT
    settings = {
        "FOX_GATEWAY_PORT": str(port),
        "FOX_GATEWAY_SPOOL": str(stack.directory / "spool"),
    }
    gateway = stack.keep(
        GATEWAY,
        [sys.executable, "-m", "producers.gateway.commands", "run"],
        settings,
        f"http://{LOOPBACK}:{port}",
    )
    while gateway.process.running and not accepts(LOOPBACK, port):
        threading.Event().wait(POLL_S)


def _detach(directory: Path, with_worker: bool) -> None:
    if stack_state.read(directory) is not None:
        raise DirectoryInUseError(
            f"a stack is already running in {directory}; `foxstream-local status` says where"
        )
    log = directory / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "deploy.local.cli", "up", "--directory", str(directory)]
    with log.open("wb") as output:
        supervisor = subprocess.Popen(  # nosec B603 # our own programs and words, no shell
            [*command, *(["--with-worker"] if with_worker else [])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while supervisor.poll() is None and not _announced(directory, supervisor.pid, with_worker):
            threading.Event().wait(POLL_S)
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
    if supervisor.poll() is None:
        _list(stack_state.read(directory))
        _say("ready. What comes next:")
        for line in _next(directory, with_worker):
            say(f"  {line}", err=True)
        return
    say(*log.read_text(encoding="utf-8").splitlines(), err=True)
    raise typer.Exit(supervisor.returncode)


def _announced(directory: Path, pid: int, with_worker: bool) -> bool:
    found = stack_state.read(directory)
    return (
        found is not None
        and found.pid == pid
        and found.ready
        and (
            not with_worker
            or any(entry.name == GATEWAY and _is_up(entry) for entry in found.entries)
        )
    )


def _next(directory: Path, with_worker: bool) -> list[str]:
    """Commands as a shell in this folder finds them; the last one stops everything."""
    own = Path(sys.executable).parent
    programs = f"{own.relative_to(Path.cwd())}/" if own.is_relative_to(Path.cwd()) else f"{own}/"
    where = "" if directory == DEFAULT_DIRECTORY.resolve() else f" --directory {directory}"
    return [
        f'eval "$({programs}foxstream-local env{where})"   # the addresses, for this shell',
        *(
            [f"{programs}foxstream-gateway token create --name YOU --scope admin   # for the pages"]
            if with_worker
            else []
        ),
        f"{programs}foxstream-local down{where}",
    ]


def _list(found: stack_state.State | None) -> None:
    for entry in found.entries if found is not None else ():
        say(f"{entry.name:<10} {entry.shown or '-'}")


def _is_up(entry: stack_state.Entry) -> bool:
    import psutil  # type: ignore[import-untyped]  # it ships no types

    alive = not entry.ours or (entry.pid is not None and psutil.pid_exists(entry.pid))
    return alive and (not entry.url or accepts(*entry.address))


def _gone(directory: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while stack_state.read(directory) is not None:
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(POLL_S)
    return True


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except DirectoryInUseError as error:
        _say(str(error))
    except (LocalStackError, OSError) as error:
        _fail(str(error))


def _say(sentence: str) -> None:
    say(f"foxstream-local: {sentence}", err=True)


def _fail(sentence: str) -> NoReturn:
    _say(sentence)
    raise typer.Exit(EXIT_UNREACHABLE)


if __name__ == "__main__":
    app()
