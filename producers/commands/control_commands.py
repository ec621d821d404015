"""Commands that cancel, pause and resume an import."""

from typing import TYPE_CHECKING

from producers.commands.arguments import Id, Json
from producers.commands.import_states import print_state
from producers.terminal.exits import explained, notify
from schemas.runtime.login import login_name

if TYPE_CHECKING:
    from schemas.outcomes import ActionName

_PROGRESS_SECONDS = 5.0


def cancel(import_id: Id, as_json: Json = False) -> None:
    """Annule un import : les lignes qui ne sont pas encore écrites ne le seront pas."""
    _act("cancel", import_id, as_json=as_json)


def pause(import_id: Id, as_json: Json = False) -> None:
    """Suspend un import : la suite de son fichier attend."""
    _act("pause", import_id, as_json=as_json)


def resume(import_id: Id, as_json: Json = False) -> None:
    """Reprend un import suspendu."""
    _act("resume", import_id, as_json=as_json)


def _act(action: "ActionName", import_id: str, *, as_json: bool) -> None:
    from producers.imports.connections import Connections
    from producers.imports.control import is_published_on, request_action
    from producers.settings import settings
    from producers.terminal.screen import summary

    with explained(as_json=as_json), Connections(settings()) as connections:
        state = request_action(action, import_id, connections, login_name())
        print_state(state, summary(state), as_json=as_json)
        if action == "cancel" and state["waiting_for"] == "cancel":
            notify(
                "L'annulation est demandée ; des lignes déjà confiées à Kafka attendent un worker. "
                f"Suite : foxstream status {import_id}"
            )
        if action == "resume" and not is_published_on(connections, state, _PROGRESS_SECONDS):
            path = state["options"].get("path", state["file_name"])
            notify(
                "Aucune commande ne lit plus le fichier de cet import : relancez « foxstream "
                f"import {path} --type {state['import_type'].lower()} » avec les mêmes options, "
                "l'import continuera où il en était."
            )
