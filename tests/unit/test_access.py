"""Who is let in: tokens, sessions, forms of our own pages, and how often."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import Request

from producers.gateway.access import accounts, rate_limits
from producers.gateway.access.accounts import COOKIE, Access, Account, Sessions, Tokens, new_token
from producers.gateway.access.rate_limits import Limits
from producers.gateway.problems import Problem

SOON = datetime.now(UTC) + timedelta(hours=1)


def request(method: str = "GET", **headers: str) -> Request:
    told = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {"type": "http", "method": method, "path": "/", "headers": told, "client": ("1.2.3.4", 5)}
    )


def token(tokens: Tokens, scope: str = "read", **changed: Any) -> tuple[str, dict[str, Any]]:
    text, record = new_token("me", scope, SOON)
    record |= changed
    tokens.take({record["id"]: record})
    return text, record


def gate(tokens: Tokens, per_minute: int = 100) -> Access:
    kinds = dict.fromkeys(("requests", "login"), per_minute)
    return Access(tokens, Sessions(b"secret", 1), Limits(kinds))


def refused(call: Any, *arguments: Any) -> int:
    with pytest.raises(Problem) as problem:
        call(*arguments)
    return problem.value.status


# Tokens


def test_a_token() -> None:
    tokens = Tokens()
    text, record = token(tokens)

    assert tokens.of_text(text) == record


@pytest.mark.parametrize(
    "changed",
    [
        {"revoked_at": datetime.now(UTC)},
        {"expires_at": datetime.now(UTC)},
        {"scope": "everything"},
        {"sha256": "0" * 64},
    ],
)
def test_tokens_that_are_not_valid(changed: dict[str, Any]) -> None:
    """Revoked, expired, of a scope that there is not, or with another secret."""
    tokens = Tokens()
    text, _ = token(tokens, **changed)

    assert tokens.of_text(text) is None


@pytest.mark.parametrize("text", ["", "fox", "fox_", "fox__", "fox_0_0", "a_b_c_d"])
def test_what_is_no_token(text: str) -> None:
    tokens = Tokens()
    token(tokens)

    assert tokens.of_text(text) is None


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("read", {"read"}),
        ("import", {"read", "import"}),
        ("admin", {"read", "import", "admin"}),
    ],
)
def test_scopes(scope: str, may: set[str]) -> None:
    """A wider scope holds the narrower ones, and none holds a wider."""
    tokens = Tokens()
    text, _ = token(tokens, scope)
    told = request(authorization=f"Bearer {text}")

    for asked in accounts.SCOPES:
        if asked in may:
            assert gate(tokens).require(told, asked, "requests").name == "me"
        else:
            assert refused(gate(tokens).require, told, asked, "requests") == 403


def test_nobody() -> None:
    assert refused(gate(Tokens()).require, request(), "read", "requests") == 401
    assert refused(gate(Tokens()).account, request(authorization="Basic eDp5")) == 401


def test_guesses_are_limited() -> None:
    """By the address that they come from, whatever is guessed."""
    guessing = gate(Tokens(), 2)

    tried = [
        refused(guessing.account, request(authorization=f"Bearer fox_{number}_x"))
        for number in range(3)
    ]

    assert tried == [401, 401, 429]


# Sessions


def test_a_session_ends_with_its_token_and_with_its_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens()
    _, record = token(tokens)
    ours = gate(tokens)
    cookie = ours.sessions.begin(record["id"])
    asked = request(cookie=f"{COOKIE}={cookie}")
    assert ours.account(asked) == Account("me", "read", record["id"], ours.sessions.csrf(cookie))

    now = datetime.now(UTC).timestamp()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 3600 + 1)
        assert ours.account(asked) is None
    record["revoked_at"] = datetime.now(UTC)
    assert ours.account(asked) is None


@pytest.mark.parametrize("secret", [b"secret", b"another"])
def test_a_cookie_that_is_not_ours(secret: bytes) -> None:
    """Of another gateway, or with another token or a later end than it was signed for."""
    sessions = Sessions(b"secret", 1)
    cookie = Sessions(secret, 1).begin("id")
    token_id, end, rest = cookie.split(".", 2)

    assert sessions.token_id(cookie) == ("id" if secret == b"secret" else None)
    assert sessions.token_id(f"other.{end}.{rest}") is None
    assert sessions.token_id(f"{token_id}.{int(end) + 1}.{rest}") is None
    assert sessions.token_id("é") is None


@pytest.mark.parametrize(
    ("site", "right", "let_in"),
    [
        ("same-origin", True, True),
        ("none", True, True),
        (None, True, True),
        ("same-origin", False, False),
        ("same-site", True, False),
        ("cross-site", True, False),
    ],
)
def test_changes_come_from_our_own_pages(site: str | None, right: bool, let_in: bool) -> None:
    """A session changes something only with its own CSRF token, and from no other site's page."""
    tokens = Tokens()
    _, record = token(tokens)
    ours = gate(tokens)
    cookie = ours.sessions.begin(record["id"])
    other = ours.sessions.begin(record["id"])
    headers = {
        "cookie": f"{COOKIE}={cookie}",
        "x_csrf_token": ours.sessions.csrf(cookie if right else other),
        **({} if site is None else {"sec_fetch_site": site}),
    }

    assert ours.require(request("GET", **headers), "read", "requests").name == "me"
    if let_in:
        assert ours.require(request("POST", **headers), "read", "requests").name == "me"
    else:
        assert refused(ours.require, request("POST", **headers), "read", "requests") == 403


def test_a_bearer_token_needs_no_form() -> None:
    """No browser sends it by itself."""
    tokens = Tokens()
    text, _ = token(tokens)
    told = request("POST", authorization=f"Bearer {text}", sec_fetch_site="cross-site")

    assert gate(tokens).require(told, "read", "requests").csrf is None


# Limits


def test_a_bucket_holds_a_minute_s_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fills evenly and never over; each account and kind of request has its own."""
    now = 1000.0
    monkeypatch.setattr(rate_limits, "monotonic", lambda: now)
    per_minute = Limits({"a": 6, "b": 6})

    def spent(account: str = "me", kind: str = "a") -> int:
        """How many requests pass until one is refused."""
        for number in range(100):
            try:
                per_minute.spend(request(), kind, account)
            except Problem:
                return number
        raise AssertionError("no limit")

    assert spent() == 6
    assert (spent("you"), spent("me", "b")) == (6, 6)
    now += 9.9
    assert spent() == 0
    now += 10.2
    assert spent() == 2
    now += 86_400
    assert spent() == 6


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many accounts the one that was seen longest ago is forgotten first."""
    monkeypatch.setattr(rate_limits, "_MOST", 3)
    per_minute = Limits({"a": 1})
    for account in ("1", "2", "3"):
        per_minute.spend(request(), "a", account)
    assert refused(per_minute.spend, request(), "a", "1") == 429

    per_minute.spend(request(), "a", "4")

    assert refused(per_minute.spend, request(), "a", "1") == 429
    per_minute.spend(request(), "a", "2")
