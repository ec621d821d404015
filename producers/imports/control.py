"""Cancel, pause, resume and texts: what is asked of an import, and what it answers within seconds."""

from time import monotonic

from producers.imports.connections import Connections
from producers.imports.events import Events
from producers.kafka.import_state import TERMINAL, State, accounted
from producers.reading import RefusedError

_KAFKA_SECONDS = 8.0
ANSWER_SECONDS = 20.0

_ALLOWED = {
    "Cancel": ("PENDING", "PROCESSING", "PAUSED"),
    "Pause": ("PENDING", "PROCESSING"),
    "Resume": ("PAUSED",),
    "GenerateAi": ("SUCCESS", "PARTIAL"),
}
_REFUSED = {
    "Cancel": "est terminé : il n'y a plus rien à annuler",
    "Pause": "ne peut pas être suspendu",
    "Resume": "n'est pas suspendu",
    "GenerateAi": "n'a pas de lignes dont on puisse écrire",
}


def ask(
    what: str,
    import_id: str,
    connections: Connections,
    by: str | None,
    seconds: float = ANSWER_SECONDS,
) -> State:
    """Asks for "Cancel", "Pause", "Resume" or "GenerateAi"; the state when that is done, or so much later.

    Raises RefusedError where the import is not in a state for it.
    """
    events = Events(connections)
    connections.log.start(timeout_seconds=_KAFKA_SECONDS)
    state = connections.log.read({import_id}).get(import_id)
    if state is None:
        raise RefusedError("unknown-import", f"Aucun import n'a l'identifiant {import_id}.")
    if state["status"] not in _ALLOWED[what]:
        raise RefusedError(
            "not-possible", f"L'import {import_id} ({state['status']}) {_REFUSED[what]}."
        )
    events.asked(import_id, what, by)
    connections.publisher.flush()
    until = monotonic() + seconds
    while not _is_done(what, state) and monotonic() < until:
        state = connections.log.follow(import_id, 0.2) or state
    return state


def _is_done(what: str, state: State) -> bool:
    if state["status"] in TERMINAL:
        return True
    match what:
        case "Pause":
            return bool(state["status"] == "PAUSED")
        case "Resume":
            return bool(state["status"] != "PAUSED")
    return False


def is_published_on(connections: Connections, state: State, seconds: float) -> bool:
    """Whether an import moves within some seconds: else nobody reads its file any more."""
    until = monotonic() + seconds
    before = accounted(state)
    while monotonic() < until:
        state = connections.log.follow(state["id"], 0.2) or state
        if state["total_rows"] is not None or accounted(state) > before:
            return True
    return False
