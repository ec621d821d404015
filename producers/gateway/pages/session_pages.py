"""The pages to sign in and out, and what a page requires of the session."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from producers.gateway.access.accounts import Account, from_own_page
from producers.gateway.access.sessions import set_session_cookie
from producers.gateway.pages.page_rendering import render
from producers.gateway.problems import Problem
from producers.gateway.shared import of
from schemas.topics import GATEWAY_SESSIONS

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


class SignInNeeded(Exception):  # noqa: N818 - not an error
    """Nobody is signed in: the page to sign in is shown."""


async def _signed_in(request: Request) -> Account:
    gateway = of(request)
    account = gateway.access.account(request)
    if account is None:
        raise SignInNeeded
    gateway.access.limits.spend(request, "request", account.token_id)
    return account


User = Annotated[Account, Depends(_signed_in)]


@router.get("/login")
async def sign_in_page(request: Request, vers: str = "/imports") -> Response:
    """The page to sign in."""
    return render("login.html", None, 200, vers=_inside(vers), problem=None)


@router.post("/login")
async def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=300)] = "",
    vers: Annotated[str, Form(max_length=500)] = "/imports",
) -> Response:
    """Begins a session. Only from our own page, so that no other site can sign a person in."""
    gateway = of(request)
    vers = _inside(vers)
    if not from_own_page(request):
        gateway.audit.write(request, None, "csrf-refused", detail="/login")
        raise Problem(403, "csrf", "Ouvrez la page de connexion de cette application.")
    try:
        gateway.access.limits.spend(request, "login", request.client.host if request.client else "")
    except Problem as problem:
        return render("login.html", None, 429, vers=vers, problem=problem.detail)
    known = gateway.tokens.of_text(token.strip())
    if known is None:
        gateway.audit.write(request, None, "login-refused")
        why = "Ce jeton n'est pas valable : il est faux, expiré ou révoqué."
        return render("login.html", None, 401, vers=vers, problem=why)
    cookie = gateway.access.sessions.begin(known["id"])
    gateway.audit.write(request, Account(known["name"], known["scope"], known["id"]), "login")
    answer = RedirectResponse(vers, 303)
    set_session_cookie(answer, request, cookie, gateway.access.sessions.seconds)
    return answer


def _inside(address: str) -> str:
    """An address of this site, whatever was given."""
    if not address.startswith("/") or address.startswith(("//", "/\\")) or "\n" in address:
        return "/imports"
    return address


@router.post("/logout")
async def sign_out(
    request: Request, account: User, csrf: Annotated[str, Form(max_length=100)] = ""
) -> Response:
    """Ends the session, wherever its cookie is, and has the browser forget what it holds."""
    gateway = of(request)
    gateway.access.check_csrf(request, account, csrf)
    session = gateway.access.session(request)
    if session is not None:
        ended = gateway.access.sessions.end(session)
        gateway.sender.send(GATEWAY_SESSIONS, ended["id"], ended)
    gateway.audit.write(request, account, "logout")
    # Not "cookies": the header is about the whole domain, the site included.
    answer = RedirectResponse("/login", 303, {"Clear-Site-Data": '"cache", "storage"'})
    set_session_cookie(answer, request, "", 0)
    return answer


def visitor(request: Request) -> Account | None:
    """Who is signed in, if anybody is."""
    try:
        return of(request).access.account(request)
    except Problem:
        return None


def sign_in_first(request: Request) -> Response:
    """The page to sign in, or the way to it, if nobody is signed in."""
    if request.method != "GET" or "fragment" in request.query_params:
        return render("login.html", None, 401, vers="/imports", problem=None)
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?{urlencode({'vers': address})}", 303)
