"""Processes that faults happen to: started, watched, and told apart by how they end."""

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import monotonic, time

import psutil  # type: ignore[import-untyped]  # it ships no types

from deploy.local.processes.process import GuardedProcess
from tests.faults.faults import Fault
from tests.fix_stack import Site

ROOT = Path(__file__).parents[2]
DROWSY_SECONDS = 15.0
KILLED = 128 + signal.SIGKILL
ENDED = (0, 128 + signal.SIGTERM)
"""Exit codes of a worker that was told to end: the latter where it had hardly begun."""

_MODULES = {"worker": "processors.worker.commands", "foxstream": "producers.cli"}


@dataclass
class Process:
    """A worker or a `foxstream` command. `fault` is what is to happen to it."""

    program: str
    guarded: GuardedProcess
    fault: Fault | None = None
    resume_at: float | None = None
    ended_at: float | None = None
    told_to_end_at: float | None = None
    woken_at: float | None = None

    @property
    def log(self) -> Path:
        return self.guarded.launch.log

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        code = self.guarded.returncode
        if code is not None and self.ended_at is None:
            self.ended_at = time()
            self.guarded.kill()  # only closes what was open to it
        return code

    @property
    def already_imported(self) -> bool:
        """Whether a command ended because its import is known already, as one that was killed late."""
        try:
            document = json.loads(self.guarded.log_tail().splitlines()[-1])
            return bool(document["error"]["code"] == "already-imported")
        except (ValueError, LookupError, TypeError):
            return False

    @property
    def free(self) -> bool:
        """Whether a fault at any time may happen to it: it runs, and no other waits for it."""
        return self.code is None and self.fault is None and self.resume_at is None

    def happened(self) -> Fault | None:
        """Its fault, once it was seen to happen."""
        fault = self.fault
        if fault is None:
            return None
        match fault.kind.action:
            case "kill":
                seen = self.code == KILLED
            case "end":
                seen = self.code in ENDED
            case _:
                seen = self._stopped()
                if seen:
                    self.resume_at = monotonic() + fault.kind.seconds
        if not seen:
            return None
        self.fault = None
        return fault

    def suffer(self, fault: Fault) -> None:
        """Makes a fault happen that waits for no point."""
        self.fault = fault
        match fault.kind.action:
            case "kill":
                self._send(signal.SIGKILL)
            case "end":
                self.end()
            case _:
                self._send(signal.SIGSTOP)

    def end(self) -> None:
        """Asks it to end in order."""
        self.told_to_end_at = time()
        self._send(signal.SIGTERM)

    @property
    def asleep(self) -> bool:
        """Whether it is stopped, to be woken later."""
        return self.resume_at is not None

    def wake(self, *, at_once: bool = False) -> None:
        """Lets it go on when its time has come."""
        if self.resume_at is not None and (at_once or monotonic() > self.resume_at):
            self.resume_at = None
            self.woken_at = time()
            self._send(signal.SIGCONT)

    def drowsy(self, moment: float) -> bool:
        """Whether it had just slept then: what it waited for meanwhile has taken too long."""
        # It may wake, and log, a moment before the driver notes that it woke it.
        return self.woken_at is not None and -1 < moment - self.woken_at < DROWSY_SECONDS

    def _stopped(self) -> bool:
        try:
            return bool(psutil.Process(self.guarded.pid).status() == psutil.STATUS_STOPPED)
        except psutil.NoSuchProcess:
            return False

    def _send(self, number: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self.guarded.pid).send_signal(number)


class Starter:
    """Starts processes on a site, each with a log of its own."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._numbers = count(1)
        self.started: list[Process] = []

    def start(
        self, program: str, words: Sequence[str | Path], fault: Fault | None, **settings: str
    ) -> Process:
        """With a fault it is started so that this happens to it at the fault's point.

        `settings` are of this process alone.
        """
        if fault is None:
            argv = [sys.executable, "-c", f"from {_MODULES[program]} import app; app()"]
        else:
            number = "SIGKILL" if fault.kind.action == "kill" else "SIGSTOP"
            trap = [str(fault.kind.point), str(fault.nth), number]
            argv = [sys.executable, "-m", "tests.faults.trapped", *trap, "--", program]
        name = f"{self._site.prefix}{program}{next(self._numbers)}"
        environment = {**self._site.environment, "PYTHONPATH": str(ROOT), **settings}
        guarded = self._site.stack.spawn(name, [*argv, *map(str, words)], env=environment)
        process = Process(program, guarded, fault)
        self.started.append(process)
        return process
