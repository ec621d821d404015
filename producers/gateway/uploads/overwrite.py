"""An upload that may clear what the database has: it is counted, and accepted if somebody confirms it."""

from dataclasses import replace
from pathlib import Path

from producers.gateway.access.accounts import Account
from producers.gateway.problems import Problem
from producers.gateway.processes import tasks
from producers.gateway.shared import Gateway
from producers.gateway.spool.spool import SpooledFile
from producers.gateway.uploads.first_look import looked_at
from producers.imports.start import OverwriteUnconfirmedError


async def confirmed(
    gateway: Gateway, account: Account, spooled: SpooledFile, path: Path
) -> SpooledFile:
    """The upload. Raises Problem 409 if its blank cells would clear something and nobody confirmed it.

    A file that cannot be read, or not in time, is left to its publication, which counts the cells as well.
    """
    if spooled.policy != "overwrite" or spooled.overwrite_confirmed:
        return spooled
    cells = await looked_at(
        gateway, account, tasks.cleared, path, spooled.import_type, spooled.options
    )
    if cells is None:
        return spooled
    if cells:
        unconfirmed = OverwriteUnconfirmedError(cells)
        raise Problem(409, unconfirmed.code, unconfirmed.message, blank_cells=cells)
    return replace(spooled, overwrite_confirmed=True)
