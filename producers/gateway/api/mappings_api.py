"""The HTTP API of remembered mappings: /api/imports/mappings/."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from producers.gateway.access.accounts import Account
from producers.gateway.api import documents
from producers.gateway.api.child_calls import run_task
from producers.gateway.problems import RESPONSES, Problem
from producers.gateway.processes import tasks
from producers.gateway.shared import Needs, of
from producers.gateway.uploads.remembered import offered
from producers.mappings.phrases import shown
from schemas.import_types import IMPORT_TYPES
from schemas.records import GatewayMapping

router = APIRouter(prefix="/api/imports/mappings", tags=["remembered mappings"])

_FORGET_SECONDS = 60.0


@router.get("/", response_model=list[documents.Mapping], summary="List remembered mappings")
async def list_mappings(
    request: Request, account: Annotated[Account, Depends(Needs("read"))]
) -> Response:
    """Those that the account is offered, the newest first."""
    found = offered(of(request), account, IMPORT_TYPES)
    text = json.dumps([_document(mapping) for mapping in found], ensure_ascii=False)
    return Response(text, media_type="application/json")


def _document(mapping: GatewayMapping) -> dict[str, object]:
    return {
        **(shown(mapping) or {}),
        "import_type": mapping["import_type"],
        "columns": mapping["columns"],
        "sheet": mapping["sheet"],
    }


@router.delete(
    "/{mapping_id}/",
    status_code=204,
    responses={403: RESPONSES[404], 404: RESPONSES[404]},
    summary="Forget a mapping",
)
async def forget(
    request: Request, account: Annotated[Account, Depends(Needs("import"))], mapping_id: str
) -> Response:
    """For its own account, its group and administrators. Imports that it was used for stay as they are."""
    gateway = of(request)
    mapping = gateway.mappings.get(mapping_id)
    if mapping is None:
        raise Problem(404, "unknown-mapping", "Ce choix de colonnes n'est pas, ou plus, retenu.")
    gateway.access.require_owner(
        request, account, mapping_id, mapping["account"], "Ce choix de colonnes"
    )
    await run_task(
        request, account, tasks.forget, gateway.settings, mapping_id, seconds=_FORGET_SECONDS
    )
    gateway.mappings.pop(mapping_id, None)
    gateway.audit.write(request, account, "forget-mapping", detail=mapping["import_type"])
    return Response(status_code=204)
