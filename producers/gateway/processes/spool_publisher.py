"""Publishes what the spool holds, in the background, whatever dies.

A failed attempt is repeated every FOX_GATEWAY_RETRY_SECONDS, FOX_GATEWAY_TRIES attempts in all. If
Kafka is still away, the file waits and is tried again every 30 seconds. If its reader keeps crashing,
over restarts of the gateway too, or its memory is not enough, the import ends as ERROR.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any, Literal

import stamina
import structlog
from stamina.instrumentation import PrometheusOnRetryHook, set_on_retry_hooks

from producers.gateway.processes import tasks
from producers.gateway.processes.child_processes import ChildDiedError, Children
from producers.gateway.spool.kept_files import remove_surplus
from producers.gateway.spool.shares import Turns
from producers.gateway.spool.spool import Spool, SpooledFile
from producers.reading.refusals import RefusedError
from producers.settings import GatewaySettings, Settings

_LOGGER = structlog.get_logger(__name__)

_LOOK_SECONDS = 5.0
_AWAY_SECONDS = 30.0
_CLEAN_SECONDS = 600.0
_SMALL_BYTES = 1 << 20
_SMALL_NICENESS = 5
_NICENESS = 10
_ANY = 1_000_000
"""How many files of an account may wait: the disk of the spool is what bounds them."""


class TimeLimitError(Exception):
    """Reading and publishing took longer than the hard limit; the child is gone."""


class Publishing:
    """`waiting`: why imports of this spool are not published, by id.

    `succeeded` returns the imports that no retry needs.
    """

    def __init__(
        self,
        spool: Spool,
        settings: Settings,
        limits: GatewaySettings,
        succeeded: Callable[[], Container[str]] = tuple,
    ) -> None:
        self._spool = spool
        self._succeeded = succeeded
        self._settings = settings
        self._limits = limits
        self._children = Children(limits.publishers + limits.large_publishers)
        self._turns = Turns(limits.publishers, limits.publishers - 1, waiting=_ANY)
        half = max(1, limits.publishers // 2)
        self._middle = Turns(half, half - 1, waiting=_ANY)
        self._large = Turns(limits.large_publishers, limits.large_publishers - 1, waiting=_ANY)
        self._unpublished: dict[str, SpooledFile] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._look = asyncio.Event()
        self._cleaned = -_CLEAN_SECONDS
        self.waiting: dict[str, str] = {}

    @property
    def unfinished(self) -> int:
        """Files that this gateway publishes, or waits to."""
        return len(self._tasks)

    def look(self) -> None:
        """There is something new in the spool."""
        self._look.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                self._look.clear()
                try:
                    await self._begin()
                    await self._clean()
                except Exception:
                    _LOGGER.exception("spool not read", action="publish")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), _LOOK_SECONDS)
        finally:
            await self._stop()

    async def _begin(self) -> None:
        for import_id in await asyncio.to_thread(self._spool.pending):
            if import_id not in self._tasks:
                task = asyncio.create_task(self._publish(import_id))
                self._tasks[import_id] = task
                task.add_done_callback(partial(self._done, import_id))

    async def _clean(self) -> None:
        if monotonic() - self._cleaned > _CLEAN_SECONDS:
            self._cleaned = monotonic()
            removed = await asyncio.to_thread(
                self._spool.clean, self._limits.file_days, self._succeeded()
            )
            share = self._limits.account_share
            removed += await asyncio.to_thread(remove_surplus, self._spool, share)
            _LOGGER.info("spool cleaned", action="clean", removed=removed)

    def _done(self, import_id: str, _: "asyncio.Task[None]") -> None:
        del self._tasks[import_id]
        self._unpublished.pop(import_id, None)

    def unpublished_bytes(self, account: str) -> int:
        """Of the account's files that this gateway publishes, or waits to."""
        return sum(
            spooled.size for spooled in self._unpublished.values() if spooled.uploaded_by == account
        )

    @asynccontextmanager
    async def _turn(self, spooled: SpooledFile) -> AsyncIterator[None]:
        """Small files wait for no large one, and no account for the files of another."""
        lanes = [self._turns]
        if spooled.size > _SMALL_BYTES:
            lanes = [self._large] if spooled.max_rows is None else [self._middle, self._turns]
        async with AsyncExitStack() as held:
            for lane in lanes:
                await held.enter_async_context(lane.turn(spooled.uploaded_by))
            yield

    async def _stop(self) -> None:
        tasks_left = list(self._tasks.values())
        for task in tasks_left:
            task.cancel()
        await asyncio.gather(*tasks_left, return_exceptions=True)
        self._children.close()

    async def _publish(self, import_id: str) -> None:
        try:
            spooled = await asyncio.to_thread(self._spool.find, import_id)
            if spooled is None:
                return
            self._unpublished[import_id] = spooled
            async with self._turn(spooled):
                away = await self._tries(spooled)
            if away is not None:
                self.waiting[import_id] = away
                await asyncio.sleep(_AWAY_SECONDS)
            else:
                self.waiting.pop(import_id, None)
        except Exception:
            _LOGGER.exception("not published", action="publish", import_id=import_id)
            await asyncio.sleep(_AWAY_SECONDS)

    async def _tries(self, spooled: SpooledFile) -> str | None:
        """None when nothing is left to do, else why Kafka cannot take it now."""
        if await asyncio.to_thread(self._spool.tries, spooled.id) >= self._limits.tries:
            return await self._give_up(spooled, "publishing-failed", _FAILED)
        try:
            async for attempt in stamina.retry_context(
                on=partial(self._pause, spooled), attempts=self._limits.tries, timeout=None
            ):
                with attempt:
                    _log_outcome(spooled, await self._once(spooled))
        except tasks.AwayError as error:
            return str(error)
        except RefusedError as refusal:  # its memory was not enough to publish that itself
            return await self._give_up(spooled, refusal.code, refusal.message)
        except ChildDiedError:
            return await self._give_up(spooled, "publishing-failed", _FAILED)
        except TimeLimitError:
            return await self._give_up(spooled, "time-limit", _TOO_SLOW)
        return None

    def _pause(self, spooled: SpooledFile, error: Exception) -> float | Literal[False]:
        """Seconds until the next try; False if there is none."""
        if isinstance(error, tasks.AwayError):
            self._wait(spooled, str(error))
            return self._limits.retry_seconds
        if (
            not isinstance(error, ChildDiedError)
            or self._spool.tries(spooled.id) >= self._limits.tries
        ):
            return False
        _LOGGER.warning("published later", action="retry", import_id=spooled.id, error=str(error))
        return self._limits.retry_seconds

    def _wait(self, spooled: SpooledFile, why: str) -> None:
        """Logs each upload when it begins to wait; what reminds of them is one event for all."""
        if spooled.id in self.waiting:
            _LOGGER.warning("uploads wait", action="retry", error=why)
        else:
            _LOGGER.warning("published later", action="retry", import_id=spooled.id, error=why)
        self.waiting[spooled.id] = why

    async def _once(self, spooled: SpooledFile) -> str:
        watch = _PublishingTime()
        child = asyncio.create_task(
            self._children.run(
                tasks.publish,
                self._settings,
                self._spool.folder,
                spooled.id,
                tasks.Limit(self._limits.soft_limit_seconds),
                seconds=1e9,
                niceness=_SMALL_NICENESS if spooled.size <= _SMALL_BYTES else _NICENESS,
                listen=watch.listen,
            )
        )
        try:
            while not (await asyncio.wait({child}, timeout=1.0))[0]:
                if watch.spent() > self._limits.hard_limit_seconds:
                    raise TimeLimitError
        finally:
            if not child.done():
                child.cancel()
                with suppress(asyncio.CancelledError):
                    await child
                await asyncio.to_thread(self._interrupted, spooled)
        try:
            outcome: str = child.result()
        except tasks.CrowdedError:
            await asyncio.to_thread(self._interrupted, spooled)
            raise
        return outcome

    def _interrupted(self, spooled: SpooledFile) -> None:
        """The gateway ended the child: the file did nothing wrong."""
        with self._spool.lease(spooled.id) as mine:
            if mine:
                self._spool.take_back_try(spooled.id)

    async def _give_up(self, spooled: SpooledFile, code: str, message: str) -> str | None:
        try:
            outcome = await self._children.run(
                tasks.give_up,
                self._settings,
                self._spool.folder,
                spooled.id,
                code,
                message,
                seconds=60.0,
            )
        except (tasks.AwayError, ChildDiedError, TimeoutError) as error:
            return str(error)
        _log_outcome(spooled, f"{outcome}: {code}")
        return None


class _PublishingTime:
    """How long a child has read and published, by what it reported and the time since."""

    def __init__(self) -> None:
        self._at = monotonic()
        self._spent = 0.0
        self._waiting = True  # for a child that reads

    def listen(self, message: Any) -> None:
        kind, self._spent = message
        self._waiting = kind == "waiting"
        self._at = monotonic()

    def spent(self) -> float:
        return self._spent + (0.0 if self._waiting else monotonic() - self._at)


_TOO_SLOW = (
    "La lecture du fichier a dépassé la durée permise et a été interrompue : découpez le fichier, "
    "ou prévenez l'exploitation si cela se répète."
)
_FAILED = (
    "Le fichier n'a pas pu être lu, plusieurs essais ont échoué : prévenez l'exploitation, qui "
    "trouvera pourquoi dans le journal de la passerelle."
)


def configure_retries() -> None:
    """Keeps stamina from logging each retry of this process as well, without the import's id."""
    set_on_retry_hooks([PrometheusOnRetryHook])


def _log_outcome(spooled: SpooledFile, outcome: str) -> None:
    if outcome == "held":
        return  # another gateway publishes it
    _LOGGER.info(
        "upload published",
        action="publish",
        import_id=spooled.id,
        outcome=outcome,
        bytes=spooled.size,
    )
