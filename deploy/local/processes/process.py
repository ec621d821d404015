"""A process that cannot outlive this one."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import psutil  # type: ignore[import-untyped]  # it ships no types

from deploy.local.errors import ServerError
from deploy.local.processes import guard

KILL_WAIT_S = 10.0
POLL_S = 0.02
TAIL_LINES = 20
TAIL_BYTES = 16_384


@dataclass(frozen=True)
class Launch:
    """How to start a process: both output streams go to the end of `log`."""

    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 12.0
    owner: tuple[int, int] | None = None


@dataclass
class GuardedProcess:
    """A started process. Raises ServerError from the constructor when it cannot be run."""

    name: str
    launch: Launch
    pid: int = field(init=False)

    def __post_init__(self) -> None:
        launch = self.launch
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        with launch.log.open("ab") as log:
            self._log_start = log.tell()
            self._guard = subprocess.Popen(  # nosec B603 # our own programs and words, no shell
                [
                    *(sys.executable, "-P", guard.__file__),
                    str(int(launch.stop_signal)),
                    "-" if launch.owner is None else "{}:{}".format(*launch.owner),
                    *launch.argv,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(launch.env),
                cwd=launch.directory,
                start_new_session=True,  # Ctrl-C in the terminal is for the parent alone
            )
        with cast(IO[bytes], self._guard.stdout) as answer:
            line = answer.readline()
        if not line:
            self._close()
            raise ServerError(f"{self.name} could not be run:\n{self.log_tail()}")
        self.pid = int(line)
        self._process: psutil.Process | None = None
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended already
            self._process = psutil.Process(self.pid)

    @property
    def running(self) -> bool:
        """Whether the process itself is alive; a paused one is."""
        return self._process is not None and _alive(self._process)

    @property
    def returncode(self) -> int | None:
        """The exit code, 128 + signal if a signal ended it, None while it runs."""
        return self._guard.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits for the end and returns the exit code; raises subprocess.TimeoutExpired."""
        code = self._guard.wait(timeout_s)
        self._close()
        return code

    def stop(self) -> None:
        """Asks the process to end, and kills it after the grace of its launch."""
        if self._process is not None and self.running:
            self.resume()
            try:
                self._process.send_signal(self.launch.stop_signal)
                self._guard.wait(self.launch.grace_s)
            except (psutil.NoSuchProcess, subprocess.TimeoutExpired):
                pass
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the process and all its descendants; returns when they are gone."""
        members = self._signal(signal.SIGKILL)
        deadline = time.monotonic() + KILL_WAIT_S
        while any(map(_alive, members)) and time.monotonic() < deadline:
            threading.Event().wait(POLL_S)
        self._close()

    def pause(self) -> None:
        """SIGSTOP to the process and all its descendants."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to the process and all its descendants."""
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """The last lines that this run, not an earlier one, wrote to the log."""
        with self.launch.log.open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(self._log_start, end - TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def _signal(self, number: signal.Signals) -> list[psutil.Process]:
        # Once it has ended, its number may be another's: Linux has 32,768 of them by default.
        if self._process is None or self.returncode is not None:
            return []
        return guard.signal_family(self._process, number)

    def _close(self) -> None:
        cast(IO[bytes], self._guard.stdin).close()
        self._guard.wait(KILL_WAIT_S)


def _alive(process: psutil.Process) -> bool:
    """A zombie is dead: some containers have nobody that reaps it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
