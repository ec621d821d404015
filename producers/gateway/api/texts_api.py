"""The HTTP API: other texts for rows that have one."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field, StringConstraints

from producers.gateway.access.accounts import Account
from producers.gateway.api.actions import child_answer
from producers.gateway.processes import tasks
from producers.gateway.shared import Needs, of

router = APIRouter(prefix="/api/imports", tags=["texts"])

MOST_ROWS = 100
_SECONDS = 60.0

KIND_LABELS = {
    "CATEGORIE": "Catégories",
    "SOUS_CATEGORIE": "Sous-catégories",
    "VILLE": "Villes",
    "PROLOCALISATION": "Pages d'entreprises",
    "AVIS": "Synthèses d'avis",
}

TextKind = StrEnum("TextKind", {name: name for name in KIND_LABELS})  # type: ignore[misc]

Row = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$"
    ),
]


class Rewriting(BaseModel):
    """Rows by id or slug, of companies by SIREN for all their pages. `overwrite`: also what people edited;
    else that stays. The old texts are kept."""

    kind: TextKind
    rows: list[Row] = Field(min_length=1, max_length=MOST_ROWS)
    overwrite: bool = False


class Requested(BaseModel):
    """How many rows have another text requested."""

    message: str
    rows: int


@router.post(
    "/texts/regenerate/",
    status_code=202,
    response_model=Requested,
    summary="Have other texts written",
)
async def regenerate(
    request: Request, account: Annotated[Account, Depends(Needs("import"))], asked: Rewriting
) -> dict[str, Any]:
    """Each is paid for anew. Rows that the site does not have are rejected by the workers."""
    gateway = of(request)
    rows = list(dict.fromkeys(asked.rows))
    reason = "overwrite" if asked.overwrite else "regenerate"
    async with gateway.acting.turn(account.name):
        await child_answer(
            gateway.children.run(
                tasks.request_texts,
                gateway.settings,
                asked.kind.value,
                rows,
                reason,
                seconds=_SECONDS,
            )
        )
    gateway.audit.write(
        request, account, f"texts-{reason}", None, f"{asked.kind.value} {' '.join(rows)}"[:1000]
    )
    texts = "1 texte demandé" if len(rows) == 1 else f"Textes de {len(rows)} fiches demandés"
    return {
        "message": f"{texts} : ils remplacent les anciens, qui sont conservés.",
        "rows": len(rows),
    }
