"""States of imports, read from the import log and printed."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from producers.terminal.exits import REFUSED, fail
from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from schemas.records import ImportState


def read_states(import_ids: Iterable[str] | None = None) -> "dict[str, ImportState]":
    """The latest states by id, of all imports if no ids are given."""
    from producers.kafka.import_log import ImportLog
    from producers.settings import settings

    with (
        settings().registry() as registry,
        ImportLog(settings(), registry) as log,
    ):
        log.start()
        return log.read(None if import_ids is None else set(import_ids))


def read_state(import_id: str) -> "ImportState":
    """Ends the command if the log has no such import."""
    state = read_states([import_id]).get(import_id)
    if state is None:
        fail(REFUSED, "unknown-import", f"Aucun import n'a l'identifiant {import_id}.")
    return state


def print_state(state: "ImportState", lines: list[str], *, as_json: bool) -> None:
    """On standard output: the state as a JSON document, or the lines."""
    from producers.kafka.import_state import document

    say(*[json.dumps(document(state), ensure_ascii=False)] if as_json else lines)
