"""What the pages show of an import beside its state."""

import json
from collections.abc import Iterable
from typing import Any

from producers.kafka.import_state import accounted
from producers.mappings.phrases import phrase
from schemas.outcomes import TERMINAL
from schemas.records import ImportState


def import_view(state: ImportState) -> dict[str, Any]:
    """Its state, and what templates need beside it."""
    done, total = accounted(state), state["total_rows"]
    ended = state["status"] in TERMINAL
    rate = state["rows_per_second"]
    remembered = state["options"].get("remembered")
    return {
        "state": state,
        "remembered": phrase(json.loads(remembered)) if remembered else None,
        "done": done,
        "percent": 100 if ended else min(99, 100 * done // total) if total else None,
        "left": (total - done) / rate if not ended and total and rate and total > done else None,
        "ended": ended,
        "colour": _colour(state["success_rate"]),
        "ai": ai_badge(state),
        "writing": state["generate_ai_content"]
        and ended
        and ai_badge(state)[0] in ("busy", "wait"),
    }


def _colour(rate: float | None) -> str:
    if rate is None:
        return "none"
    return "good" if rate == 100 else "fair" if rate >= 50 else "bad"


def ai_badge(state: ImportState) -> tuple[str, str]:
    """The AI badge: its kind and its words."""
    if not state["generate_ai_content"]:
        return "none", "Non demandés"
    if state["status"] in ("ERROR", "CANCELLED") and not state["ai_generation_started"]:
        return "none", "Abandonnés"
    if not state["ai_generation_completed"]:
        return ("busy", "En cours") if state["ai_generation_started"] else ("wait", "En attente")
    if state["ai_failed"]:
        return "bad", "En partie échoués" if state["ai_done"] else "Échoués"
    return ("left", "En partie remis") if state["ai_left"] else ("good", "Terminés")


def related_imports(states: Iterable[ImportState], state: ImportState) -> list[ImportState]:
    """Of `states`: the parent of the import, its children, and other imports of the same file."""
    related = [
        other
        for other in states
        if other["id"] != state["id"]
        and (
            other["id"] == state["parent"]
            or other["parent"] == state["id"]
            or other["file_sha256"] == state["file_sha256"]
        )
    ]
    return sorted(related, key=lambda other: other["created_at"], reverse=True)[:20]
