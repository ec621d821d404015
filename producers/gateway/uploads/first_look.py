"""What an upload's file has to say before it is accepted, read in a child process."""

from typing import Any

from producers.gateway.access.accounts import Account
from producers.gateway.problems import Problem
from producers.gateway.processes.child_processes import ChildDiedError
from producers.gateway.processes.tasks import AwayError
from producers.gateway.shared import Gateway
from producers.reading.refusals import RefusedError


async def looked_at(gateway: Gateway, account: Account, task: Any, *arguments: Any) -> Any:
    """What the task returns. None if the file cannot be read, or not in time: its publication reports why.

    Raises Problem 503 while memory is short.
    """
    try:
        async with gateway.reading.turn(account.name):
            return await gateway.children.run(
                task, *arguments, seconds=gateway.limits.check_seconds
            )
    except (RefusedError, ChildDiedError, TimeoutError, OSError):
        return None
    except AwayError as error:
        raise Problem(503, "busy", str(error), headers={"Retry-After": "5"}) from None
