"""The state of an import, as producers create and read it."""

from datetime import datetime
from typing import Any

from schemas.codec.framing import load

State = dict[str, Any]
"""One import, by the field names of schemas/avro/import_state.avsc."""


TERMINAL = frozenset({"SUCCESS", "PARTIAL", "ERROR", "CANCELLED"})


def new_state(**given: Any) -> State:
    """A state of which only `given` is known, for an import that no worker has seen yet."""
    defaults = {field["name"]: field.get("default") for field in load("import_state")["fields"]}
    return {**defaults, "version": 0, "status": "PENDING", **given}


def document(state: State) -> dict[str, Any]:
    """A state by the names of schemas/avro/import_state.avsc, ready for JSON: timestamps are ISO 8601 in UTC."""
    return {
        name: f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
        if isinstance(value, datetime)
        else value
        for name, value in state.items()
    }


def accounted(state: State) -> int:
    """Rows that have an outcome."""
    done: int = state["success_rows"] + state["error_rows"] + state["cancelled"]
    return done


def running(state: State) -> bool:
    """Whether the import may still change by itself."""
    return state["status"] not in TERMINAL
