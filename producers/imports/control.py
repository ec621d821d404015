"""What workers are requested: cancel, pause, resume and texts of an import, confirmed within seconds;
other texts of rows."""

from collections.abc import Sequence
from time import monotonic
from typing import Literal

from producers.imports.connections import Connections
from producers.imports.events import Events
from producers.kafka.import_state import accounted
from producers.reading import RefusedError
from schemas.outcomes import ACTIONS, TERMINAL, ActionName
from schemas.records import ImportState
from schemas.topics import ENRICHMENT

ANSWER_SECONDS = 20.0

_REFUSED = {
    "cancel": "est terminé : il n'y a plus rien à annuler",
    "pause": "ne peut pas être suspendu",
    "resume": "n'est pas suspendu",
    "generate_ai": "n'a pas de lignes dont on puisse écrire",
}


def request_action(
    action: ActionName,
    import_id: str,
    connections: Connections,
    by: str | None,
    seconds: float = ANSWER_SECONDS,
) -> ImportState:
    """Requests any action but "retry"; returns the state when it is done, or after `seconds`.

    Raises RefusedError if the status of the import does not allow the action.
    """
    events = Events(connections)
    connections.log.start()
    state = connections.log.read({import_id}).get(import_id)
    if state is None:
        raise RefusedError("unknown-import", f"Aucun import n'a l'identifiant {import_id}.")
    if state["status"] not in ACTIONS[action].statuses:
        raise RefusedError(
            "not-possible", f"L'import {import_id} ({state['status']}) {_REFUSED[action]}."
        )
    events.requested(import_id, action, by)
    connections.publisher.flush()
    until = monotonic() + seconds
    while not _is_done(action, state) and monotonic() < until:
        state = connections.log.follow(import_id, 0.2) or state
    return state


Rewriting = Literal["regenerate", "overwrite"]
"""Another text than a row has; `overwrite`: also where people edited it."""


def request_texts(
    connections: Connections, kind: str, rows: Sequence[str], rewriting: Rewriting
) -> None:
    """Requests other texts of a kind, of rows by id, slug or SIREN. The workers reject unknown rows."""
    encoder = connections.encoder(ENRICHMENT, "enrichment_request")
    request = {
        "kind": kind,
        "id": None,
        "import_id": None,
        "reason": rewriting,
        "priority": 1,
        "generation": None,
    }
    records = [(row, encoder.encode({**request, "entity": row})) for row in rows]
    connections.publisher.publish(ENRICHMENT.name, records)
    connections.publisher.flush()


def _is_done(action: ActionName, state: ImportState) -> bool:
    if state["status"] in TERMINAL:
        return True
    match action:
        case "pause":
            return state["status"] == "PAUSED"
        case "resume":
            return state["status"] != "PAUSED"
    return False


def is_published_on(connections: Connections, state: ImportState, seconds: float) -> bool:
    """Whether an import advances within some seconds; otherwise no process reads its file any more."""
    until = monotonic() + seconds
    before = accounted(state)
    while monotonic() < until:
        state = connections.log.follow(state["id"], 0.2) or state
        if state["total_rows"] is not None or accounted(state) > before:
            return True
    return False
