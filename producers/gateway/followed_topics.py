"""What the gateway knows of imports, tokens and counts, by threads that follow Kafka's topics."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self, cast

import structlog
from confluent_kafka import KafkaException

from producers.kafka.broker import ClusterError
from producers.kafka.import_log import ImportLog
from producers.kafka.import_state import new_state
from producers.kafka.log_reader import LogReader
from producers.kafka.newest_records import NewestRecords, Record
from producers.settings import Settings
from schemas.codec.framing import NAMESPACE, DecodeError, Decoder
from schemas.records import ImportEvent, ImportState
from schemas.runtime.registry import Registry, RegistryUnavailableError
from schemas.topics import (
    GATEWAY_MAPPINGS,
    GATEWAY_SESSIONS,
    GATEWAY_TOKENS,
    IMPORT_EVENTS,
    STATS,
    Topic,
)

_LOGGER = structlog.get_logger(__name__)

_POLL_SECONDS = 0.5
_AGAIN_SECONDS = 3.0


class States:
    """The newest state of every import. Belongs to the event loop."""

    def __init__(self) -> None:
        self.by_id: dict[str, ImportState] = {}
        self.revision = 0
        self._events: dict[str, set[asyncio.Event]] = {}

    def take(self, changed: dict[str, ImportState | None]) -> None:
        """Newer states; None for an import that is forgotten."""
        for import_id, state in changed.items():
            if state is None:
                self.by_id.pop(import_id, None)
            else:
                known = self.by_id.get(import_id)
                if known is not None and known["version"] > state["version"]:
                    continue
                self.by_id[import_id] = state
            for event in self._events.get(import_id, ()):
                event.set()
        self.revision += 1

    def replace(self, states: dict[str, ImportState]) -> None:
        """All that the log holds: what it held before, and does not hold now, was forgotten meanwhile.

        Imports that were submitted just now may not stand there yet.
        """
        gone = [
            import_id
            for import_id, state in self.by_id.items()
            if state["version"] > 0 and import_id not in states
        ]
        self.take({**dict.fromkeys(gone), **states})

    def take_new(self, states: Iterable[ImportState]) -> None:
        """Imports that were submitted just now, which the log may not hold yet."""
        self.take({state["id"]: state for state in states if state["id"] not in self.by_id})

    def subscribe(self, import_id: str) -> "Subscription":
        """An event that is set whenever the import's state changes."""
        return Subscription(self._events, import_id)


class Subscription:
    """A context in which `event` is set by every change."""

    def __init__(self, events: dict[str, set[asyncio.Event]], import_id: str) -> None:
        self._events = events
        self._import_id = import_id
        self.event = asyncio.Event()

    def __enter__(self) -> Self:
        self._events.setdefault(self._import_id, set()).add(self.event)
        return self

    def __exit__(self, *_: object) -> None:
        waiting = self._events[self._import_id]
        waiting.discard(self.event)
        if not waiting:
            del self._events[self._import_id]


def tokens(settings: Settings, registry: Registry, *, follows: bool = False) -> NewestRecords:
    """The tokens, by id."""
    return NewestRecords(settings, registry, GATEWAY_TOKENS, follows=follows)


class _Submissions(LogReader):
    """Imports that are submitted from now on."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        super().__init__(settings, IMPORT_EVENTS, follows=True)
        self._decoder = Decoder("import_event", registry)

    def changed(self, timeout_seconds: float) -> list[ImportState]:
        """The states that they begin with; waits for the first."""
        found: list[ImportState] = []
        message = self.poll(timeout_seconds)
        while message is not None:
            with suppress(DecodeError):
                event = cast("ImportEvent", self._decoder.decode(message.value()))
                name, body = event["event"]
                if name == f"{NAMESPACE}.Submitted":
                    found.append(new_state(id=event["import_id"], created_at=event["at"], **body))
            message = self.poll(0)
        return found


class Follower:
    """Runs `follow` in a thread, again and again until it is stopped.

    `follow` is given a registry client, what to call when everything up to now is known, and when
    to end. `why` is what is in the way, None if nothing is; `needed`: the gateway is not ready
    without it.
    """

    def __init__(
        self,
        name: str,
        follow: Callable[["Follower", Registry], None],
        settings: Settings,
        *,
        needed: bool = True,
    ) -> None:
        self.needed = needed
        self._follow = follow
        self._settings = settings
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.why: str | None = "Les topics de Kafka ne sont pas encore lus."

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def join(self) -> None:
        self._thread.join(5.0)

    @property
    def stopped(self) -> bool:
        """Whether to end."""
        return self._stopped.is_set()

    def ready(self) -> None:
        """Everything up to now is known."""
        self.why = None

    def _run(self) -> None:
        while not self.stopped:
            try:
                with self._settings.registry() as registry:
                    self._follow(self, registry)
            except (ClusterError, RegistryUnavailableError, KafkaException) as error:
                self.why = str(error)
                _LOGGER.warning("followed again", action="follow", error=str(error))
            except Exception as error:
                self.why = str(error)
                _LOGGER.exception("followed again", action="follow")
            self._stopped.wait(_AGAIN_SECONDS)


def follow_states(
    settings: Settings, states: States, loop: asyncio.AbstractEventLoop
) -> list[Follower]:
    """Followers that keep `states` up to date."""

    def imports(follower: Follower, registry: Registry) -> None:
        with ImportLog(settings, registry, follows=True) as log:
            log.start()
            _post(loop, states.replace, dict(log.read()))
            follower.ready()
            while not follower.stopped:
                changed = log.changed(_POLL_SECONDS)
                if changed:
                    _post(loop, states.take, changed)

    def events(follower: Follower, registry: Registry) -> None:
        with _Submissions(settings, registry) as submissions:
            submissions.start(from_now=True)
            follower.ready()
            while not follower.stopped:
                new = submissions.changed(_POLL_SECONDS)
                if new:
                    _post(loop, states.take_new, new)

    return [Follower("imports", imports, settings), Follower("events", events, settings)]


Take = Callable[[dict[str, Record]], None]
TakeChanged = Callable[[dict[str, Record | None]], None]


def follow_tokens(settings: Settings, take: Take, loop: asyncio.AbstractEventLoop) -> Follower:
    """A follower that gives `take` the tokens that change."""
    return Follower("tokens", _following(GATEWAY_TOKENS, settings, _kept(take), loop), settings)


def follow_sessions(settings: Settings, take: Take, loop: asyncio.AbstractEventLoop) -> Follower:
    """A follower that gives `take` the sessions that were ended, by id."""
    following = _following(GATEWAY_SESSIONS, settings, _kept(take), loop)
    return Follower("sessions", following, settings, needed=False)


def follow_stats(settings: Settings, take: Take, loop: asyncio.AbstractEventLoop) -> Follower:
    """A follower that gives `take` the counts that change, by subject."""
    following = _following(STATS, settings, _kept(take), loop)
    return Follower("stats", following, settings, needed=False)


def follow_mappings(
    settings: Settings, take: TakeChanged, loop: asyncio.AbstractEventLoop
) -> Follower:
    """A follower that gives `take` the remembered mappings that change, by id; None for a forgotten one."""
    following = _following(GATEWAY_MAPPINGS, settings, take, loop)
    return Follower("mappings", following, settings, needed=False)


def _kept(take: Take) -> TakeChanged:
    """For a topic of which nothing is removed."""
    return lambda changed: take({key: each for key, each in changed.items() if each is not None})


def _following(
    topic: Topic, settings: Settings, take: TakeChanged, loop: asyncio.AbstractEventLoop
) -> Callable[[Follower, Registry], None]:
    def follow(follower: Follower, registry: Registry) -> None:
        with NewestRecords(settings, registry, topic, follows=True) as log:
            log.start()
            _post(loop, take, dict(log.read()))
            follower.ready()
            while not follower.stopped:
                changed = log.changed(_POLL_SECONDS)
                if changed:
                    _post(loop, take, changed)

    return follow


def _post(loop: asyncio.AbstractEventLoop, take: Callable[[Any], None], what: Any) -> None:
    with suppress(RuntimeError):  # the loop is closed: the gateway ends
        loop.call_soon_threadsafe(take, what)
