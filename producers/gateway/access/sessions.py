"""Browser sessions: a signed cookie that names its token, so that a token that is revoked or expires
ends its sessions at once.

A session ends after some hours, when nothing was done in it for a while, or when somebody signs out;
the latter is published to the topic gateway.sessions, so that it holds on every gateway.
"""

import hashlib
import hmac
import secrets
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fastapi import Request, Response

COOKIE = "fox_session"
_SECURE_COOKIE = f"__Host-{COOKIE}"


class Session(NamedTuple):
    """Ends are in seconds since 1970; `idle_end` is moved by whatever a person does."""

    token_id: str
    id: str
    end: int
    idle_end: int


class Sessions:
    """Cookies hold the fields of a Session, separated by dots, and the signature."""

    def __init__(self, secret: bytes, hours: float, idle_minutes: float) -> None:
        self._secret = secret
        self._idle_seconds = int(idle_minutes * 60)
        self._ended: dict[str, float] = {}
        self.seconds = int(hours * 3600)

    def begin(self, token_id: str) -> str:
        """The cookie's value."""
        now = int(time.time())
        session = Session(token_id, secrets.token_hex(16), now + self.seconds, now)
        return self.renewed(session)

    def renewed(self, session: Session) -> str:
        """The cookie's value after something was done."""
        idle_end = int(time.time()) + self._idle_seconds
        content = f"{session.token_id}.{session.id}.{session.end}.{idle_end}"
        return f"{content}.{self._sign('session', content)}"

    def find(self, cookie: str) -> Session | None:
        """None if the cookie is not ours, or its session has ended."""
        content, _, signature = cookie.rpartition(".")
        if not equal(signature, self._sign("session", content)):
            return None
        parts = content.split(".")
        if len(parts) != len(Session._fields):  # of another version
            return None
        session = Session(parts[0], parts[1], int(parts[2]), int(parts[3]))
        over = min(session.end, session.idle_end) <= time.time()
        return None if over or _public_id(session) in self._ended else session

    def old(self, session: Session) -> bool:
        """Whether it is worth renewing: a tenth of the idle time has passed."""
        return session.idle_end - time.time() < 0.9 * self._idle_seconds

    def end(self, session: Session) -> dict[str, Any]:
        """Ends it on this gateway; the record of schemas/avro/gateway_session.avsc ends it on all."""
        session_id = _public_id(session)
        expires_at = datetime.fromtimestamp(session.end, UTC)
        record = {"id": session_id, "ended_at": datetime.now(UTC), "expires_at": expires_at}
        self.take({session_id: record})
        return record

    def take(self, changed: dict[str, dict[str, Any]]) -> None:
        """Sessions that were ended, on any gateway."""
        now = time.time()
        ended = {id_: record["expires_at"].timestamp() for id_, record in changed.items()}
        self._ended = {id_: end for id_, end in (self._ended | ended).items() if end > now}

    def csrf(self, session_id: str) -> str:
        """What only the session's own pages know, not another site."""
        return self._sign("csrf", session_id)

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), "sha256").hexdigest()


def cookie_name(request: Request) -> str:
    """Behind TLS a name that no other site, and no page without TLS, can set."""
    return _SECURE_COOKIE if request.url.scheme == "https" else COOKIE


def set_session_cookie(answer: Response, request: Request, cookie: str, seconds: int) -> None:
    """Scripts and other sites cannot use it; an empty one is removed."""
    answer.set_cookie(
        cookie_name(request),
        cookie,
        max_age=seconds,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def equal(one: str, other: str) -> bool:
    """In a time that says nothing of where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _public_id(session: Session) -> str:
    return hashlib.sha256(session.id.encode()).hexdigest()
