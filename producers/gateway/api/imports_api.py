"""The HTTP API: /api/imports/."""

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from producers.gateway.access.accounts import Account
from producers.gateway.api import actions, documents, listing, text_wait
from producers.gateway.api.child_calls import run_task
from producers.gateway.api.event_stream import EventStream
from producers.gateway.monitoring import gateway_metrics
from producers.gateway.problems import RESPONSES, Problem
from producers.gateway.processes import tasks
from producers.gateway.shared import Needs, of
from producers.gateway.spool.multipart import Upload
from producers.gateway.spool.spool import Receiver
from producers.gateway.uploads import acceptance, file_type, quota
from producers.gateway.uploads.form import Form, form_of
from producers.gateway.uploads.overwrite import confirmed
from producers.gateway.uploads.remembered import offered, with_remembered
from producers.kafka.import_state import running
from producers.reports import template_file
from schemas.import_types import IMPORT_TYPES, ImportType
from schemas.outcomes import ACTIONS, ActionName
from schemas.records import ImportState

_REPORT_SECONDS = 600.0


_RETRY_SECONDS = "1"


router = APIRouter(prefix="/api/imports", tags=["imports"])


def _also(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {**RESPONSES[404], "description": "Problem"} for status in statuses}


TypeName = StrEnum("TypeName", {name: name for name in IMPORT_TYPES})  # type: ignore[misc]


StatusName = StrEnum("StatusName", {name: name for name in listing.STATUS_LABELS})  # type: ignore[misc]


Ordering = StrEnum("Ordering", {name: name for name in listing.ORDERINGS})  # type: ignore[misc]


NEWEST = Ordering("-created_at")


Reader = Annotated[Account, Depends(Needs("read"))]


Importer = Annotated[Account, Depends(Needs("import"))]


IdempotencyKey = Annotated[str | None, Header(max_length=255)]


@router.post(
    "/upload/",
    status_code=202,
    response_model=documents.Accepted,
    responses=_also(400, 408, 409, 413, 415),
    openapi_extra=documents.UPLOAD_BODY,
    summary="Import a file",
)
async def upload(
    request: Request,
    account: Annotated[Account, Depends(Needs("import", "import"))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Takes a file of at most 10 MiB and 50,000 rows (by default) and answers before it is read."""
    gateway = of(request)
    quota.check_file(gateway, account.name)
    with acceptance.keyed_request(gateway, account.token_id, idempotency_key) as keyed:
        async with gateway.receiving.receive(request, account.name) as (received, receiver):
            form = form_of(received.fields)
            file = _named(received, receiver)
            answer = keyed.earlier(received.sha256, {**received.fields, "file": file.name})
            if answer is not None:
                return acceptance.accepted(answer, replayed=True)
            spooled = acceptance.spooled_file(
                gateway, file, form, account.name, gateway.limits.max_rows
            )
            spooled = await with_remembered(gateway, account, spooled, file.path, form)
            spooled = await confirmed(gateway, account, spooled, file.path)
            answer = {
                "id": spooled.id,
                "message": "Fichier reçu, l'import commence.",
                "status": "PENDING",
            }
            # Before the import, which would else be made again when the same is sent again.
            await gateway.receiving.in_thread(keyed.remember, answer)
            await acceptance.accept(gateway, spooled, file.path)
        gateway_metrics.UPLOAD.observe(monotonic() - received.received_at)
        gateway_metrics.UPLOAD_BYTES.inc(spooled.size)
        gateway.audit.write(request, account, "import", spooled.id, spooled.file_name)
        return acceptance.accepted(answer)


def _named(received: Upload, receiver: Receiver) -> acceptance.Received:
    name = file_type.safe_name(received.file_name or "")
    file_type.check(name, received.content_type, received.head)
    return acceptance.Received(receiver.path, name, received.sha256, receiver.size)


@router.post(
    "/preview/",
    response_model=documents.Preview,
    responses=_also(400, 408, 413, 415),
    openapi_extra=documents.UPLOAD_BODY,
    summary="Check a file",
)
async def preview(
    request: Request, account: Annotated[Account, Depends(Needs("import", "check"))]
) -> Response:
    """What an import of the file would give; nothing is published. Without import_type it is found out."""
    gateway = of(request)
    async with gateway.receiving.receive(request, account.name) as (received, receiver):
        form = form_of(received.fields, type_required=False)
        file = _named(received, receiver)
        found = await _checked(request, account, file.path, form)
        corrected = gateway.states.by_id.get(found["corrects"])
        if corrected is not None:
            found = await _checked(request, account, file.path, form, corrected)
    found["file_name"] = file.name
    known = acceptance.same_content(gateway, file.sha256, form, IMPORT_TYPES[found["import_type"]])
    if known is not None:
        names = ("id", "status", "created_at", "completed_at")
        shown = listing.shown(known)
        found["already_imported"] = {name: shown[name] for name in names}
    if found["ai_estimate"] is not None:
        texts = found["ai_estimate"]["texts"]
        found["ai_estimate"]["minutes"] = text_wait.minutes(gateway.stats, texts)
    return Response(
        json.dumps(found, ensure_ascii=False, default=str), media_type="application/json"
    )


async def _checked(
    request: Request,
    account: Account,
    path: Path,
    form: Form,
    corrected: ImportState | None = None,
) -> dict[str, Any]:
    """As tasks.check, with the import that the file corrects if it is known to correct one."""
    gateway = of(request)
    found_out = [corrected["import_type"]] if corrected else list(IMPORT_TYPES)
    types = [form.import_type.name] if form.import_type else found_out
    found: dict[str, Any] = await run_task(
        request,
        account,
        tasks.check,
        path,
        types,
        form.options_json(),
        gateway.limits.max_rows,
        offered(gateway, account, types) if form.recalls else [],
        {corrected["id"]: corrected} if corrected else {},
        seconds=gateway.limits.check_seconds,
    )
    return found


@router.get("/", response_model=documents.Page, summary="List imports")
async def list_imports(
    request: Request,
    account: Reader,
    import_type: TypeName | None = None,
    status: StatusName | None = None,
    search: Annotated[str, Query(max_length=200)] = "",
    ordering: Ordering = NEWEST,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> Response:
    """Newest first; never with their errors."""
    states = listing.selected(
        of(request).states.by_id.values(),
        import_type=import_type,
        status=status,
        search=search,
        ordering=ordering,
    )
    pages = max(1, -(-len(states) // listing.PAGE))
    if page > pages:
        raise Problem(404, "no-such-page", f"Il n'y a que {pages} pages.")
    results = states[(page - 1) * listing.PAGE : page * listing.PAGE]
    return _json(
        {
            "count": len(states),
            "next": _page(request, page + 1) if page < pages else None,
            "previous": _page(request, page - 1) if page > 1 else None,
            "results": [listing.shown(state) for state in results],
        }
    )


def _page(request: Request, page: int) -> str:
    return f"{request.url.path}?{urlencode({**request.query_params, 'page': page})}"


def _json(document: Any, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(document, ensure_ascii=False)
    return Response(text, media_type="application/json", headers=headers)


@router.get("/stats/", response_model=documents.Stats, summary="Sums over all imports")
async def stats(request: Request, account: Reader) -> Response:
    """As the earlier system counted."""
    return _json(listing.statistics(of(request).states.by_id.values()))


MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "jsonl": "application/x-ndjson",
}


def _template(import_type: ImportType, extension: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"modele.{extension}"
        template_file.write(path, import_type)
        return path.read_bytes()


@router.get(
    "/templates/{name}.{extension}",
    response_class=Response,
    summary="An empty file to fill in",
    responses={200: {"content": {MEDIA_TYPES["csv"]: {}, MEDIA_TYPES["xlsx"]: {}}}},
)
async def template(
    request: Request, account: Reader, name: TypeName, extension: Literal["csv", "xlsx"]
) -> Response:
    """The columns of an import type."""
    content = await asyncio.to_thread(_template, IMPORT_TYPES[name], extension)
    return Response(
        content,
        media_type=MEDIA_TYPES[extension],
        headers={
            "Content-Disposition": f'attachment; filename="modele-{name.lower()}.{extension}"'
        },
    )


@router.get(
    "/{import_id}/",
    response_model=documents.Import,
    responses={304: {"description": "As If-None-Match says"}},
    summary="The state of an import",
)
async def detail(
    request: Request,
    account: Reader,
    import_id: str,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """With an ETag, and Retry-After while it runs."""
    state = of(request).state(import_id)
    etag = f'"{state["version"]}-{state["waiting_for"] or ""}"'
    headers = {"ETag": etag}
    if running(state):
        headers["Retry-After"] = _RETRY_SECONDS
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return _json(listing.shown(state), headers)


@router.get(
    "/{import_id}/events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
    summary="Follow an import",
)
async def events(request: Request, account: Reader, import_id: str) -> Response:
    """Server-sent events: `state` at least once a second while it runs, then `end`."""
    gateway = of(request)
    gateway.state(import_id)
    return EventStream(gateway, import_id, account.name)


@router.get(
    "/{import_id}/errors.{extension}",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}},
    summary="The rejected lines as a file",
)
async def errors_file(
    request: Request,
    account: Annotated[Account, Depends(Needs("read", "check"))],
    import_id: str,
    extension: Literal["csv", "xlsx", "jsonl"],
) -> Response:
    """The original columns, then _line, _column, _code and _message: correct it and import it."""
    gateway = of(request)
    state = gateway.state(import_id)
    path = gateway.spool.scratch(f".{extension}")
    try:
        await run_task(
            request,
            account,
            tasks.errors_file,
            gateway.settings,
            gateway.spool.folder,
            state,
            path,
            seconds=_REPORT_SECONDS,
        )
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    gateway.audit.write(request, account, "download", import_id, f"errors.{extension}")
    stem = file_type.safe_name(state["file_name"]).rpartition(".")[0] or "import"
    return FileResponse(
        path,
        media_type=MEDIA_TYPES[extension],
        filename=f"{stem}-erreurs.{extension}",
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


@router.get(
    "/{import_id}/errors/", response_model=documents.Errors, summary="The first rejected lines"
)
async def first_errors(
    request: Request,
    account: Annotated[Account, Depends(Needs("read", "check"))],
    import_id: str,
) -> Response:
    """How many lines have which code, the first fifty faults, and the first fifty values that are not
    stored although their lines are."""
    return _json(await errors_of(request, account, of(request).state(import_id)))


async def errors_of(request: Request, account: Account, state: ImportState) -> dict[str, Any]:
    """As `first_errors`."""
    if not state["rejected"] + state["cancelled"] + state["dropped_rows"]:
        return {"by_code": {}, "first": [], "dropped": []}
    gateway = of(request)
    found: dict[str, Any] = await run_task(
        request,
        account,
        tasks.first_errors,
        gateway.settings,
        state,
        seconds=gateway.limits.check_seconds,
    )
    return found


@router.post(
    "/{import_id}/{action}/",
    status_code=202,
    response_model=documents.Accepted,
    responses=_also(409),
    summary="Cancel, pause, resume, retry, generate AI content",
)
async def act(request: Request, account: Importer, import_id: str, action: ActionName) -> Response:
    """Where the state of the import allows it, for its own account, its group and administrators.

    The answer names the import that goes on.
    """
    gateway = of(request)
    state = gateway.state(import_id)
    gateway.access.require_owner(request, account, import_id, state["uploaded_by"])
    state = await actions.act(gateway, action, state, account.name)
    gateway.audit.write(request, account, action.replace("_", "-"), import_id)
    answer = {
        "id": state["id"],
        "message": f"{ACTIONS[action].label} : c'est demandé.",
        "status": state["status"],
    }
    return acceptance.accepted(answer)
