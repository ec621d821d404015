"""The application: routes, what every answer carries, and how errors are reported."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException

from producers.gateway import problems
from producers.gateway.access.open_requests import HEALTH, OpenRequests
from producers.gateway.access.request_bodies import RequestBodies
from producers.gateway.access.sessions import set_session_cookie
from producers.gateway.api import (
    confirmation_api,
    documents,
    imports_api,
    mappings_api,
    texts_api,
)
from producers.gateway.monitoring import gateway_metrics
from producers.gateway.pages import admin_pages, session_pages
from producers.gateway.pages.page_rendering import FOLDER
from producers.gateway.problems import Problem
from producers.gateway.shared import Gateway
from producers.gateway.uploads import tus
from producers.settings import GatewaySettings, Settings

_LOGGER = structlog.get_logger(__name__)

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(settings: Settings, limits: GatewaySettings) -> FastAPI:
    """The application; its gateway starts and stops with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gateway = app.state.gateway = Gateway(settings, limits)
        gateway.start()
        yield
        await gateway.stop()

    app = FastAPI(
        title="foxstream",
        version="1",
        description="Imports of files into FOX-Reviews: upload, watch, correct.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=problems.RESPONSES,
        redirect_slashes=False,
    )
    app.include_router(tus.router)
    app.include_router(mappings_api.router)
    app.include_router(texts_api.router)
    app.include_router(confirmation_api.router)
    app.include_router(imports_api.router)
    app.include_router(session_pages.router)
    app.include_router(admin_pages.router)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    _add_health(app)
    _add_errors(app)
    _describe(app)
    app.add_middleware(RequestBodies, limits=limits)
    total = limits.connections * 3 // 4
    app.add_middleware(OpenRequests, most=limits.requests_per_client, total=total)
    app.add_middleware(Envelope)
    return app


def _add_health(app: FastAPI) -> None:
    async def answer(request: Request) -> Response:
        gateway: Gateway = request.app.state.gateway
        status, media_type, body = gateway.health.answer(request.url.path)
        return Response(body, status, media_type=media_type)

    for path in HEALTH:
        app.add_api_route(path, answer, include_in_schema=False)


def _add_errors(app: FastAPI) -> None:
    for kind in _PROBLEMS:
        app.add_exception_handler(kind, _on_error)

    @app.exception_handler(session_pages.SignInNeeded)
    async def on_nobody(request: Request, error: session_pages.SignInNeeded) -> Response:
        return session_pages.sign_in_first(request)


async def _on_error(request: Request, error: Exception) -> Response:
    problem = next(make(error) for kind, make in _PROBLEMS.items() if isinstance(error, kind))
    if problem.status == 500:
        _LOGGER.error("request failed", exc_info=error, path=request.url.path)
    elif isinstance(error, OSError):
        _LOGGER.warning("request refused", error=str(error), path=request.url.path)
    if _wants_page(request):
        return admin_pages.respond(request, problem)
    return problems.respond(request, problem)


_PROBLEMS: dict[type[Exception], Callable[[Any], Problem]] = {
    Problem: lambda error: error,
    HTTPException: problems.from_http,
    RequestValidationError: problems.from_validation,
    OSError: problems.from_os,
    UnicodeError: lambda _: problems.MALFORMED,
    RecursionError: lambda _: problems.MALFORMED,
    Exception: lambda _: problems.INTERNAL,
}
"""What a request ends with, the narrower kinds first."""


def _wants_page(request: Request) -> bool:
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get(
        "accept", ""
    )


def _describe(app: FastAPI) -> None:
    """Adds to the description of the API what is checked outside of the framework."""
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(FastAPI.openapi(app))
            parts = made["components"]
            parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            models = (problems.ProblemDocument, documents.Accepted)
            for model in models:
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                parts["schemas"] |= schema.pop("$defs", {})
                parts["schemas"][model.__name__] = schema
            for methods in made["paths"].values():
                for method, call in methods.items():
                    if method != "options":
                        call["security"] = [{"bearer": []}]
        return made

    app.openapi = openapi  # type: ignore[method-assign]


class Envelope:
    """Security headers, rate limits and times of every answer. Plain ASGI: it holds no body."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        begun = monotonic()
        app = self._app
        if not _one_host(scope):
            app = problems.respond(Request(scope), problems.MALFORMED)

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                _add_headers(scope, MutableHeaders(scope=message))
                _count(scope, message["status"], monotonic() - begun)
            await send(message)

        await app(scope, receive, sending)


def _one_host(scope: Any) -> bool:
    """RFC 9112, 3.2: a server refuses a request with several."""
    return [name for name, _ in scope["headers"]].count(b"host") <= 1


def _add_headers(scope: Any, headers: MutableHeaders) -> None:
    for name, value in (scope["state"].get("rate_limit") or {}).items():
        headers[name] = value
    for name, value in _HEADERS.items():
        headers[name] = value
    if scope["scheme"] == "https":
        headers["Strict-Transport-Security"] = "max-age=31536000"
    renewed = scope["state"].get("session_cookie")
    if renewed and "set-cookie" not in headers:
        answer = Response()
        seconds = scope["state"]["session_seconds"]
        set_session_cookie(answer, Request(scope), renewed, seconds)
        headers["Set-Cookie"] = answer.headers["set-cookie"]
    if scope["path"].startswith("/static/"):
        headers.setdefault("Cache-Control", "public, max-age=300")
    else:
        headers.setdefault("Cache-Control", "no-store")


def _count(scope: Any, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "other")
    gateway_metrics.REQUESTS.labels(route, scope["method"], str(status)).observe(seconds)
