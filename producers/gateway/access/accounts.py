"""Who may do what: bearer tokens, and browser sessions that a login with a token begins.

A session is a signed cookie that names its token, so that a token that is revoked or expires ends
its sessions at once. What changes something needs, in a session, the CSRF token of the session
in the header X-CSRF-Token or the form field csrf, and comes from the gateway's own pages.
"""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from producers.gateway.access.rate_limits import Limits
from producers.gateway.problems import Problem

SCOPES = ("read", "import", "admin")
COOKIE = "fox_session"

_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Account:
    """The account of a request. `csrf` is None for a bearer token."""

    name: str
    scope: str
    token_id: str
    csrf: str | None = None

    def may(self, scope: str) -> bool:
        """Whether the account has the scope or a wider one."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


def new_token(name: str, scope: str, expires_at: datetime | None) -> tuple[str, dict[str, Any]]:
    """The token's text, and its record of schemas/avro/gateway_token.avsc."""
    token_id = secrets.token_hex(8)
    text = f"fox_{token_id}_{secrets.token_urlsafe(32)}"
    return text, {
        "id": token_id,
        "name": name,
        "sha256": _hash(text),
        "scope": scope,
        "created_at": datetime.now(UTC),
        "expires_at": expires_at,
        "revoked_at": None,
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Tokens:
    """The tokens that the topic holds."""

    def __init__(self) -> None:
        self._by_id: dict[str, dict[str, Any]] = {}

    def take(self, changed: dict[str, dict[str, Any]]) -> None:
        """Tokens that are new or changed."""
        self._by_id.update(changed)

    def of_text(self, text: str) -> dict[str, Any] | None:
        """The valid token with this text."""
        parts = text.split("_", 2)
        token = self.of_id(parts[1]) if len(parts) == 3 else None
        if token is None or not hmac.compare_digest(token["sha256"], _hash(text)):
            return None
        return token

    def of_id(self, token_id: str) -> dict[str, Any] | None:
        """The token, if it is neither revoked nor expired."""
        token = self._by_id.get(token_id)
        if token is None or token["revoked_at"] is not None or token["scope"] not in SCOPES:
            return None
        if token["expires_at"] is not None and token["expires_at"] <= datetime.now(UTC):
            return None
        return token


class Sessions:
    """Cookies: token id, end in seconds since 1970, a random part and the signature."""

    def __init__(self, secret: bytes, hours: float) -> None:
        self._secret = secret
        self.seconds = int(hours * 3600)

    def begin(self, token_id: str) -> str:
        """The cookie's value."""
        content = f"{token_id}.{int(time.time()) + self.seconds}.{secrets.token_hex(16)}"
        return f"{content}.{self._sign('session', content)}"

    def token_id(self, cookie: str) -> str | None:
        """Whose session this is; None if the cookie is not ours or has ended."""
        content, _, signature = cookie.rpartition(".")
        if not _equal(signature, self._sign("session", content)):
            return None
        token_id, end, _ = content.split(".")
        return token_id if int(end) > time.time() else None

    def csrf(self, cookie: str) -> str:
        """What only the session's own pages know, not another site."""
        return self._sign("csrf", cookie)

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), "sha256").hexdigest()


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


class Access:
    """The checks that a request passes."""

    def __init__(self, tokens: Tokens, sessions: Sessions, limits: Limits) -> None:
        self.tokens = tokens
        self.sessions = sessions
        self.limits = limits

    def account(self, request: Request) -> Account | None:
        """The account of the request, None if it carries no credentials. Raises Problem for a token that is not valid."""
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind:
            token = self.tokens.of_text(text.strip()) if kind.lower() == "bearer" else None
            if token is None:
                self._refuse_guesses(request)
                raise _unauthorized("Le jeton n'est pas valable : il est faux, expiré ou révoqué.")
            return Account(token["name"], token["scope"], token["id"])
        cookie = request.cookies.get(COOKIE, "")
        token_id = self.sessions.token_id(cookie) if cookie else None
        token = self.tokens.of_id(token_id) if token_id else None
        if token is None:
            return None
        return Account(token["name"], token["scope"], token["id"], self.sessions.csrf(cookie))

    def require(self, request: Request, scope: str, kind: str) -> Account:
        """The account of the request, if it has the scope and is within the limit of this `kind`."""
        account = self.account(request)
        if account is None:
            raise _unauthorized("Donnez un jeton : « Authorization: Bearer fox_… ».")
        if not account.may(scope):
            raise Problem(
                403, "forbidden", f"Ce jeton n'a pas le droit « {scope} » : demandez-en un autre."
            )
        if account.csrf is not None and request.method not in _SAFE:
            self.check_csrf(request, account, request.headers.get("x-csrf-token", ""))
        self.limits.spend(request, kind, account.token_id)
        return account

    def check_csrf(self, request: Request, account: Account, given: str) -> None:
        """Raises Problem if the request may come from another site's page."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none") or not _equal(given, account.csrf or "-"):
            raise Problem(
                403, "csrf", "La page est trop ancienne : rechargez-la, puis recommencez."
            )

    def _refuse_guesses(self, request: Request) -> None:
        client = request.client.host if request.client else "?"
        self.limits.spend(request, "login", client)


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
