"""The kinds of faults, and the order in which a run makes them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, repeat
from typing import Literal

from tests.faults.points import POINTS

Target = Literal["worker", "foxstream", "postgres", "kafka", "registry"]
Action = Literal["kill", "end", "stop", "restore"]

SHORT, LONG = 3.0, 13.0
"""Seconds: a worker that stops for the longer ones is taken for dead (FOX_SESSION_SECONDS, by default 10)."""

OUTAGE = 90.0
"""Seconds of a long outage: longer than Kafka's clients wait for an answer."""


@dataclass(frozen=True)
class Kind:
    """One kind of fault. `kill` is SIGKILL, `end` an orderly end, `stop` SIGSTOP for `seconds`; `restore` sets
    the data of a server back to a copy that is `seconds` old.

    At the named point of a process, or else at any time.
    """

    target: Target
    action: Action
    point: str | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        place = f" at {self.point}" if self.point else ""
        length = f" for {self.seconds:g} s" if self.seconds else ""
        return f"{self.target} {self.action}{place}{length}"


@dataclass(frozen=True)
class Fault:
    """A fault to be made: after so many passings of its point, or so long after the one before."""

    number: int
    kind: Kind
    nth: int
    pause: float


def _at(point: str, action: Action = "kill", seconds: float = 0.0) -> Kind:
    return Kind(POINTS[point].program, action, point, seconds)


# What the short version makes, and every run first.
FIRST = (
    _at("fetched"),
    _at("mid-copy"),
    _at("before-commit"),
    _at("committed"),
    _at("before-ack"),
    _at("reject-sent"),
    _at("state-sent"),
    _at("positions-read"),
    _at("flushing"),
    _at("before-commit", "stop", LONG),
    Kind("worker", "kill"),
    Kind("foxstream", "kill"),
    Kind("postgres", "kill", seconds=1.0),
    Kind("kafka", "kill", seconds=1.0),
)

LENGTHY = (
    Kind("postgres", "kill", seconds=OUTAGE),
    Kind("kafka", "kill", seconds=OUTAGE),
    Kind("postgres", "restore", seconds=SHORT),
)

DECK = (
    *map(_at, POINTS),
    *(_at(point, "stop", SHORT) for point in ("mid-copy", "reject-sent", "publishing", "sought")),
    *(
        _at(point, "stop", LONG)
        for point in ("fetched", "before-commit", "before-ack", "state-sent", "positions-read")
    ),
    *(Kind("worker", "kill"),) * 7,
    *(Kind("worker", "end"),) * 4,
    *(Kind("worker", "stop", seconds=SHORT),) * 2,
    *(Kind("worker", "stop", seconds=LONG),) * 3,
    *(Kind("foxstream", "kill"),) * 5,
    Kind("foxstream", "stop", seconds=SHORT),
    *(Kind("postgres", "kill", seconds=seconds) for seconds in (0.5, SHORT)),
    Kind("postgres", "end", seconds=SHORT),
    *(Kind("postgres", "stop", seconds=seconds) for seconds in (SHORT, LONG)),
    *(Kind("kafka", "kill", seconds=seconds) for seconds in (0.5, SHORT)),
    *(Kind("kafka", "stop", seconds=seconds) for seconds in (SHORT, LONG)),
    *(Kind("registry", "kill", seconds=seconds) for seconds in (SHORT, LONG)),
    *LENGTHY,
)

# Passed once in the life of a process, or only now and then.
_RARE = {"isolating", "revoked", "positions-read", "sought", "rejects-kept", "state-sent"}
_ONCE = {"submitting", "submitted", "before-finished", "finishing", "finished"}


def faults(chance: random.Random) -> Iterator[Fault]:
    """Without an end; each kind comes about as often as it stands in the deck."""
    numbers = count(1)
    for deck in chain([FIRST], repeat(DECK)):
        for kind in chance.sample(deck, len(deck)):
            yield Fault(next(numbers), kind, _nth(kind, chance), chance.uniform(0.2, 2.0))


def _nth(kind: Kind, chance: random.Random) -> int:
    if kind.point in _ONCE:
        return 1
    if kind.point in _RARE or kind.target == "foxstream":
        return chance.randint(1, 2)
    return chance.randint(1, 6)
