"""Commands that show imports as their log has them."""

import json
from typing import TYPE_CHECKING

import typer

from producers.commands.arguments import Id, Json
from producers.commands.import_states import print_state, read_state, read_states
from producers.terminal.exits import explained, of_status
from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from schemas.records import ImportState


def status(import_id: Id, as_json: Json = False) -> None:
    """Dit où en est un import."""
    from producers.terminal.screen import summary

    with explained(as_json=as_json):
        state = read_state(import_id)
        print_state(state, summary(state), as_json=as_json)
        raise typer.Exit(of_status(state["status"]))


def list_(as_json: Json = False) -> None:
    """Liste les imports, le plus récent d'abord."""
    from producers.kafka.import_state import document
    from producers.terminal.screen import number

    with explained(as_json=as_json):
        states = sorted(read_states().values(), key=lambda s: s["created_at"], reverse=True)
        if as_json:
            say(json.dumps([document(state) for state in states], ensure_ascii=False))
            return
        for state in states:
            total = "?" if state["total_rows"] is None else number(state["total_rows"])
            say(
                f"{state['created_at']:%Y-%m-%d %H:%M}  {state['id']}  {state['import_type']:<14}"
                f"{state['status']:<11}{total:>10} lignes  {state['file_name']}{_parent(state)}"
            )
        if not states:
            say("Aucun import.")


def _parent(state: "ImportState") -> str:
    return f"  (reprise de {state['parent']})" if state["parent"] else ""
