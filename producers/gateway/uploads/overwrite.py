"""An upload that may clear what the database has: it is counted, and accepted if somebody confirms it."""

from dataclasses import replace
from pathlib import Path

from producers.gateway.access.accounts import Account
from producers.gateway.problems import Problem
from producers.gateway.processes import tasks
from producers.gateway.processes.child_processes import ChildDiedError
from producers.gateway.shared import Gateway
from producers.gateway.spool.spool import SpooledFile
from producers.imports.start import OverwriteUnconfirmedError
from producers.reading.refusals import RefusedError


async def confirmed(
    gateway: Gateway, account: Account, spooled: SpooledFile, path: Path
) -> SpooledFile:
    """The upload. Raises Problem 409 if its blank cells would clear something and nobody confirmed it.

    What cannot be read, or not in time, is left to who publishes it, and counts the cells as well.
    """
    if spooled.policy != "overwrite" or spooled.overwrite_confirmed:
        return spooled
    try:
        async with gateway.reading.turn(account.name):
            cells = await gateway.children.run(
                tasks.cleared,
                path,
                spooled.import_type,
                spooled.options,
                seconds=gateway.limits.check_seconds,
            )
    except (RefusedError, ChildDiedError, TimeoutError, OSError):
        return spooled
    if cells:
        unconfirmed = OverwriteUnconfirmedError(cells)
        raise Problem(409, unconfirmed.code, unconfirmed.message, blank_cells=cells)
    return replace(spooled, overwrite_confirmed=True)
