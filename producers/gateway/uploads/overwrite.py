"""An upload that may clear what the database has: it is counted, and accepted if somebody confirms it."""

from dataclasses import replace
from pathlib import Path

from producers.gateway.access.accounts import Account
from producers.gateway.problems import Problem
from producers.gateway.processes import tasks
from producers.gateway.shared import Gateway
from producers.gateway.spool.kept_files import another_name
from producers.gateway.spool.spool import SpooledFile
from producers.gateway.uploads.acceptance import Received, accept, spooled_file
from producers.gateway.uploads.first_look import looked_at
from producers.gateway.uploads.form import Form
from producers.imports.start import OverwriteUnconfirmedError
from producers.reading import Options
from schemas.import_types import IMPORT_TYPES
from schemas.records import ImportState


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


async def confirm(gateway: Gateway, account: Account, state: ImportState) -> SpooledFile:
    """Another import of the file of one that nobody confirmed, which is confirmed now.

    Raises Problem 409 if that is not why it failed, or if the file was imported since; 410 if the file is
    no longer kept.
    """
    if state["error"] is None or state["error"]["code"] != "overwrite-unconfirmed":
        raise Problem(
            409,
            "not-allowed-now",
            "Cet import n'attend aucune confirmation.",
            import_status=state["status"],
        )
    former = gateway.spool.find(state["id"])
    path = None
    if former is not None:
        path = await gateway.receiving.in_thread(another_name, gateway.spool, former)
    if former is None or path is None:
        raise Problem(410, "file-gone", "Le fichier n'est plus conservé : envoyez-le à nouveau.")
    try:
        spooled = _confirmed(gateway, account, former, path)
        await accept(gateway, spooled, path)
    finally:
        path.unlink(missing_ok=True)
    return spooled


def _confirmed(gateway: Gateway, account: Account, former: SpooledFile, path: Path) -> SpooledFile:
    form = Form(
        IMPORT_TYPES[former.import_type],
        Options(**former.options),
        former.policy,
        former.generate_ai_content,
        force=False,
        recalls=False,
        confirm_overwrite=True,
    )
    received = Received(path, former.file_name, former.sha256, former.size)
    spooled = spooled_file(gateway, received, form, account.name, former.max_rows)
    return replace(spooled, remembered=former.remembered)
