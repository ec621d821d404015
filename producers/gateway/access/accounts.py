"""Who may do what: bearer tokens, and browser sessions that a login with a token begins.

What changes something needs, in a session, the CSRF token of the session in the header X-CSRF-Token
or the form field csrf, and comes from the gateway's own pages. Imports belong to the account that
uploaded them, and its group acts on them; those of the command line belong to nobody.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request

from producers.gateway.access.rate_limits import Limits
from producers.gateway.access.sessions import Session, Sessions, cookie_name, equal
from producers.gateway.problems import Problem

SCOPES = ("read", "import", "admin")

_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Account:
    """The account of a request. `csrf` is None for a bearer token."""

    name: str
    scope: str
    token_id: str
    csrf: str | None = None
    group: str | None = None

    def may(self, scope: str) -> bool:
        """Whether the account has the scope or a wider one."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


def new_token(
    name: str, scope: str, expires_at: datetime | None, group: str | None = None
) -> tuple[str, dict[str, Any]]:
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
        "group": group,
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Tokens:
    """The tokens that the topic holds."""

    def __init__(self) -> None:
        self._by_id: dict[str, dict[str, Any]] = {}

    def groups(self, name: str) -> set[str | None]:
        """Of the tokens with this name, the revoked ones too: their imports are still there."""
        return {token.get("group") for token in self._by_id.values() if token["name"] == name}

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


Report = Callable[[Request, Account | None, str, str | None], None]
"""Takes a refusal: its request and account, the action of the audit, and a detail."""


class Access:
    """The checks that a request passes. What it refuses it gives to `report`."""

    def __init__(self, tokens: Tokens, sessions: Sessions, limits: Limits, report: Report) -> None:
        self.tokens = tokens
        self.sessions = sessions
        self.limits = limits
        self._report = report

    def account(self, request: Request) -> Account | None:
        """The account of the request, None if it carries no credentials. Raises Problem for a token that is not valid."""
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind:
            token = self.tokens.of_text(text.strip()) if kind.lower() == "bearer" else None
            if token is None:
                self._refuse_guesses(request)
                self._report(request, None, "token-refused", None)
                raise _unauthorized("Le jeton n'est pas valable : il est faux, expiré ou révoqué.")
            return _account(token, None)
        session = self.session(request)
        token = self.tokens.of_id(session.token_id) if session else None
        if session is None or token is None:
            return None
        if self.sessions.old(session) and _by_a_person(request):
            request.state.session_cookie = self.sessions.renewed(session)
            request.state.session_seconds = session.end - int(time.time())
        return _account(token, self.sessions.csrf(session.id))

    def session(self, request: Request) -> Session | None:
        """The session of the request's cookie, if it has not ended."""
        cookie = request.cookies.get(cookie_name(request), "")
        return self.sessions.find(cookie) if cookie else None

    def require(self, request: Request, scope: str, kind: str) -> Account:
        """The account of the request, if it has the scope and is within the limit of this `kind`."""
        account = self.account(request)
        if account is None:
            raise _unauthorized("Donnez un jeton : « Authorization: Bearer fox_… ».")
        self.limits.spend(request, kind, account.token_id)
        if not account.may(scope):
            self._report(request, account, "scope-refused", scope)
            raise Problem(
                403, "forbidden", f"Ce jeton n'a pas le droit « {scope} » : demandez-en un autre."
            )
        if account.csrf is not None and request.method not in _SAFE:
            self.check_csrf(request, account, request.headers.get("x-csrf-token", ""))
        return account

    def check_csrf(self, request: Request, account: Account, given: str) -> None:
        """Raises Problem if the request may come from another site's page."""
        if not from_own_page(request) or not equal(given, account.csrf or "-"):
            self._report(request, account, "csrf-refused", request.url.path)
            raise Problem(
                403, "csrf", "La page est trop ancienne : rechargez-la, puis recommencez."
            )

    def acts_on(self, account: Account, uploaded_by: str | None) -> bool:
        """Whether the account may act on an import, by the name that this has."""
        if account.may("admin"):
            return True
        if uploaded_by is None:
            return False
        return uploaded_by == account.name or (
            account.group is not None and account.group in self.tokens.groups(uploaded_by)
        )

    def require_owner(
        self,
        request: Request,
        account: Account,
        subject_id: str,
        by: str | None,
        subject: str = "Cet import",
    ) -> None:
        """Raises Problem 403 if the subject, which is of `by`, is not for the account to act on."""
        if not self.acts_on(account, by):
            self._report(request, account, "owner-refused", subject_id)
            raise Problem(
                403,
                "not-yours",
                f"{subject} est d'un autre compte : seuls son auteur, son groupe et un "
                "administrateur peuvent agir dessus.",
            )

    def _refuse_guesses(self, request: Request) -> None:
        client = request.client.host if request.client else "?"
        self.limits.spend(request, "login", client)


def from_own_page(request: Request) -> bool:
    """Whether no page of another site sent it: by Sec-Fetch-Site, else by Origin or Referer.

    Programs send none of them; all browsers send Origin with what changes something.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin") or request.headers.get("referer")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")


def _account(token: Mapping[str, Any], csrf: str | None) -> Account:
    return Account(token["name"], token["scope"], token["id"], csrf, token.get("group"))


def _by_a_person(request: Request) -> bool:
    """Not by a page that brings itself up to date."""
    return "fragment" not in request.query_params and not request.url.path.endswith("/events")


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
