"""Commands and workers forked from a process that has loaded them: a start costs no imports.

`python -m tests.preloaded` is that process. It takes one JSON request a line, to fork or to look
after a fork, and answers with one number. It forks before it has any thread or connection, and ends
what it forked when its input ends, so that nothing outlives the tests.
"""

import gc
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

import psutil  # type: ignore[import-untyped]  # it ships no types

from deploy.local.processes import guard
from deploy.local.processes.process import GuardedProcess

PRELOADED = (
    "processors.worker.commands",
    "processors.worker.process",
    "producers.cli",
    "producers.gateway.application",
)
RUNNING = -1
POLL_SECONDS = 0.01


class Preloaded:
    """The process, seen from the tests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def ask(self, **request: Any) -> int:
        """The process id of a fork, or the exit code of one, 128 + signal if a signal ended it."""
        with self._lock:
            requests, answers = (
                cast(IO[str], self._process.stdin),
                cast(IO[str], self._process.stdout),
            )
            requests.write(f"{json.dumps(request)}\n")
            requests.flush()
            return int(answers.readline())

    def fork(
        self, module: str, words: Sequence[str], env: Mapping[str, str], out: Path, err: Path
    ) -> int:
        """Runs `app` of the module in a session of its own; both streams are appended to files."""
        return self.ask(module=module, words=list(words), env=dict(env), out=str(out), err=str(err))


@cache
def preloaded() -> Preloaded:
    """One in each process of the tests."""
    return Preloaded()


@dataclass
class Fork:
    """A fork, with what GuardedProcess asks of the guard of a process."""

    pid: int
    stdin: io.BytesIO = field(default_factory=io.BytesIO)
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        if self.code is None:
            answer = preloaded().ask(pid=self.pid)
            self.code = None if answer == RUNNING else answer
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
            threading.Event().wait(POLL_SECONDS)
        return code


class PreloadedProcess(GuardedProcess):
    """A worker or gateway as GuardedProcess starts it, but for its imports.

    `launch.argv` is a module and the words of its command.
    """

    def __post_init__(self) -> None:
        launch = self.launch
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        launch.log.touch()
        self._log_start = launch.log.stat().st_size
        module, *words = launch.argv
        self.pid = preloaded().fork(module, words, launch.env, launch.log, launch.log)
        self._guard = cast(Any, Fork(self.pid))
        self._process: psutil.Process | None = None
        with suppress(psutil.NoSuchProcess):
            self._process = psutil.Process(self.pid)


def _serve() -> None:
    """Returns in a fork; what it is to run is its command line then."""
    forks: set[int] = set()
    try:
        for line in sys.stdin:
            request = json.loads(line)
            if "pid" in request:
                answer = _code(request["pid"])
                if answer != RUNNING:
                    forks.remove(request["pid"])  # the kernel may give its id to another process
            else:
                answer = os.fork()
                if answer == 0:
                    forks.clear()
                    _become(request)
                    return
                forks.add(answer)
            sys.stdout.write(f"{answer}\n")
            sys.stdout.flush()
    finally:
        for pid in forks:
            with suppress(psutil.NoSuchProcess):
                guard.signal_family(psutil.Process(pid), signal.SIGKILL)


def _code(pid: int) -> int:
    found, status = os.waitpid(pid, os.WNOHANG)
    if not found:
        return RUNNING
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(request: Mapping[str, Any]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(request["env"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, path in ((1, request["out"]), (2, request["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.stdin, sys.argv = io.StringIO(), [request["module"], *request["words"]]


if __name__ == "__main__":
    for name in PRELOADED:
        import_module(name)
    gc.freeze()
    _serve()
    if sys.argv[1:]:
        command = import_module(sys.argv[0]).app
        command(args=sys.argv[1:], prog_name="-c")
