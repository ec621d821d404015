"""The admin pages, in French, rendered on the server; the parts that change are fetched as pieces."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from producers.gateway import problems
from producers.gateway.access.accounts import Account
from producers.gateway.api import actions, imports_api, listing, text_wait, texts_api
from producers.gateway.pages.import_view import import_view, related_imports
from producers.gateway.pages.page_rendering import render
from producers.gateway.pages.session_pages import User, visitor
from producers.gateway.problems import Problem
from producers.gateway.shared import Gateway, of
from producers.gateway.uploads.remembered import offered
from producers.kafka.import_state import running
from schemas.import_types import IMPORT_TYPES
from schemas.outcomes import AI_COUNTS, OUTCOMES, PARTLY_DISCLOSED
from schemas.records import ImportState

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

Fragment = Literal["", "true"]


@router.get("/")
async def home() -> Response:
    """The list."""
    return RedirectResponse("/imports", 303)


@router.get("/envoyer")
async def upload_page(request: Request, account: User) -> Response:
    """Where a file is dropped, checked and imported."""
    gateway = of(request)
    limits = gateway.limits
    fields = {
        name: [(field.name, field.required) for field in known.offered]
        for name, known in IMPORT_TYPES.items()
    }
    return render(
        "upload.html",
        account,
        200,
        max_bytes=limits.max_file_bytes,
        max_rows=limits.max_rows,
        fields=fields,
        mappings=[
            (mapping, gateway.access.acts_on(account, mapping["account"]))
            for mapping in offered(gateway, account, IMPORT_TYPES)
        ],
    )


@router.get("/imports")
async def imports_page(
    request: Request,
    account: User,
    type: Annotated[str, Query(max_length=40)] = "",
    statut: Annotated[str, Query(max_length=40)] = "",
    q: Annotated[str, Query(max_length=200)] = "",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    fragment: Fragment = "",
) -> Response:
    """The list; with `fragment` only its table."""
    states = listing.selected(
        of(request).states.by_id.values(),
        import_type=type if type in listing.TYPE_LABELS else None,
        status=statut if statut in listing.STATUS_LABELS else None,
        search=q,
    )
    pages = max(1, -(-len(states) // listing.PAGE))
    page = min(page, pages)
    chosen = {"type": type, "statut": statut, "q": q}
    facts: dict[str, Any] = {
        "rows": [
            import_view(state) for state in states[(page - 1) * listing.PAGE : page * listing.PAGE]
        ],
        "count": len(states),
        "page": page,
        "pages": pages,
        "chosen": chosen,
        "address": lambda to: f"/imports?{urlencode({**chosen, 'page': to})}",
    }
    return render("_imports.html" if fragment else "imports.html", account, 200, **facts)


@router.get("/imports/{import_id}")
async def import_page(
    request: Request, account: User, import_id: str, fragment: Fragment = ""
) -> Response:
    """One import; with `fragment` only what moves."""
    gateway = of(request)
    state = gateway.state(import_id)
    texts = actions.texts_left(state)
    facts: dict[str, Any] = {
        "row": import_view(state),
        "related": related_imports(gateway.states.by_id.values(), state),
        "actions": actions.allowed(state) if _may_act(gateway, account, state) else [],
        "estimate": gateway.settings.ai_estimate(state["import_type"], texts),
        "minutes": text_wait.minutes(gateway.stats, texts),
    }
    return render("_import.html" if fragment else "import.html", account, 200, **facts)


def _may_act(gateway: Gateway, account: Account, state: ImportState) -> bool:
    return account.may("import") and gateway.access.acts_on(account, state["uploaded_by"])


@router.get("/imports/{import_id}/erreurs")
async def errors_piece(request: Request, account: User, import_id: str) -> Response:
    """The first errors of an import, as a piece of its page."""
    gateway = of(request)
    state = gateway.state(import_id)
    gateway.access.limits.spend(request, "check", account.token_id)
    found = await imports_api.errors_of(request, account, state)
    return render("_errors.html", account, 200, state=state, found=found)


@router.get("/textes")
async def texts_page(account: User) -> Response:
    """Where other texts are requested."""
    kinds = texts_api.KIND_LABELS
    return render("texts.html", account, 200, kinds=kinds, most=texts_api.MOST_ROWS)


@router.get("/apercu")
async def overview_page(request: Request, account: User, fragment: Fragment = "") -> Response:
    """Counts of everything."""
    gateway = of(request)
    states = list(gateway.states.by_id.values())
    unfinished = [state for state in states if running(state)]
    facts: dict[str, Any] = {
        "sums": listing.statistics(states),
        "unfinished": len(unfinished),
        "oldest": min((state["created_at"] for state in unfinished), default=None),
        "unpublished": gateway.publishing.unfinished,
        "outcomes": {name: sum(state[name] for state in states) for name in OUTCOMES},
        "warnings": _warnings(states),
        "ai": {name: sum(state[name] for state in states) for name in AI_COUNTS},
        "stats": gateway.stats,
        "counted": counted(gateway.stats),
        "obstacles": gateway.obstacles(),
    }
    return render("_overview.html" if fragment else "overview.html", account, 200, **facts)


_STALE = timedelta(minutes=3)
"""Workers publish their counts at least once a minute (schemas/avro/stats.avsc)."""


def counted(stats: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """When the counts were last published, and whether that is too long ago."""
    at = max((known["at"] for known in stats.values()), default=None)
    return {"at": at, "stale": at is None or datetime.now(UTC) - at > _STALE}


@router.get("/docs", name="docs")
async def docs_page(request: Request) -> Response:
    """The API's description, for people; /openapi.json is for programs."""
    description = request.app.openapi()
    calls = [
        {"method": method.upper(), "path": path, **call}
        for path, methods in description["paths"].items()
        for method, call in methods.items()
    ]
    return render("docs.html", visitor(request), 200, calls=calls, info=description["info"])


def _warnings(states: list[ImportState]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for state in states:
        for code, count in state["warnings_by_code"].items():
            if code != PARTLY_DISCLOSED:  # every month the same companies
                sums[code] = sums.get(code, 0) + count
    return sums


def respond(request: Request, problem: Problem) -> Response:
    """A problem as a page."""
    return render(
        "problem.html",
        visitor(request),
        problem.status,
        title=problems.title(problem.status),
        detail=problem.detail,
    )
