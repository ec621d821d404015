"""Pages made of templates: their filters and the French labels that they share."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from producers.gateway.access.accounts import Account
from producers.gateway.api import listing
from producers.gateway.api.texts_api import KIND_LABELS
from producers.gateway.uploads import form
from producers.terminal.screen import number, seconds
from schemas.outcomes import (
    ACTIONS,
    OUTCOMES,
    PARTLY_DISCLOSED,
    SKIPPED,
    WAITING,
    WARNINGS,
    left_out_phrase,
    partly_disclosed,
)

FOLDER = Path(__file__).parent

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
    "observed-too-early": "date d'observation trop ancienne",
    "observed-in-future": "date d'observation dans le futur",
    "out-of-range": "valeur hors limites",
    "encoding": "caractères refusés par la base",
    "refused": "ligne refusée par la base",
    "cancelled": "ligne annulée",
}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": lambda value: "…" if value is None else number(value),
        "left_out": lambda part: left_out_phrase(part, number(part["rows"])),
        "partly_disclosed": lambda count: partly_disclosed(count, number(count)),
        "when": _when,
        "iso": lambda value: value.isoformat() if value else "",
        "seconds": lambda value: "" if value is None else seconds(value),
        "dollars": dollars,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
        "day": lambda value: f"{date.fromisoformat(value):%d/%m/%Y}",
        "rate": lambda value: "" if value is None else f"{value:.2f}".replace(".", ",") + " %",
    }
    environment.globals |= {
        "STATUSES": listing.STATUS_LABELS,
        "TYPES": listing.TYPE_LABELS,
        "KINDS": KIND_LABELS,
        "ACTIONS": {name: action.label for name, action in ACTIONS.items()},
        "OUTCOMES": {name: words.label for name, words in OUTCOMES.items()},
        "WAITING": {name: words.label for name, words in WAITING.items()},
        "CODES": _CODES,
        "PARTLY_DISCLOSED": PARTLY_DISCLOSED,
        "SKIPPED": {name: words.label for name, words in SKIPPED.items()},
        "WARNINGS": _CODES | {code: words.label for code, words in WARNINGS.items()},
        "POLICIES": {name: _POLICIES.get(name, name) for name in form.POLICIES},
    }
    return environment


def _when(value: datetime | None) -> str:
    return "" if value is None else f"{value:%d/%m/%Y %H:%M}"


def dollars(value: float) -> str:
    """An amount as French people write it."""
    if 0 < value < 0.01:
        return "moins de 0,01 $"
    return f"{value:,.2f} $".replace(",", "\N{NO-BREAK SPACE}").replace(".", ",")


_PAGES = _environment()


def render(name: str, account: Account | None, status: int, **facts: Any) -> HTMLResponse:
    """A page or a piece of one, with `facts` for its template."""
    return HTMLResponse(_PAGES.get_template(name).render(account=account, **facts), status)
