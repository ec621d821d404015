"""The HTTP API: /api/imports/."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse

from producers.gateway.access.accounts import Account
from producers.gateway.api import actions, documents, listing
from producers.gateway.monitoring import gateway_metrics
from producers.gateway.problems import RESPONSES, Problem
from producers.gateway.processes import tasks
from producers.gateway.processes.child_processes import ChildDiedError
from producers.gateway.shared import Gateway, Needs, of
from producers.gateway.spool.multipart import Upload
from producers.gateway.spool.spool import Receiver
from producers.gateway.uploads import acceptance, file_type
from producers.gateway.uploads.form import form_of
from producers.kafka.import_state import State
from producers.reading import RefusedError
from producers.reports import template_file
from schemas.import_types import IMPORT_TYPES, ImportType

_REPORT_SECONDS = 600.0
_RETRY_SECONDS = "1"

T = TypeVar("T")

router = APIRouter(prefix="/api/imports", tags=["imports"])


def _also(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {**RESPONSES[404], "description": "Problem"} for status in statuses}


TypeName = StrEnum("TypeName", {name: name for name in IMPORT_TYPES})  # type: ignore[misc]
StatusName = StrEnum("StatusName", {name: name for name in listing.STATUS_LABELS})  # type: ignore[misc]
Ordering = StrEnum("Ordering", {name: name for name in listing.ORDERINGS})  # type: ignore[misc]
Action = StrEnum("Action", {name: name for name in actions.ALLOWED})  # type: ignore[misc]

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
    with acceptance.replay(gateway, account.token_id, idempotency_key) as replay:
        async with gateway.receiving.receive(request) as (received, receiver):
            form = form_of(received.fields)
            file = _named(received, receiver)
            answer = replay.earlier(received.sha256, {**received.fields, "file": file.name})
            if answer is not None:
                return _accepted(answer, replayed=True)
            job = acceptance.job(gateway, file, form, account.name, gateway.limits.max_rows)
            answer = {
                "id": job.id,
                "message": "Fichier reçu, l'import commence.",
                "status": "PENDING",
            }
            # Before the import, which would else be made again when the same is sent again.
            await gateway.receiving.in_thread(replay.remember, answer)
            await acceptance.accept(gateway, job, file.path)
        gateway_metrics.UPLOAD.observe(monotonic() - received.received_at)
        gateway_metrics.UPLOAD_BYTES.inc(job.size)
        gateway.audit.write(request, account, "import", job.id, job.file_name)
        return _accepted(answer)


def _named(received: Upload, receiver: Receiver) -> acceptance.Received:
    name = file_type.safe_name(received.file_name or "")
    file_type.check(name, received.content_type, received.head)
    return acceptance.Received(receiver.path, name, received.sha256, receiver.size)


def _accepted(answer: dict[str, Any], *, replayed: bool = False) -> Response:
    headers = {"Location": acceptance.location(answer["id"])}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return JSONResponse(answer, 202, headers)


@router.post(
    "/preview/",
    response_model=documents.Verdict,
    responses=_also(400, 408, 413, 415),
    openapi_extra=documents.UPLOAD_BODY,
    summary="Check a file",
)
async def preview(
    request: Request, account: Annotated[Account, Depends(Needs("import", "check"))]
) -> Response:
    """What an import of the file would give; nothing is published. Without import_type it is found out."""
    gateway = of(request)
    async with gateway.receiving.receive(request) as (received, receiver):
        form = form_of(received.fields, type_required=False)
        file = _named(received, receiver)
        types = [form.import_type.name] if form.import_type else list(IMPORT_TYPES)
        found = await _run(
            request,
            tasks.check,
            file.path,
            types,
            form.options_json(),
            gateway.limits.max_rows,
            seconds=gateway.limits.check_seconds,
        )
    found["file_name"] = file.name
    known = acceptance.same_content(gateway, file.sha256, form, IMPORT_TYPES[found["import_type"]])
    if known is not None:
        names = ("id", "status", "created_at", "completed_at")
        shown = listing.shown(known)
        found["already_imported"] = {name: shown[name] for name in names}
    return Response(
        json.dumps(found, ensure_ascii=False, default=str), media_type="application/json"
    )


async def _run(request: Request, task: Any, *arguments: Any, seconds: float) -> Any:
    """A task in a child process; what can go wrong with it as a Problem."""
    try:
        return await while_there(
            request, of(request).children.run(task, *arguments, seconds=seconds)
        )
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
    """What `work` comes to. It is cancelled where the client goes away: raises Problem 408."""
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request.receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Problem(408, "client-gone", "Plus personne n'attend cette réponse.")
        return working.result()
    finally:
        gone.cancel()
        working.cancel()
        await asyncio.wait({working, gone})


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
    if listing.running(state):
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
    if gateway.followers >= gateway.limits.followers:
        raise Problem(
            503, "busy", "Trop de pages suivent des imports.", headers={"Retry-After": "5"}
        )
    return Stream(gateway, import_id)


class Stream(Response):
    """An event stream. It ends with the import, with the gateway or after a quarter of an hour.

    A client that does not read for ten seconds is let go; EventSource comes back by itself.
    """

    LIFE_SECONDS = 900.0
    SLOW_SECONDS = 10.0
    LEAST_SECONDS = 0.25
    MOST_SECONDS = 1.0

    def __init__(self, gateway: Gateway, import_id: str) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self.headers["X-Accel-Buffering"] = "no"
        self._gateway = gateway
        self._import_id = import_id

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        gone = asyncio.create_task(_gone(receive))
        self._gateway.followers += 1
        gateway_metrics.FOLLOWERS.set(self._gateway.followers)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for text in self._texts(gone):
                async with asyncio.timeout(self.SLOW_SECONDS):
                    await send(_part(text, more=True))
            if not gone.done():
                await send(_part("", more=False))
        except (TimeoutError, OSError):
            return  # the server closes the connection
        finally:
            gone.cancel()
            self._gateway.followers -= 1
            gateway_metrics.FOLLOWERS.set(self._gateway.followers)

    async def _texts(self, gone: "asyncio.Task[None]") -> AsyncIterator[str]:
        until = monotonic() + self.LIFE_SECONDS
        stopping = asyncio.create_task(self._gateway.stopping.wait())
        try:
            with self._gateway.states.subscribe(self._import_id) as subscription:
                while monotonic() < until and not gone.done() and not stopping.done():
                    subscription.event.clear()
                    state = self._gateway.known(self._import_id)
                    if state is None:
                        return
                    yield _event("state", state)
                    if not listing.running(state):
                        yield _event("end", state)
                        return
                    await asyncio.sleep(self.LEAST_SECONDS)
                    changed = asyncio.create_task(subscription.event.wait())
                    await asyncio.wait(
                        {changed, gone, stopping},
                        timeout=self.MOST_SECONDS - self.LEAST_SECONDS,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    changed.cancel()
        finally:
            stopping.cancel()


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _part(text: str, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}


def _event(name: str, state: State) -> str:
    data = json.dumps(listing.shown(state), ensure_ascii=False)
    return f"event: {name}\nid: {state['version']}\ndata: {data}\n\n"


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
        await _run(
            request,
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
    """How many lines have which code, and the first fifty faults."""
    return _json(await errors_of(request, of(request).state(import_id)))


async def errors_of(request: Request, state: State) -> dict[str, Any]:
    """As `first_errors`."""
    if not state["rejected"] + state["cancelled"]:
        return {"by_code": {}, "first": []}
    gateway = of(request)
    found: dict[str, Any] = await _run(
        request, tasks.first_errors, gateway.settings, state, seconds=gateway.limits.check_seconds
    )
    return found


@router.post(
    "/{import_id}/{action}/",
    status_code=202,
    response_model=documents.Accepted,
    responses=_also(409, 501),
    summary="Cancel, pause, resume, retry, generate AI content",
)
async def act(request: Request, account: Importer, import_id: str, action: Action) -> Response:
    """Where the state of the import allows it. The answer names the import that goes on."""
    gateway = of(request)
    state = await actions.act(gateway, action, gateway.state(import_id), account.name)
    gateway.audit.write(request, account, action.replace("_", "-"), import_id)
    answer = {
        "id": state["id"],
        "message": f"{actions.LABELS[action]} : c'est demandé.",
        "status": state["status"],
    }
    return _accepted(answer)
