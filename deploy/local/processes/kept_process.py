"""A process that is started again if it fails."""

from datetime import datetime
from time import monotonic

from deploy.local.processes.process import GuardedProcess, Launch

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before it is started again. Each pause is twice the one before, unless it ran for LONGEST_PAUSE_S."""


class KeptProcess:
    """Runs `launch` again if it ends with another code than 0; `look` has to be called now and then."""

    def __init__(self, name: str, launch: Launch) -> None:
        self.process = GuardedProcess(name, launch)
        self.note = ""
        self._started = monotonic()
        self._pause = FIRST_PAUSE_S
        self._restarts = 0
        self._due: float | None = None

    def look(self) -> None:
        """Starts it again if it has ended and its pause is over."""
        if self._due is None:
            if self.process.returncode in (None, 0):
                return
            if monotonic() - self._started > LONGEST_PAUSE_S:
                self._pause = FIRST_PAUSE_S
            self._due = monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
            self._restarts += 1
            self.note = (
                f"restart {self._restarts} after exit code {self.process.returncode} at "
                f"{datetime.now().astimezone():%H:%M:%S}"
            )
        if monotonic() >= self._due:
            self._due, self._started = None, monotonic()
            self.process.wait()  # it has ended: closes what belonged to it
            self.process = GuardedProcess(self.process.name, self.process.launch)
