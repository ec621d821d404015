"""How many requests of a client are open at once, by the address that a trusted proxy gives.

Plain ASGI. The health endpoints are not counted.
"""

from collections import Counter
from typing import Any

from fastapi import Request

from producers.gateway import problems
from producers.gateway.problems import Problem

HEALTH = ("/livez", "/readyz", "/metrics")


class OpenRequests:
    """At most `most` of each client; the next one gets 429."""

    def __init__(self, app: Any, most: int) -> None:
        self._app = app
        self._most = most
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await self._app(scope, receive, send)
            return
        client = scope["client"][0] if scope.get("client") else ""
        if self._open[client] >= self._most:
            answer = problems.respond(Request(scope), _too_many(self._most))
            await answer(scope, receive, send)
            return
        self._open[client] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def _too_many(most: int) -> Problem:
    return Problem(
        429,
        "too-many-open",
        f"Plus de {most} demandes de cette adresse sont en cours : recommencez dans un instant.",
        headers={"Retry-After": "5", "Connection": "close"},
    )
