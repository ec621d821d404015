"""One server of the stack: started until it answers, stopped, killed, paused."""

import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from deploy.local.errors import ServerError
from deploy.local.processes.ports import free_port
from deploy.local.processes.process import GuardedProcess, Launch

POLL_S = 0.05


class Server(ABC):
    """A server with fixed ports and data: `start` after `stop` or `kill` finds both again.

    `abandoned` ends a waiting `start` early.
    """

    name: ClassVar[str]
    variable: ClassVar[str]
    deadline_s: ClassVar[float] = 240.0

    def __init__(self, directory: Path, abandoned: threading.Event) -> None:
        self.data = directory / self.name
        self.log = directory / "logs" / f"{self.name}.log"
        self.port = free_port()
        self._abandoned = abandoned
        self._process: GuardedProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The value of its environment variable."""

    @abstractmethod
    def _launch(self) -> Launch:
        """Prepares the data directory and says how to start."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it does its work by now."""

    @property
    def pid(self) -> int | None:
        """The id of the server's own (first) process, None while it is down."""
        return self._process.pid if self._process is not None and self._process.running else None

    def start(self) -> None:
        """Returns when the server answers. Does nothing if it runs.

        Raises ServerError, with the tail of its log, when it ends or the deadline passes.
        """
        if self.pid is not None:
            return
        self._process = GuardedProcess(self.name, self._launch())
        try:
            self._wait(self._process)
        except BaseException:
            self._process.kill()
            raise

    def stop(self) -> None:
        """An orderly end. Does nothing if it is down."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """SIGKILL to all of it. Does nothing if it is down."""
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        """SIGSTOP to all of it: connections stay open and nothing answers."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Takes a `pause` back."""
        if self._process is not None:
            self._process.resume()

    def _wait(self, process: GuardedProcess) -> None:
        deadline = time.monotonic() + self.deadline_s
        while not self._answers():
            if not process.running:
                raise ServerError(f"{self.name} ended at once:\n{process.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} did not answer within {self.deadline_s:g} s:\n{process.log_tail()}"
                )
            if self._abandoned.wait(POLL_S):
                raise ServerError(f"{self.name} was told to stop while it was starting")
