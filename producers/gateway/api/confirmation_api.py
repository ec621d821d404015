"""The HTTP API for an import that stopped because nobody confirmed what it clears."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from producers.gateway.access.accounts import Account
from producers.gateway.api import documents
from producers.gateway.problems import RESPONSES
from producers.gateway.shared import Needs, of
from producers.gateway.uploads import acceptance, overwrite, quota

router = APIRouter(prefix="/api/imports", tags=["imports"])


@router.post(
    "/{import_id}/confirm_overwrite/",
    status_code=202,
    response_model=documents.Accepted,
    responses={status: {**RESPONSES[404], "description": "Problem"} for status in (409, 410)},
    summary="Confirm what an import clears",
)
async def confirm_overwrite(
    request: Request,
    account: Annotated[Account, Depends(Needs("import", "import"))],
    import_id: str,
) -> JSONResponse:
    """Of an import whose error is `overwrite-unconfirmed`, such as one of a resumable upload: its file is
    imported, as a new import, without being sent again."""
    gateway = of(request)
    state = gateway.state(import_id)
    gateway.access.require_owner(request, account, import_id, state["uploaded_by"])
    quota.check_file(gateway, account.name)
    spooled = await overwrite.confirm(gateway, account, state)
    gateway.audit.write(request, account, "confirm-overwrite", import_id, spooled.id)
    answer = {
        "id": spooled.id,
        "message": "C'est confirmé, l'import commence.",
        "status": "PENDING",
    }
    return acceptance.accepted(answer)
