"""Sends the files of a plan at their times, however late those before them are."""

from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Event, Thread
from time import time

import httpx

from tests.soak.crew import Crew
from tests.soak.files import content
from tests.soak.plan import File

GOOD_CODES, UNREACHABLE, REFUSED = (0, 3), 5, 4
PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 180.0
"""So long an upload is tried again while the gateway is away."""

COMMAND_SECONDS = 900.0


class Load:
    """`notes` count what was done again because of a fault, `failures` are what no fault explains.

    `away` tells whether a server or the gateway was away at that time (of the epoch) or just before.
    """

    def __init__(self, crew: Crew, directory: Path, away: Callable[[float], bool]) -> None:
        self._crew = crew
        self._directory = directory
        self._away = away
        self._threads: list[Thread] = []
        self.sent: list[File] = []
        self.notes: Counter[str] = Counter()
        self.failures: list[str] = []

    def begin(self, file: File) -> None:
        """Imports a file now, in a thread of its own."""
        self.sent.append(file)
        thread = Thread(target=self.send, args=[file], daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait(self) -> None:
        """Returns when all files are taken."""
        for thread in self._threads:
            thread.join()

    def send(self, file: File) -> None:
        """By a command to its import's end, to the gateway until it has taken the file."""
        try:
            if file.way == "command":
                self._by_command(file)
            else:
                self._by_upload(file)
        except Exception as error:  # noqa: BLE001 - told at the end, in the other thread
            self.failures.append(f"{file.name}: {error!r}")

    def _by_command(self, file: File) -> None:
        path = self._directory / file.name
        path.write_bytes(content(file))
        texts = ("--generate-ai",) if file.texts else ()
        for start in count(1):
            process = self._crew.start_import(path, "--type", file.kind, "--json", *texts)
            process.guarded.wait(COMMAND_SECONDS)
            code = process.code
            if code in GOOD_CODES or (code == REFUSED and start > 1 and process.already_imported):
                break
            if code != UNREACHABLE or not self._away(time()):
                tail = process.guarded.log_tail()[-1500:]
                raise ValueError(f"{process.log.name} ended with {code}: {tail}")
            self.notes["commands started again"] += 1
            Event().wait(PAUSE_SECONDS)
        path.unlink()

    def _by_upload(self, file: File) -> None:
        texts = {"generate_ai_content": "true"} if file.texts else {}
        until = time() + PATIENCE_SECONDS
        body = content(file)
        for attempt in count(1):
            try:
                answer = self._crew.served.upload(file.name, body, file.kind, **texts)
            except httpx.TransportError as error:
                if not self._away(time()) or time() > until:
                    raise
                self.notes[f"uploads sent again: {type(error).__name__}"] += 1
                Event().wait(PAUSE_SECONDS)
                continue
            # What was taken before the gateway died is there already.
            if answer.status_code == 202 or (answer.status_code == 409 and attempt > 1):
                return
            raise ValueError(f"the gateway answered {answer.status_code}: {answer.text[:500]}")
