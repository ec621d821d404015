"""Computes the state of an import from its facts."""

from datetime import datetime
from typing import Any

from processors.imports.facts import ImportFacts
from schemas.outcomes import AI_COUNTS, ERRORS, SUCCESSES, UNFINISHED
from schemas.values.rates import success_rate

State = dict[str, Any]

# The site's list knows five states.
SITE_STATUS = {"CANCELLED": "ERROR", "PAUSED": "PROCESSING"}


def state_of(facts: ImportFacts) -> State:
    """The state that schemas/avro/import_state.avsc describes.

    An import is finished when each row that was read has an outcome, never before.
    """
    counts = _outcome_counts(facts)
    success = sum(counts[name] for name in SUCCESSES)
    accounted = sum(counts.values())
    status = _status(facts, accounted, success)
    finished = status not in UNFINISHED
    completed_at = (facts["completed_at"] or facts["now"]) if finished else None
    started_at = facts["started_at"] or facts["began"]
    total = facts["total_rows"]
    unread = finished and total is None
    if unread and status == "CANCELLED":
        total = accounted
    # Rows of a child import change the counters long after the import is finished.
    moved = min(filter(None, (facts["moved"], facts["completed_at"])), default=None)
    return {
        "id": str(facts["id"]),
        "version": facts["version"],
        "import_type": facts["import_type"],
        "status": status,
        "file_name": facts["file_name"],
        "file_sha256": facts["file_sha256"],
        "uploaded_by": facts["uploaded_by"],
        "header": facts["header"],
        "options": facts["options"],
        "total_rows": total,
        "success_rows": success,
        "error_rows": sum(counts[name] for name in ERRORS),
        "success_rate": success_rate(success, total or 0),
        **counts,
        "parent": facts["parent"] and str(facts["parent"]),
        "settles": facts["now_settles"],
        "warnings_by_code": facts["warnings_by_code"],
        "rows_per_second": _rate(accounted, started_at, moved),
        "released": facts["now_released"],
        "waiting_for": _waiting_for(facts, finished=finished),
        "generate_ai_content": facts["generate_ai_content"],
        **_ai(facts, finished=finished),
        "created_at": facts["created_at"],
        "started_at": started_at,
        "completed_at": completed_at,
        "duration": (
            (completed_at - started_at).total_seconds() if completed_at and started_at else None
        ),
        "error": facts["error"] or (_cut_short(facts) if status == "CANCELLED" else None),
        "watermarks": (facts["watermarks"] or {}) if unread else {},
        "stopped_after": facts["stopped_after"],
    }


def _outcome_counts(facts: ImportFacts) -> dict[str, int]:
    return {
        "inserted": facts["now_inserted"],
        "updated": facts["now_updated"],
        "unchanged": facts["now_unchanged"],
        "duplicate": facts["now_duplicate"],
        "stale": facts["now_stale"],
        "rejected": facts["now_rejected"],
        "parked": facts["now_parked"],
        "cancelled": facts["now_cancelled"],
    }


def _ai(facts: ImportFacts, *, finished: bool) -> State:
    """Counters of the text requests. An import does not wait for them."""
    if not facts["generate_ai_content"]:
        return {
            **dict.fromkeys(AI_COUNTS, 0),
            "ai_generation_started": False,
            "ai_generation_completed": False,
        }
    counts = {
        "ai_requested": facts["now_ai_requested"],
        "ai_done": facts["now_ai_done"],
        "ai_failed": facts["now_ai_failed"],
        "ai_left": facts["now_ai_left"],
    }
    handled = counts["ai_done"] + counts["ai_failed"] + counts["ai_left"]
    return {
        **counts,
        "ai_generation_started": facts["now_ai_started"],
        "ai_generation_completed": (
            finished and handled == counts["ai_requested"] and not facts["ai_scanning"]
        ),
    }


def _status(facts: ImportFacts, accounted: int, success: int) -> str:
    if facts["error"] is not None:
        return "ERROR"
    if _is_finished(facts, accounted):
        return "CANCELLED" if _is_cut(facts) else _result(facts, success)
    if facts["paused_at"] is not None and facts["cancelled_at"] is None:
        return "PAUSED"
    return "PROCESSING" if accounted else "PENDING"


def _is_finished(facts: ImportFacts, accounted: int) -> bool:
    total = facts["total_rows"]
    if total is not None and accounted >= total:
        return True
    if facts["cancelled_at"] is None:
        return False
    if facts["completed_at"] is not None:
        return True
    last = max(filter(None, (facts["cancelled_at"], facts["moved"])))
    return total is None and bool(facts["now"] - last >= facts["reader_gone"])


def _is_cut(facts: ImportFacts) -> bool:
    """Whether a cancel left rows out: they wait for a retry, or were never published."""
    if facts["cancelled_at"] is None:
        return False
    unread = facts["total_rows"] is None or facts["stopped_after"] is not None
    return unread or bool(facts["now_cancelled"])


def _cut_short(facts: ImportFacts) -> dict[str, str]:
    by = f" par {facts['cancelled_by']}" if facts["cancelled_by"] else ""
    if facts["stopped_after"] is not None:
        where = f" : la lecture s'est arrêtée après la ligne {facts['stopped_after']}"
    elif facts["total_rows"] is None:
        where = " : le fichier n'a pas été lu jusqu'au bout"
    else:
        where = ""
    return {"code": "cancelled", "message": f"L'import a été annulé{by}{where}."}


def _waiting_for(facts: ImportFacts, *, finished: bool) -> str | None:
    """Parked rows are a reason to wait only once the import is finished."""
    if finished:
        return "parent" if facts["now_parked"] else None
    if facts["halted"]:
        return "operator"
    return "cancel" if facts["cancelled_at"] is not None else None


def _result(facts: ImportFacts, success: int) -> str:
    total = facts["total_rows"]
    if facts["now_parked"]:
        return "PARTIAL"
    if success == 0:
        return "ERROR"
    return "SUCCESS" if success == total else "PARTIAL"


def _rate(rows: int, since: datetime | None, until: datetime | None) -> float | None:
    seconds = (until - since).total_seconds() if since and until else 0.0
    return round(rows / seconds, 1) if seconds > 0 else None
