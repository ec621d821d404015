"""Errors as application/problem+json (RFC 9457): `code` is for programs, `detail` for people, in French."""

import errno
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class Fault(BaseModel):
    """One thing that is wrong; `line` and `column` are its place in a file."""

    model_config = ConfigDict(extra="allow")

    field: str | None = None
    line: int | None = None
    column: str | None = None
    code: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[Fault]


class Problem(HTTPException):
    """Ends a request with an error. The framework passes an HTTPException on while it reads a body."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.status = status
        self.code = code
        self.errors = errors
        self.more = more


_TITLES = {
    400: "Requête incorrecte",
    401: "Authentification nécessaire",
    403: "Accès refusé",
    404: "Introuvable",
    405: "Méthode non permise",
    408: "Envoi interrompu",
    409: "Conflit",
    410: "Plus conservé",
    411: "Taille inconnue",
    412: "Version non prise en charge",
    413: "Fichier trop grand",
    415: "Format non pris en charge",
    422: "Demande refusée",
    423: "Occupé",
    429: "Trop de demandes",
    460: "Somme de contrôle différente",
    500: "Erreur interne",
    501: "Pas encore disponible",
    503: "Service indisponible",
    507: "Disque plein",
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": _TITLES[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }
    for status in (400, 401, 403, 404, 422, 429, 503, 507)
}


def title(status: int) -> str:
    """The title of a status, in French."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def respond(request: Request, problem: Problem) -> JSONResponse:
    """A problem as a response."""
    return JSONResponse(
        {
            "type": f"urn:foxstream:{problem.code}",
            "title": title(problem.status),
            "status": problem.status,
            "detail": problem.detail,
            "instance": request.url.path,
            "code": problem.code,
            "errors": list(problem.errors),
            **problem.more,
        },
        problem.status,
        dict(problem.headers or {}),
        media_type=MEDIA_TYPE,
    )


def from_http(error: HTTPException) -> Problem:
    """What the framework found: an unknown address, a method that is not there."""
    codes = {404: "not-found", 405: "method-not-allowed"}
    details = {
        404: "Il n'y a rien à cette adresse.",
        405: "Cette adresse ne connaît pas cette méthode.",
    }
    status = error.status_code
    return Problem(
        status,
        codes.get(status, f"http-{status}"),
        details.get(status, str(error.detail)),
        headers=error.headers,
    )


def from_validation(error: RequestValidationError) -> Problem:
    """Parameters that do not fit."""
    errors = [
        {
            "field": ".".join(str(part) for part in wrong["loc"][1:]),
            "code": wrong["type"].replace("_", "-"),
            "message": wrong["msg"],
        }
        for wrong in error.errors()
    ]
    names = ", ".join(sorted({str(wrong["field"]) for wrong in errors}))
    return Problem(422, "invalid-request", f"Paramètres incorrects : {names}.", errors=errors)


def from_os(error: OSError) -> Problem:
    """What the operating system refuses for now, such as descriptors or room on the disk; else 500."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        detail = "Le disque est plein : recommencez dans quelques minutes."
        return Problem(507, "disk-full", detail, headers={"Retry-After": "60"})
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM):
        return SATURATED
    return INTERNAL


SATURATED = Problem(
    503,
    "busy",
    "Le service est saturé : recommencez dans un instant.",
    headers={"Retry-After": "5"},
)
INTERNAL = Problem(500, "internal", "Une erreur interne est survenue : prévenez l'exploitation.")
MALFORMED = Problem(400, "malformed", "La demande est mal formée.")


def unknown_import(import_id: str) -> Problem:
    """404."""
    return Problem(404, "unknown-import", f"Aucun import n'a l'identifiant {import_id}.")
