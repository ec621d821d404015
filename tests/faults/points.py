"""The named points: where in the product a process can be made to end or to stop.

The product carries no hooks. A point names a function of it, as `module:Class.name`, and the way in
which that function is wrapped. A name that is no longer there is an error, never a point that is
silently not passed.
"""

import importlib
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from schemas.topics import IMPORT_LOG

Function = Callable[..., Any]
Passed = Callable[[], None]
"""What a wrapped function calls when its point is passed."""

Program = Literal["worker", "foxstream"]


class MissingPointError(LookupError):
    """The product no longer has what a point names."""


@dataclass(frozen=True)
class Point:
    """`wrap` makes a function out of the one at `place` that tells each passing."""

    program: Program
    place: str
    wrap: Callable[[Function, Passed], Function]

    def install(self, passed: Passed) -> None:
        """Wraps the function for the rest of this process. Raises MissingPointError."""
        owner, name, function = self.resolve()
        setattr(owner, name, self.wrap(function, passed))

    def resolve(self) -> tuple[Any, str, Function]:
        """What holds the function, its name there and the function. Raises MissingPointError."""
        module, _, path = self.place.partition(":")
        *holders, name = path.split(".")
        try:
            owner: Any = importlib.import_module(module)
            for holder in holders:
                owner = vars(owner)[holder]
            return owner, name, vars(owner)[name]
        except (ImportError, KeyError) as error:
            raise MissingPointError(f"there is no {self.place}") from error


def before(function: Function, passed: Passed) -> Function:
    """Passed when the function is called."""
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def later(*args: Any, **kwargs: Any) -> Any:
            passed()
            return await function(*args, **kwargs)

        return later

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        passed()
        return function(*args, **kwargs)

    return wrapped


def after(function: Function, passed: Passed) -> Function:
    """Passed when the function returns; not when it raises."""
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def later(*args: Any, **kwargs: Any) -> Any:
            answer = await function(*args, **kwargs)
            passed()
            return answer

        return later

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = function(*args, **kwargs)
        passed()
        return answer

    return wrapped


def first_item(generator: Function, passed: Passed) -> Function:
    """Passed before an asynchronous generator gives its first item."""

    @wraps(generator)
    async def wrapped(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        first = True
        async with aclosing(generator(*args, **kwargs)) as items:
            async for item in items:
                if first:
                    passed()
                first = False
                yield item

    return wrapped


def halfway(write: Function, passed: Passed) -> Function:
    """Passed when the first half of what is to be written is written."""

    @wraps(write)
    async def wrapped(self: Any, text: str) -> None:
        middle = len(text) // 2
        await write(self, text[:middle])
        passed()
        await write(self, text[middle:])

    return wrapped


def leaving(context: Function, passed: Passed) -> Function:
    """Passed when the block of a context manager ends well, before the manager hears of it."""

    @asynccontextmanager
    async def wrapped(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with context(*args, **kwargs) as value:
            yield value
            passed()

    return wrapped


def left(context: Function, passed: Passed) -> Function:
    """Passed when a context manager has done all that it does at its end."""

    @asynccontextmanager
    async def wrapped(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        manager: AbstractAsyncContextManager[Any] = context(*args, **kwargs)
        async with manager as value:
            yield value
        passed()

    return wrapped


def sent(topic: str) -> Callable[[Function, Passed], Function]:
    """Of what makes senders: passed when a record of `topic` is acknowledged."""

    def wrap(make: Function, passed: Passed) -> Function:
        @wraps(make)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            send = make(*args, **kwargs)

            async def telling(name: str, *more: Any) -> Any:
                offset = await send(name, *more)
                if name.endswith(topic):
                    passed()
                return offset

            return telling

        return wrapped

    return wrap


_DRAINING = "processors.kafka.consumer:BatchConsumer"
_TRANSACTION = "processors.rows.transaction"
_OUTBOX = "processors.rows.outbox:Outbox"
_IMPORTS = "processors.imports.tracker"
_EVENTS = "producers.imports.events:Events"
_PUBLISHER = "producers.kafka.publisher:Publisher"

POINTS: dict[str, Point] = {
    # The way of a batch.
    "fetched": Point("worker", f"{_DRAINING}.getmany", first_item),
    "turn-taken": Point("worker", "processors.rows.accounting.positions:advance", after),
    "mid-copy": Point("worker", "psycopg:AsyncCopy.write", halfway),
    "isolating": Point("worker", f"{_TRANSACTION}:merge_isolating", before),
    "rejects-kept": Point("worker", "processors.rows.accounting.rejects:store", after),
    "before-commit": Point("worker", f"{_TRANSACTION}:transaction", leaving),
    "committed": Point("worker", f"{_TRANSACTION}:transaction", left),
    "before-ack": Point("worker", f"{_OUTBOX}.add", before),
    # What is told after a commit.
    "progress-told": Point("worker", f"{_OUTBOX}._publish_progress", after),
    "reject-sent": Point("worker", f"{_OUTBOX}._publish_reject", after),
    # The tracker.
    "events-before-commit": Point("worker", f"{_IMPORTS}:transaction", leaving),
    "events-committed": Point("worker", f"{_IMPORTS}:transaction", left),
    "state-unsent": Point("worker", f"{_IMPORTS}:Tracker._send", before),
    "state-sent": Point("worker", "processors.worker.topology:sender", sent(IMPORT_LOG.name)),
    # A rebalance.
    "revoked": Point("worker", f"{_DRAINING}.on_partitions_revoked", before),
    "positions-read": Point("worker", "processors.rows.accounting.positions:StoredPositions.restore", after),
    "sought": Point("worker", f"{_DRAINING}._seek_to_stored", after),
    # The producer.
    "submitting": Point("foxstream", f"{_EVENTS}.submitted", after),
    "submitted": Point("foxstream", "producers.imports.connections:Connections.window", before),
    "publishing": Point("foxstream", f"{_PUBLISHER}.publish", after),
    "flushing": Point("foxstream", f"{_PUBLISHER}.flush", before),
    "before-finished": Point("foxstream", f"{_EVENTS}.finished", before),
    "finishing": Point("foxstream", f"{_EVENTS}.finished", after),
    "finished": Point("foxstream", "producers.imports.order:Reading.finish", before),
}  # fmt: skip
