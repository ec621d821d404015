"""What a run does when: files at a steady rhythm, faults at fixed times. All of it from two numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["ENTREPRISE", "VILLE", "CATEGORIE", "SOUS_CATEGORIE"]
Way = Literal["command", "upload"]

SHARE = 0.7
"""Of the capacity that the run has measured."""

ROUND_SECONDS = 20.0
CAPACITY_ROWS = 100_000
LARGEST_UPLOAD = 49_000
"""Rows: the gateway takes 50,000, and some 100 bytes a row are far from its 10 MiB."""

BAD_SHARE = 0.01
FRESH_SHARE = 0.05
"""Of a file's companies; the others are known, so that the table grows little while the run lasts."""

ROUNDS_OF_AN_EDITION = 4
"""So long the values of a company stay: then its next row changes it, and those after that do not."""

CALLS_A_MINUTE = 240
"""The limit of calls to the model that the run sets, for all workers together."""

TEXTS = 28
"""Of a file that asks for texts: every other round has one. A fifth of the limit, so that what the
model's absence leaves undone is made good before the run is over."""

SIDE_ROWS = 40
SIDE_SECONDS = 6.0
"""After the begin of a round."""


@dataclass(frozen=True)
class File:
    """A file to be imported `at` seconds after the begin.

    It has the `fresh` entities from number `first` on, then `known` ones of those before `first`,
    from number `again` on and round; and `bad` rows that the reader refuses.
    """

    name: str
    kind: Kind
    way: Way
    at: float
    first: int
    fresh: int
    again: int = 0
    known: int = 0
    bad: int = 0
    edition: int = 0
    texts: bool = False

    @property
    def rows(self) -> int:
        return self.fresh + self.known + self.bad

    @property
    def asked(self) -> int:
        """Texts that it asks for: of rows that it creates."""
        return self.fresh if self.texts else 0

    def numbers(self) -> Iterator[int]:
        """Of the entities that it names, each once."""
        yield from range(self.first, self.first + self.fresh)
        yield from ((self.again + n) % self.first for n in range(self.known))


FIRST_CATEGORIES = File("categories.csv", "CATEGORIE", "command", 0.0, 0, 10)
CAPACITY = File("capacity.csv", "ENTREPRISE", "command", 0.0, 0, CAPACITY_ROWS)
"""Imported before the load begins, one after the other."""


@dataclass(frozen=True)
class Fault:
    """What happens to whom `at` seconds after the begin; for `seconds`, or at once undone."""

    name: str
    at: float
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A run of so many minutes on a system that takes so many rows a second."""

    minutes: float
    capacity: float

    @property
    def seconds(self) -> float:
        return 60 * self.minutes

    @property
    def rows_a_round(self) -> int:
        return round(SHARE * self.capacity * ROUND_SECONDS)

    @property
    def files(self) -> list[File]:
        """In the order of their times."""
        made = _Made(self.rows_a_round)
        return [
            file for number in range(int(self.seconds / ROUND_SECONDS)) for file in made(number)
        ]

    @property
    def faults(self) -> list[Fault]:
        """In the order of their times: the last fifth of the run is quiet. Of a short run they are short."""
        shares = (
            (0.08, "gateway SIGKILL", 0.0),
            (0.13, "worker SIGKILL", WORKER_SECONDS * min(1.0, self.minutes / 10)),
            (0.22, "postgres stopped", 10.0),
            (0.28, "kafka paused", 5.0),
            (0.34, "registry stopped", 10.0),
            (0.40, "worker SIGTERM", 0.0),
            (0.45, "model answers 503", MODEL_SECONDS * min(1.0, self.minutes / 30)),
        )
        return [Fault(name, share * self.seconds, seconds) for share, name, seconds in shares]


WORKER_SECONDS = 100.0
"""The killed worker is away for longer than the minute after which FoxWorkerDown fires."""

MODEL_SECONDS = 600.0


class _Made:
    """Makes the files of one round after another."""

    def __init__(self, rows_a_round: int) -> None:
        self._rows = rows_a_round
        self._next: dict[Kind, int] = {
            "ENTREPRISE": CAPACITY.fresh,
            "VILLE": 0,
            "CATEGORIE": FIRST_CATEGORIES.fresh,
            "SOUS_CATEGORIE": 0,
        }
        self._again = 0

    def __call__(self, number: int) -> list[File]:
        at = number * ROUND_SECONDS
        way: Way = "upload" if number % 2 else "command"
        other: Way = "command" if number % 2 else "upload"
        files = [*self._companies(number, at, way), self._side(number, at + SIDE_SECONDS, other)]
        return sorted(files, key=lambda file: file.at)

    def _companies(self, number: int, at: float, way: Way) -> Iterator[File]:
        largest = self._rows if way == "command" else LARGEST_UPLOAD
        count = -(-self._rows // largest)
        for part in range(count):
            rows = self._rows // count
            bad = round(rows * BAD_SHARE)
            first = self._next["ENTREPRISE"]
            known = min(first, round((rows - bad) * (1 - FRESH_SHARE)))
            yield File(
                f"companies{number:04d}-{part}.csv",
                "ENTREPRISE",
                way,
                at + part * ROUND_SECONDS / count,
                first,
                rows - bad - known,
                self._again % first,
                known,
                bad,
                edition=number // ROUNDS_OF_AN_EDITION,
            )
            self._next["ENTREPRISE"] += rows - bad - known
            self._again = (self._again + known) % first

    def _side(self, number: int, at: float, way: Way) -> File:
        kinds: tuple[Kind, ...] = ("VILLE", "CATEGORIE", "SOUS_CATEGORIE", "VILLE")
        kind = kinds[number % 4]
        texts = number % 2 == 0
        first = self._next[kind]
        fresh = TEXTS if texts else SIDE_ROWS // 4
        known = 0 if texts else min(first, SIDE_ROWS - fresh)
        self._next[kind] += fresh
        return File(
            f"{kind.lower()}{number:04d}.csv",
            kind,
            way,
            at,
            first,
            fresh,
            known=known,
            bad=1,
            edition=number,
            texts=texts,
        )
