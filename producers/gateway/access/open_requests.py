"""How many requests are open at once: of a client, by the address that a trusted proxy gives, and in all.

Plain ASGI. The health endpoints are not counted, and some connections are left for them.
"""

from collections import Counter
from typing import Any

from fastapi import Request

from producers.gateway import problems
from producers.gateway.problems import Problem

HEALTH = ("/livez", "/readyz", "/metrics")


class OpenRequests:
    """At most `most` of each client; the next one gets 429. At most `total`; the next one gets 503."""

    def __init__(self, app: Any, most: int, total: int) -> None:
        self._app = app
        self._most = most
        self._total = total
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await self._app(scope, receive, send)
            return
        client = scope["client"][0] if scope.get("client") else ""
        refusal = self._refusal(client)
        if refusal is not None:
            await problems.respond(Request(scope), refusal)(scope, receive, send)
            return
        self._open[client] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]

    def _refusal(self, client: str) -> Problem | None:
        if self._open.total() >= self._total:
            return problems.SATURATED
        return _too_many(self._most) if self._open[client] >= self._most else None


def _too_many(most: int) -> Problem:
    return Problem(
        429,
        "too-many-open",
        f"Plus de {most} demandes de cette adresse sont en cours : recommencez dans un instant.",
        headers={"Retry-After": "5", "Connection": "close"},
    )
