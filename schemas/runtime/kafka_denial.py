"""Why a Kafka client has no connection, as far as librdkafka reports it beside a failed request."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

DENIAL_SECONDS, REASON_SECONDS = 10.0, 1.0
"""A broker that denies a client does so at once, and one that is away is known by that."""

DENIALS = ("_AUTHENTICATION", "_SSL")


class Error(Protocol):
    """librdkafka's, by the names of its codes."""

    def name(self) -> str: ...
    def str(self) -> str: ...


def denial(poll: Callable[[float], object], errors: Sequence[Error]) -> str | None:
    """How Kafka, or we, refused a connection; None where nobody did.

    `poll` serves a client that has just been made, whose `error_cb` appends to `errors`.
    """
    until = monotonic() + DENIAL_SECONDS
    down = False
    while monotonic() < until:
        poll(0.1)
        by_name = {error.name(): error for error in errors}
        for name in DENIALS:
            if name in by_name:
                return by_name[name].str()
        if not down and "_ALL_BROKERS_DOWN" in by_name:  # now and then reported before its reason
            down, until = True, min(until, monotonic() + REASON_SECONDS)
    return None
