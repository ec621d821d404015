"""Work of a child process that a client waits for, for as long as the client is connected."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from producers.gateway.access.accounts import Account
from producers.gateway.problems import Problem
from producers.gateway.processes import tasks
from producers.gateway.processes.child_processes import ChildDiedError
from producers.gateway.shared import MOST_READ_SECONDS, of
from producers.reading import RefusedError

_LATER_NICENESS = 15

T = TypeVar("T")


async def run_task(
    request: Request, account: Account, task: Any, *arguments: Any, seconds: float
) -> Any:
    """A task in a child process, in the account's turn; what can go wrong with it as a Problem.

    The first of an account has as much of the processors as the gateway itself. Further ones, and
    those of an account that always has one, take what is left.
    """
    gateway = of(request)

    async def run() -> Any:
        async with gateway.reading.turn(account.name) as running:
            seldom = gateway.read_lately.of(account.name) < MOST_READ_SECONDS
            niceness = 0 if running == 1 and seldom else _LATER_NICENESS
            with gateway.read_lately.used(account.name):
                return await gateway.children.run(
                    task, *arguments, seconds=seconds, niceness=niceness
                )

    try:
        return await while_there(request, run())
    except RefusedError as refusal:
        error = {"code": refusal.code, "message": refusal.message}
        raise Problem(422, refusal.code, refusal.message, errors=[error]) from None
    except TimeoutError:
        raise Problem(
            422, "time-limit", "La lecture du fichier prend trop de temps : découpez-le."
        ) from None
    except ChildDiedError as error:
        raise Problem(
            422, "unreadable", "Le fichier n'a pas pu être lu : enregistrez-le à nouveau."
        ) from error
    except tasks.AwayError as error:
        raise Problem(503, "unreachable", str(error), headers={"Retry-After": "5"}) from None


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to. If the client goes away it is cancelled, and Problem 408 is raised."""
    working = asyncio.create_task(work)
    gone = asyncio.create_task(disconnected(request.receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Problem(408, "client-gone", "Plus personne n'attend cette réponse.")
        return working.result()
    finally:
        gone.cancel()
        working.cancel()
        await asyncio.wait({working, gone})


async def disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
