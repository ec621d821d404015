"""The admin pages, in French, made on the server. What moves is fetched as a piece of a page."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from producers.gateway import problems
from producers.gateway.access.accounts import COOKIE, Account
from producers.gateway.api import actions, imports_api, listing
from producers.gateway.problems import Problem
from producers.gateway.shared import Gateway, of
from producers.gateway.uploads import form
from producers.kafka.import_state import accounted, running
from producers.terminal.screen import number, seconds
from schemas.import_types import IMPORT_TYPES
from schemas.outcomes import ACTIONS, AI_COUNTS, OUTCOMES, TERMINAL, WAITING, WARNINGS
from schemas.records import ImportState

FOLDER = Path(__file__).parent

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_POLICIES = {
    "merge": "Compléter et remplacer par les valeurs du fichier",
    "overwrite": "Remplacer toute la ligne, même par du vide",
    "fill_missing": "Ne remplir que ce qui manque",
    "insert_only": "Ne rien changer à l'existant",
}
_CODES = {
    "missing-value": "valeur obligatoire absente",
    "malformed": "valeur mal formée",
    "mismatch": "valeurs qui se contredisent",
    "too-long": "valeur trop longue",
    "missing-cell": "cellules manquantes",
    "extra-cell": "cellules en trop",
    "unbalanced-quote": "guillemet non refermé",
    "nul-byte": "caractère interdit",
    "formula-error": "formule en erreur",
    "other-type": "terme d'un autre type",
    "cell-too-large": "cellule trop grande",
    "checksum": "SIREN ou SIRET à la clé fausse",
    "undecodable": "message illisible",
    "unknown-schema": "schéma inconnu",
    "key-mismatch": "clé de message fausse",
    "partition-mismatch": "message dans la mauvaise partition",
    "observed-in-future": "date d'observation dans le futur",
    "observed-too-early": "date d'observation trop ancienne",
    "out-of-range": "valeur hors limites",
    "encoding": "caractères refusés par la base",
    "refused": "ligne refusée par la base",
    "cancelled": "ligne annulée",
}


class SignInNeeded(Exception):  # noqa: N818 - no fault of anybody
    """Nobody is signed in: the page to sign in is shown."""


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": lambda value: "…" if value is None else number(value),
        "when": _when,
        "iso": lambda value: value.isoformat() if value else "",
        "seconds": lambda value: "" if value is None else seconds(value),
        "dollars": dollars,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
        "day": lambda value: f"{date.fromisoformat(value):%d/%m/%Y}",
        "rate": lambda value: "" if value is None else f"{value:.2f}".replace(".", ",") + " %",
    }
    made.globals |= {
        "STATUSES": listing.STATUS_LABELS,
        "TYPES": listing.TYPE_LABELS,
        "ACTIONS": {name: action.label for name, action in ACTIONS.items()},
        "OUTCOMES": {name: words.label for name, words in OUTCOMES.items()},
        "WAITING": {name: words.label for name, words in WAITING.items()},
        "CODES": _CODES,
        "WARNINGS": _CODES | {code: words.label for code, words in WARNINGS.items()},
        "POLICIES": {name: _POLICIES.get(name, name) for name in form.POLICIES},
    }
    return made


def _when(value: datetime | None) -> str:
    return "" if value is None else f"{value:%d/%m/%Y %H:%M}"


def dollars(value: float) -> str:
    """An amount as French people write it."""
    if 0 < value < 0.01:
        return "moins de 0,01 $"
    return f"{value:,.2f} $".replace(",", "\N{NO-BREAK SPACE}").replace(".", ",")


_PAGES = _environment()


def _page(name: str, account: Account | None, status: int, **facts: Any) -> HTMLResponse:
    return HTMLResponse(_PAGES.get_template(name).render(account=account, **facts), status)


async def _signed_in(request: Request) -> Account:
    gateway = of(request)
    account = gateway.access.account(request)
    if account is None:
        raise SignInNeeded
    gateway.access.limits.spend(request, "request", account.token_id)
    return account


Fragment = Literal["", "true"]

User = Annotated[Account, Depends(_signed_in)]


# --- who


@router.get("/login")
async def sign_in_page(request: Request, vers: str = "/imports") -> Response:
    """The page to sign in."""
    return _page("login.html", None, 200, vers=_inside(vers), problem=None)


@router.post("/login")
async def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=300)] = "",
    vers: Annotated[str, Form(max_length=500)] = "/imports",
) -> Response:
    """Begins a session; from our own page alone, lest somebody signs a person in as another."""
    gateway = of(request)
    vers = _inside(vers)
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "csrf", "Ouvrez la page de connexion de cette application.")
    try:
        gateway.access.limits.spend(request, "login", request.client.host if request.client else "")
    except Problem as problem:
        return _page("login.html", None, 429, vers=vers, problem=problem.detail)
    known = gateway.tokens.of_text(token.strip())
    if known is None:
        gateway.audit.write(request, None, "login-refused")
        why = "Ce jeton n'est pas valable : il est faux, expiré ou révoqué."
        return _page("login.html", None, 401, vers=vers, problem=why)
    cookie = gateway.access.sessions.begin(known["id"])
    gateway.audit.write(request, Account(known["name"], known["scope"], known["id"]), "login")
    answer = RedirectResponse(vers, 303)
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=gateway.access.sessions.seconds,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


def _inside(address: str) -> str:
    """An address of ours, whatever was given."""
    if not address.startswith("/") or address.startswith(("//", "/\\")) or "\n" in address:
        return "/imports"
    return address


@router.post("/logout")
async def sign_out(
    request: Request, account: User, csrf: Annotated[str, Form(max_length=100)] = ""
) -> Response:
    """Ends the session of this browser."""
    gateway = of(request)
    gateway.access.check_csrf(request, account, csrf)
    gateway.audit.write(request, account, "logout")
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


# --- pages


@router.get("/")
async def home() -> Response:
    """The list."""
    return RedirectResponse("/imports", 303)


@router.get("/envoyer")
async def upload_page(request: Request, account: User) -> Response:
    """Where a file is dropped, checked and imported."""
    limits = of(request).limits
    fields = {
        name: [(field.name, field.required) for field in known.fields]
        for name, known in IMPORT_TYPES.items()
    }
    return _page(
        "upload.html",
        account,
        200,
        max_bytes=limits.max_file_bytes,
        max_rows=limits.max_rows,
        fields=fields,
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
        "rows": [_row(state) for state in states[(page - 1) * listing.PAGE : page * listing.PAGE]],
        "count": len(states),
        "page": page,
        "pages": pages,
        "chosen": chosen,
        "address": lambda to: f"/imports?{urlencode({**chosen, 'page': to})}",
    }
    return _page("_imports.html" if fragment else "imports.html", account, 200, **facts)


@router.get("/imports/{import_id}")
async def import_page(
    request: Request, account: User, import_id: str, fragment: Fragment = ""
) -> Response:
    """One import; with `fragment` only what moves."""
    gateway = of(request)
    state = gateway.state(import_id)
    texts = actions.texts_left(state)
    facts: dict[str, Any] = {
        "row": _row(state),
        "family": _family(gateway, state),
        "actions": actions.allowed(state) if account.may("import") else [],
        "estimate": gateway.settings.ai_estimate(state["import_type"], texts),
    }
    return _page("_import.html" if fragment else "import.html", account, 200, **facts)


@router.get("/imports/{import_id}/erreurs")
async def errors_piece(request: Request, account: User, import_id: str) -> Response:
    """The first errors of an import, as a piece of its page."""
    gateway = of(request)
    state = gateway.state(import_id)
    gateway.access.limits.spend(request, "check", account.token_id)
    found = await imports_api.errors_of(request, state)
    return _page("_errors.html", account, 200, state=state, found=found)


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
    return _page("_overview.html" if fragment else "overview.html", account, 200, **facts)


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
    return _page("docs.html", _visitor(request), 200, calls=calls, info=description["info"])


def _visitor(request: Request) -> Account | None:
    try:
        return of(request).access.account(request)
    except Problem:
        return None


def _warnings(states: list[ImportState]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for state in states:
        for code, count in state["warnings_by_code"].items():
            sums[code] = sums.get(code, 0) + count
    return sums


def _row(state: ImportState) -> dict[str, Any]:
    """What the pages show of an import beside its state."""
    done, total = accounted(state), state["total_rows"]
    ended = state["status"] in TERMINAL
    rate = state["rows_per_second"]
    return {
        "state": state,
        "done": done,
        "percent": 100 if ended else min(99, 100 * done // total) if total else None,
        "left": (total - done) / rate if not ended and total and rate and total > done else None,
        "ended": ended,
        "colour": _colour(state["success_rate"]),
        "ai": ai_badge(state),
        "writing": state["generate_ai_content"]
        and ended
        and ai_badge(state)[0] in ("busy", "wait"),
    }


def _colour(rate: float | None) -> str:
    if rate is None:
        return "none"
    return "good" if rate == 100 else "fair" if rate >= 50 else "bad"


def ai_badge(state: ImportState) -> tuple[str, str]:
    """The AI badge: its kind and its words."""
    if not state["generate_ai_content"]:
        return "none", "Non demandés"
    if state["status"] in ("ERROR", "CANCELLED") and not state["ai_generation_started"]:
        return "none", "Abandonnés"
    if not state["ai_generation_completed"]:
        return ("busy", "En cours") if state["ai_generation_started"] else ("wait", "En attente")
    if state["ai_failed"]:
        return "bad", "En partie échoués" if state["ai_done"] else "Échoués"
    return ("left", "En partie remis") if state["ai_left"] else ("good", "Terminés")


def _family(gateway: Gateway, state: ImportState) -> list[ImportState]:
    """Retries and corrections: the import's parent, its children, and other imports of the file."""
    related = [
        other
        for other in gateway.states.by_id.values()
        if other["id"] != state["id"]
        and (
            other["id"] == state["parent"]
            or other["parent"] == state["id"]
            or other["file_sha256"] == state["file_sha256"]
        )
    ]
    return sorted(related, key=lambda other: other["created_at"], reverse=True)[:20]


def respond(request: Request, problem: Problem) -> Response:
    """A problem as a page."""
    return _page(
        "problem.html",
        _visitor(request),
        problem.status,
        title=problems.title(problem.status),
        detail=problem.detail,
    )


def sign_in_first(request: Request) -> Response:
    """Where nobody is signed in."""
    if request.method != "GET" or "fragment" in request.query_params:
        return _page("login.html", None, 401, vers="/imports", problem=None)
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?{urlencode({'vers': address})}", 303)
