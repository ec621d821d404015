"""Work for a client that goes away ends with it."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from producers.gateway.api.child_calls import while_there
from producers.gateway.problems import Problem


class Client:
    """Sends an empty request, and goes away when it is told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self._asked = False

    @property
    def request(self) -> Request:
        return Request({"type": "http"}, self._receive)

    async def _receive(self) -> dict[str, Any]:
        if self._asked:
            await self.leaves.wait()
            return {"type": "http.disconnect"}
        self._asked = True
        return {"type": "http.request", "body": b""}


async def test_a_client_that_stays_has_its_answer() -> None:
    """What the work returns, or raises."""

    async def fail() -> None:
        raise KeyError("x")

    assert await while_there(Client().request, asyncio.sleep(0, "answer")) == "answer"
    with pytest.raises(KeyError):
        await while_there(Client().request, fail())


async def test_a_client_that_leaves_ends_the_work() -> None:
    """And its last steps are over before the request is: a child process is gone."""
    client = Client()
    steps: list[str] = []

    async def work() -> None:
        try:
            client.leaves.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("over")

    with pytest.raises(Problem) as problem:
        await while_there(client.request, work())

    assert problem.value.status == 408
    assert steps == ["over"]
