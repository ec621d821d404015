"""What all routes share: one object, made when the gateway starts."""

import asyncio
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any

import structlog
from fastapi import Request

from producers.gateway import followed_topics
from producers.gateway.access import accounts
from producers.gateway.access.audit import Audit
from producers.gateway.access.rate_limits import Limits
from producers.gateway.access.record_sender import UNPREPARED, RecordSender
from producers.gateway.access.sessions import Sessions
from producers.gateway.monitoring.health_listener import HealthEndpoints, HealthListener
from producers.gateway.monitoring.server_checks import Probing
from producers.gateway.problems import unknown_import
from producers.gateway.processes.child_processes import Children
from producers.gateway.processes.spool_publisher import Publishing
from producers.gateway.spool.multipart import Receiving
from producers.gateway.spool.shares import Places, RecentTime, Turns
from producers.gateway.spool.spool import Spool, SpooledFile
from producers.kafka.import_state import new_state
from producers.settings import GatewaySettings, Settings
from schemas.records import GatewayMapping, ImportState

_LOGGER = structlog.get_logger(__name__)


_READING = _ACTING = _RETRYING = 4
"""Child processes at once: for previews and reports, for what is done with imports, for retries."""


_HASHING = 4
"""Large files at once whose content is hashed, in threads that all uploads share."""

MOST_READ_SECONDS = 5.0
"""Of processes that read for an account in about twice the time: half of a processor. Beyond, it gives way."""

_SEEN_SECONDS = 0.5


class Gateway:
    """The parts, and their threads and tasks between `start` and `stop`."""

    def __init__(self, settings: Settings, limits: GatewaySettings) -> None:
        self.settings = settings
        self.limits = limits
        self.spool = Spool(limits.spool)
        self.states = followed_topics.States()
        self.tokens = accounts.Tokens()
        secret = limits.secret.get_secret_value().encode() if limits.secret else self.spool.secret()
        self.sender = RecordSender(settings)
        self.audit = Audit(self.sender)
        self.access = accounts.Access(
            self.tokens,
            Sessions(secret, limits.session_hours, limits.session_idle_minutes),
            Limits(
                {
                    "import": limits.imports_per_minute,
                    "check": limits.checks_per_minute,
                    "request": limits.requests_per_minute,
                    "login": limits.logins_per_minute,
                    "piece": limits.requests_per_minute,
                }
            ),
            lambda request, account, action, detail: self.audit.write(
                request, account, action, detail=detail
            ),
        )
        self.receiving = Receiving(
            self.spool,
            limits.max_file_bytes,
            Places(limits.uploads_at_once, limits.account_share),
        )
        self.publishing = Publishing(self.spool, settings, limits, self._succeeded)
        self.children = Children(_READING + _ACTING + _RETRYING)
        self.reading = Turns(_READING, _READING // 2)
        self.read_lately = RecentTime(2 * MOST_READ_SECONDS)
        self.acting = Turns(_ACTING, _ACTING // 2)
        self.retrying = Turns(_RETRYING, _RETRYING // 2)
        self.hashing = Turns(_HASHING, _HASHING // 2)
        self.probing = Probing(settings, self.spool, limits.max_file_bytes)
        self.stats: dict[str, dict[str, Any]] = {}
        self.mappings: dict[str, GatewayMapping] = {}
        self.followers = Places(limits.followers, limits.account_share)
        self.retries: set[asyncio.Task[str]] = set()
        self.beginning = threading.Lock()
        self.health = HealthEndpoints(
            self.failure,
            self.obstacles,
            self.probing.away,
            lambda: self.publishing.unfinished,
            lambda: monotonic() - self._seen_at,
        )
        self.listener: HealthListener | None = None
        self._seen_at = monotonic()
        self.stopping = asyncio.Event()
        self._threads: list[followed_topics.Follower] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._vital: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to follow and to publish. Raises OSError if the port of the health endpoints is taken."""
        self.listen()
        loop = asyncio.get_running_loop()
        files = map(self.spool.find, self.spool.pending())
        self.states.take_new(submitted(spooled) for spooled in files if spooled is not None)
        self._threads = followed_topics.follow_states(self.settings, self.states, loop)
        self._threads.append(followed_topics.follow_tokens(self.settings, self.tokens.take, loop))
        ended = self.access.sessions.take
        self._threads.append(followed_topics.follow_sessions(self.settings, ended, loop))
        self._threads.append(followed_topics.follow_stats(self.settings, self.stats.update, loop))
        self._threads.append(
            followed_topics.follow_mappings(self.settings, self.take_mappings, loop)
        )
        for thread in self._threads:
            thread.start()
        self._vital = asyncio.create_task(self.publishing.run())
        self._vital.add_done_callback(_log_end)
        self._tasks = [
            self._vital,
            asyncio.create_task(self.probing.run()),
            asyncio.create_task(self._prepare_sender()),
            asyncio.create_task(self.children.warm_up()),
            asyncio.create_task(self._be_seen()),
        ]

    def take_mappings(self, changed: Mapping[str, Any]) -> None:
        """Remembered mappings that are new or changed, by id; None for a forgotten one."""
        for mapping_id, mapping in changed.items():
            if mapping is None:
                self.mappings.pop(mapping_id, None)
            else:
                self.mappings[mapping_id] = mapping

    def listen(self) -> None:
        """Serves the health endpoints on their own port, if they have one. Raises OSError."""
        if self.limits.health_port is not None:
            self.listener = HealthListener(self.health, self.limits.host, self.limits.health_port)
            self.listener.start()

    async def stop(self) -> None:
        """Ends everything; what is not published stays in the spool."""
        await self.receiving.ended()
        for thread in self._threads:
            thread.stop()
        ending = [*self._tasks, *self.retries]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self.children.close()
        await asyncio.to_thread(self._join)

    async def _be_seen(self) -> None:
        while True:
            self._seen_at = monotonic()
            await asyncio.sleep(_SEEN_SECONDS)

    def _join(self) -> None:
        if self.listener is not None:
            self.listener.stop()
        for thread in self._threads:
            thread.join()
        self.sender.close()

    async def _prepare_sender(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.sender.prepare)
                return
            except (*UNPREPARED, OSError) as error:
                _LOGGER.warning("audit only in the log", error=str(error))
            await asyncio.sleep(5.0)

    def _succeeded(self) -> set[str]:
        states = self.states.by_id.values()
        return {state["id"] for state in states if state["status"] == "SUCCESS"}

    def obstacles(self) -> list[str]:
        """Why the gateway is not ready; empty if it is."""
        # Once: the threads change it.
        whys = [thread.why for thread in self._threads if thread.needed]
        followed = [why for why in whys if why is not None]
        return followed if self.probing.spool is None else [*followed, self.probing.spool]

    def failure(self) -> str | None:
        """Why the process has to be started anew; None if all of it runs."""
        if self._vital is None:
            return "the gateway starts"
        return "nothing is published any more" if self._vital.done() else None

    def known(self, import_id: str) -> ImportState | None:
        """The state of an import, of the log or, before that, of the spool."""
        state = self.states.by_id.get(import_id)
        if state is None:
            spooled = self.spool.find(import_id)
            state = None if spooled is None else submitted(spooled)
        if state is None or state["status"] != "PENDING":
            return state
        return {**state, "waiting_for": "kafka"} if import_id in self.publishing.waiting else state

    def state(self, import_id: str) -> ImportState:
        """As `known`. Raises Problem 404."""
        state = self.known(import_id)
        if state is None:
            raise unknown_import(import_id)
        return state

    def accepted(self, spooled: SpooledFile) -> None:
        """A file came to the spool: it is published, and listed at once."""
        self.states.take_new([submitted(spooled)])
        self.publishing.look()


def _log_end(publishing: "asyncio.Task[None]") -> None:
    if not publishing.cancelled():
        _LOGGER.error("nothing is published any more", exc_info=publishing.exception())


def submitted(spooled: SpooledFile) -> ImportState:
    """The state of an import of which Kafka knows nothing yet."""
    return new_state(
        id=spooled.id,
        import_type=spooled.import_type,
        file_name=spooled.file_name,
        file_sha256=spooled.sha256,
        uploaded_by=spooled.uploaded_by,
        generate_ai_content=spooled.generate_ai_content,
        options={"policy": spooled.policy},
        created_at=spooled.when,
    )


def of(request: Request) -> Gateway:
    """The gateway of the application."""
    gateway: Gateway = request.app.state.gateway
    return gateway


class Needs:
    """A dependency: the account, which has `scope` and is within its limit of `kind`."""

    def __init__(self, scope: str, kind: str = "request") -> None:
        self._scope = scope
        self._kind = kind

    async def __call__(self, request: Request) -> accounts.Account:
        return of(request).access.require(request, self._scope, self._kind)
