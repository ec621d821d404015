"""The state of an import, as producers create and read it."""

from datetime import datetime
from typing import Any, cast

from schemas.codec.framing import load
from schemas.outcomes import TERMINAL
from schemas.records import ImportState


def new_state(**given: Any) -> ImportState:
    """A state of which only `given` is known, for an import that no worker has seen yet."""
    defaults = {field["name"]: field.get("default") for field in load("import_state")["fields"]}
    return cast("ImportState", {**defaults, "version": 0, "status": "PENDING", **given})


def document(state: ImportState) -> dict[str, Any]:
    """A state by the names of schemas/avro/import_state.avsc, ready for JSON: timestamps are ISO 8601 in UTC."""
    return {
        name: f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
        if isinstance(value, datetime)
        else value
        for name, value in state.items()
    }


def accounted(state: ImportState) -> int:
    """Rows that have an outcome."""
    return state["success_rows"] + state["error_rows"] + state["cancelled"]


def running(state: ImportState) -> bool:
    """Whether the import may still change by itself."""
    return state["status"] not in TERMINAL
