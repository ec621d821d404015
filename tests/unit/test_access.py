"""Who is let in: tokens, sessions, forms of our own pages, and how often."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import Request
from pydantic import ValidationError

from producers.gateway.access import accounts, rate_limits
from producers.gateway.access.accounts import Access, Account, Tokens, from_own_page, new_token
from producers.gateway.access.rate_limits import Limits
from producers.gateway.access.sessions import COOKIE, Sessions, cookie_name
from producers.gateway.problems import Problem
from producers.settings import GatewaySettings

SOON = datetime.now(UTC) + timedelta(hours=1)


def request(method: str = "GET", **headers: str) -> Request:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {
            "type": "http", "method": method, "path": "/", "headers": sent, "client": ("1.2.3.4", 5),
            "query_string": b"", "scheme": "http", "server": ("gateway", 80),
        }
    )  # fmt: skip


def token(tokens: Tokens, scope: str = "read", **changed: Any) -> tuple[str, dict[str, Any]]:
    text, record = new_token("me", scope, SOON)
    record |= changed
    tokens.take({record["id"]: record})
    return text, record


Reports = list[tuple[str, str | None, str | None]]


def gate(tokens: Tokens, per_minute: int = 100, reported: Reports | None = None) -> Access:
    """`reported` gets action, account and detail of what is refused."""
    kinds = dict.fromkeys(("requests", "login"), per_minute)
    heard: Reports = [] if reported is None else reported

    def report(_: Request, account: Account | None, action: str, detail: str | None) -> None:
        heard.append((action, account.name if account else None, detail))

    return Access(tokens, Sessions(b"secret", 1, 30), Limits(kinds), report)


def csrf_of(sessions: Sessions, cookie: str) -> str:
    session = sessions.find(cookie)
    assert session is not None
    return sessions.csrf(session.id)


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
    asking = request(authorization=f"Bearer {text}")

    for asked in accounts.SCOPES:
        if asked in may:
            assert gate(tokens).require(asking, asked, "requests").name == "me"
        else:
            assert refused(gate(tokens).require, asking, asked, "requests") == 403


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
    assert ours.account(asked) == Account(
        "me", "read", record["id"], csrf_of(ours.sessions, cookie)
    )

    now = datetime.now(UTC).timestamp()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 3600 + 1)
        assert ours.account(asked) is None
    record["revoked_at"] = datetime.now(UTC)
    assert ours.account(asked) is None


@pytest.mark.parametrize("secret", [b"secret", b"another"])
def test_a_cookie_that_is_not_ours(secret: bytes) -> None:
    """Of another gateway or version, or with another token or a later end than it was signed for."""
    sessions = Sessions(b"secret", 1, 30)
    cookie = Sessions(secret, 1, 30).begin("id")
    token_id, session_id, end, idle_end, signature = cookie.split(".")

    found = sessions.find(cookie)
    assert (found and found.token_id) == ("id" if secret == b"secret" else None)
    for changed in (
        ("other", session_id, end, idle_end),
        (token_id, "other", end, idle_end),
        (token_id, session_id, str(int(end) + 1), idle_end),
        (token_id, session_id, end, str(int(idle_end) + 1)),
    ):
        assert sessions.find(".".join((*changed, signature))) is None
    older = f"{token_id}.{end}.{session_id}"
    assert sessions.find(f"{older}.{sessions._sign('session', older)}") is None
    assert sessions.find("é") is None


def test_an_idle_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person does moves its end, but never beyond its hours; a page that refreshes itself does not."""
    tokens = Tokens()
    _, record = token(tokens, expires_at=None)
    ours = gate(tokens)
    begun = time.time()
    cookie = ours.sessions.begin(record["id"])

    def at(minutes: float, query: bytes = b"", path: str = "/imports") -> str | None:
        """The cookie that the answer sets."""
        monkeypatch.setattr(time, "time", lambda: begun + minutes * 60)
        asked = request(cookie=f"{COOKIE}={cookie}")
        asked.scope.update(query_string=query, path=path)
        assert (ours.account(asked) is not None) == (minutes < 30)
        return asked.scope["state"].get("session_cookie") if "state" in asked.scope else None

    assert at(1) is None  # nothing to renew yet
    assert at(29, b"fragment=true") is None
    assert at(29, path="/api/imports/x/events") is None
    renewed = at(29)
    assert renewed is not None
    at(31)
    assert ours.sessions.find(renewed) is not None
    at(59)
    assert ours.sessions.find(renewed) is None
    monkeypatch.setattr(time, "time", lambda: begun + 40 * 60)
    session = ours.sessions.find(renewed)
    assert session is not None
    again = ours.sessions.renewed(session)
    monkeypatch.setattr(time, "time", lambda: begun + 61 * 60)
    assert ours.sessions.find(again) is None


def test_a_session_that_somebody_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this gateway at once, on the others by its record, which makes no cookie; the others go on."""
    here, there = Sessions(b"secret", 1, 30), Sessions(b"secret", 1, 30)
    cookie, other = here.begin("id"), here.begin("id")
    session = here.find(cookie)
    assert session is not None

    record = here.end(session)

    assert session.id not in str(record)
    assert here.find(cookie) is None
    assert there.find(cookie) is not None
    there.take({record["id"]: record})
    assert there.find(cookie) is None
    assert there.find(there.renewed(session)) is None
    assert here.find(other) is not None
    assert there.find(other) is not None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    there.take({})
    assert there._ended == {}


def test_the_cookie_s_name_says_where_it_is_valid() -> None:
    """Behind TLS one that only this host can set, and no other is taken there."""
    tokens = Tokens()
    _, record = token(tokens)
    ours = gate(tokens)
    cookie = ours.sessions.begin(record["id"])
    for scheme, name in (("http", "fox_session"), ("https", "__Host-fox_session")):
        asked = request(cookie=f"{name}={cookie}")
        asked.scope["scheme"] = scheme
        other = request(cookie=f"{name}={cookie}")
        other.scope["scheme"] = "https" if scheme == "http" else "http"
        assert cookie_name(asked) == name
        assert ours.account(asked) is not None
        assert ours.account(other) is None


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, True),
        ({"origin": "http://gateway"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://gateway.evil.example"}, False),
        ({"origin": "http://gateway:81"}, False),
        ({"origin": "null"}, False),
        ({"referer": "http://gateway/login"}, True),
        ({"referer": "http://evil.example/gateway"}, False),
        ({"sec_fetch_site": "same-origin", "origin": "null"}, True),
        ({"sec_fetch_site": "cross-site", "origin": "http://gateway"}, False),
        ({"sec_fetch_site": "none"}, True),
    ],
)
def test_pages_of_other_sites(headers: dict[str, str], own: bool) -> None:
    """By Sec-Fetch-Site or, in a browser without it, by Origin; a program sends neither."""
    assert from_own_page(request("POST", host="gateway", **headers)) is own


def test_what_is_refused_is_reported() -> None:
    """A false token, a scope, a form of another page, and an import of another account."""
    tokens, reported = Tokens(), Reports()
    text, record = token(tokens)
    ours = gate(tokens, reported=reported)
    cookie = f"{COOKIE}={ours.sessions.begin(record['id'])}"

    refused(ours.account, request(authorization="Bearer fox_x_y"))
    refused(ours.require, request(authorization=f"Bearer {text}"), "admin", "requests")
    refused(ours.require, request("POST", cookie=cookie), "read", "requests")
    account = ours.require(request(authorization=f"Bearer {text}"), "read", "requests")
    refused(ours.require_owner, request(), account, "import", "you")

    assert reported == [
        ("token-refused", None, None),
        ("scope-refused", "me", "admin"),
        ("csrf-refused", "me", "/"),
        ("owner-refused", "me", "import"),
    ]


def test_whose_imports_an_account_acts_on() -> None:
    """Its own, those of its group, and an administrator on all; nobody else on those of the command line."""
    tokens = Tokens()
    names = {"a": "north", "b": "north", "c": "south", "d": None, "e": None}
    for number, (name, group) in enumerate(names.items()):
        record = {**new_token(name, "import", SOON, group)[1], "id": str(number)}
        tokens.take({record["id"]: record})
    ours = gate(tokens)

    def acts_on(name: str, by: str | None, scope: str = "import") -> bool:
        return ours.acts_on(Account(name, scope, "id", group=names[name]), by)

    assert {by for by in names if acts_on("a", by)} == {"a", "b"}
    assert {by for by in names if acts_on("d", by)} == {"d"}
    assert not any(acts_on(name, None) for name in names)
    assert all(acts_on("d", by, "admin") for by in (*names, None))


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
        "x_csrf_token": csrf_of(ours.sessions, cookie if right else other),
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
    asking = request("POST", authorization=f"Bearer {text}", sec_fetch_site="cross-site")

    assert gate(tokens).require(asking, "read", "requests").csrf is None


@pytest.mark.parametrize("proxies", ["*", "ingress", "10.0.0.1, *", "10.0.0.1/8", ""])
def test_trusted_proxies_are_addresses(monkeypatch: pytest.MonkeyPatch, proxies: str) -> None:
    """Trusting everybody, or what is not an address or a network, is refused at the start."""
    monkeypatch.setenv("FOX_GATEWAY_TRUSTED_PROXIES", proxies)
    with pytest.raises(ValidationError):
        GatewaySettings()
    monkeypatch.setenv("FOX_GATEWAY_TRUSTED_PROXIES", "10.0.0.1, 10.1.0.0/16, ::1")
    assert GatewaySettings().trusted_proxies == "10.0.0.1, 10.1.0.0/16, ::1"


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
