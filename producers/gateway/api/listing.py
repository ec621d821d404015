"""Imports as the API shows them: one, a page of many, and what they come to."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from producers.kafka.import_state import document
from schemas.import_types import IMPORT_TYPES
from schemas.outcomes import STATUSES
from schemas.records import ImportState
from schemas.values.rates import success_rate

PAGE = 50

STATUS_LABELS = {name: words.label for name, words in STATUSES.items()}
TYPE_LABELS = {name: known.label for name, known in IMPORT_TYPES.items()}

_VALUES: dict[str, Callable[[ImportState], Any]] = {
    "created_at": lambda state: state["created_at"],
    "completed_at": lambda state: state["completed_at"],
    "file_name": lambda state: state["file_name"],
    "total_rows": lambda state: state["total_rows"],
}
ORDERINGS = tuple(f"{sign}{name}" for name in _VALUES for sign in ("", "-"))


def shown(state: ImportState) -> dict[str, Any]:
    """A state as JSON, with labels in French."""
    return {
        **document(state),
        "import_type_display": TYPE_LABELS.get(state["import_type"], state["import_type"]),
        "status_display": STATUS_LABELS.get(state["status"], state["status"]),
    }


def selected(
    states: Iterable[ImportState],
    *,
    import_type: str | None = None,
    status: str | None = None,
    search: str = "",
    ordering: str = "-created_at",
) -> list[ImportState]:
    """States that fit; those without a value to order by come last."""
    words = search.casefold().split()
    found = [
        state
        for state in states
        if (import_type is None or state["import_type"] == import_type)
        and (status is None or state["status"] == status)
        and _has(state, words)
    ]
    value = _VALUES[ordering.removeprefix("-")]
    valued = [state for state in found if value(state) is not None]
    valued.sort(key=lambda state: (value(state), state["id"]), reverse=ordering.startswith("-"))
    return valued + [state for state in found if value(state) is None]


def _has(state: ImportState, words: list[str]) -> bool:
    if not words:
        return True
    text = f"{state['file_name']} {state['uploaded_by'] or ''} {state['id']}".casefold()
    return all(word in text for word in words)


def statistics(states: Iterable[ImportState]) -> dict[str, Any]:
    """What all imports come to.

    The mean success rate is that of all rows together, of files that have been read.
    """
    by_status: Counter[str] = Counter(dict.fromkeys(STATUS_LABELS, 0))
    by_type: Counter[str] = Counter(dict.fromkeys(TYPE_LABELS, 0))
    total = success = errors = of_total = 0
    for state in states:
        by_status[state["status"]] += 1
        by_type[state["import_type"]] += 1
        success += state["success_rows"]
        errors += state["error_rows"]
        if state["total_rows"] is not None:
            total += state["total_rows"]
            of_total += state["success_rows"]
    return {
        "total_imports": by_status.total(),
        "by_status": dict(by_status),
        "by_type": dict(by_type),
        "total_rows_processed": total,
        "total_success_rows": success,
        "total_error_rows": errors,
        "average_success_rate": success_rate(of_total, total) or 0,
    }
