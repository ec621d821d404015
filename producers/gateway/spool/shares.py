"""How much of what all accounts share one of them may use, and whose turn it is."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from math import exp
from time import monotonic

from producers.gateway.problems import Problem

_WAITING = 20
_FORGOTTEN = 600.0


class Places:
    """`most` places; an account may hold the part `share` of them, and one at least."""

    def __init__(self, most: int, share: float) -> None:
        self.most = most
        self._own = max(1, int(most * share))
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """By all accounts together."""
        return self._held.total()

    @contextmanager
    def place(self, account: str) -> Iterator[None]:
        """Holds a place for the block. Raises Problem if none is left for the account."""
        if self.held >= self.most:
            raise Problem(
                503,
                "busy",
                "Trop de demandes à la fois : recommencez dans quelques secondes.",
                headers={"Retry-After": "5"},
            )
        if self._held[account] >= self._own:
            raise too_many(self._own)
        self._held[account] += 1
        try:
            yield
        finally:
            self._held[account] -= 1
            self._held += Counter()


class Turns:
    """At most `most` at a time, and `own` of one account. Accounts that wait take turns."""

    def __init__(self, most: int, own: int, waiting: int = _WAITING) -> None:
        self._most = most
        self._own = max(1, own)
        self._may_wait = waiting
        self._running: Counter[str] = Counter()
        # The account whose turn is next first.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, account: str) -> AsyncIterator[int]:
        """Waits for a turn; how many the account has now, with this one.

        Raises Problem if too many of the account wait.
        """
        if self._may_run(account):
            self._running[account] += 1
        else:
            await self._wait(account)
        try:
            yield self._running[account]
        finally:
            self._end(account)

    def _may_run(self, account: str) -> bool:
        return self._running.total() < self._most and self._running[account] < self._own

    async def _wait(self, account: str) -> None:
        queue = self._waiting.setdefault(account, deque())
        if len(queue) >= self._may_wait:
            raise too_many(self._may_wait)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(begun)
        try:
            await begun
        except asyncio.CancelledError:
            if begun.cancelled():
                with suppress(ValueError):
                    queue.remove(begun)
            else:
                self._end(account)
            raise

    def _end(self, account: str) -> None:
        self._running[account] -= 1
        self._running += Counter()
        for waiting in list(self._waiting):
            if self._may_run(waiting):
                self._begin(waiting)

    def _begin(self, account: str) -> None:
        queue = self._waiting.pop(account)
        while queue and queue[0].done():  # cancelled just now
            queue.popleft()
        if queue:
            self._running[account] += 1
            queue.popleft().set_result(None)
            self._waiting[account] = queue


class RecentTime:
    """Seconds that accounts have used, which count less and less: after `window` seconds a third."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._used: dict[str, tuple[float, float]] = {}

    @contextmanager
    def used(self, account: str) -> Iterator[None]:
        """The block is the account's."""
        began = monotonic()
        try:
            yield
        finally:
            now = monotonic()
            for other in [each for each, (_, at) in self._used.items() if now - at > _FORGOTTEN]:
                del self._used[other]
            self._used[account] = self.of(account) + now - began, now

    def of(self, account: str) -> float:
        """Seconds that count now."""
        seconds, at = self._used.get(account, (0.0, 0.0))
        return seconds * exp((at - monotonic()) / self._window)


def too_many(most: int) -> Problem:
    """An account has all that it may have."""
    return Problem(
        429,
        "account-share",
        f"Ce compte a déjà {most} demandes en cours : attendez que l'une se termine.",
        headers={"Retry-After": "5"},
    )
