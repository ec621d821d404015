"""Computes the state of an import from its facts."""

from datetime import datetime
from typing import TypedDict

from processors.imports.facts import ImportFacts
from schemas.outcomes import ERRORS, OUTCOMES, SUCCESSES, UNFINISHED
from schemas.records import FileError, ImportState
from schemas.values.rates import success_rate


class OutcomeCounts(TypedDict):
    """How many rows of an import have each outcome."""

    inserted: int
    updated: int
    unchanged: int
    duplicate: int
    stale: int
    rejected: int
    parked: int
    cancelled: int


class TextCounts(TypedDict):
    """How many texts were requested for the rows of an import, and what became of them."""

    ai_requested: int
    ai_done: int
    ai_failed: int
    ai_left: int


COMPANIES_FIRST: FileError = {
    "code": "unknown-company",
    "message": "Trop d'entreprises de ce fichier ne sont pas encore connues : importez d'abord "
    "StockUniteLegale, puis réessayez les lignes rejetées.",
}

# The site's list knows five states.
SITE_STATUS = {"CANCELLED": "ERROR", "PAUSED": "PROCESSING"}


def state_of(facts: ImportFacts) -> ImportState:
    """The state that schemas/avro/import_state.avsc describes.

    An import is finished if every row that was read has an outcome, if reading its file failed, or
    if it was cancelled and its reader has stopped reporting. One of which more rows than may wait are
    about unknown companies is refused, until a retry of these has written them.
    """
    counts = _outcome_counts(facts)
    texts, asks = _text_counts(facts), facts["generate_ai_content"]
    success = sum(counts[name] for name in SUCCESSES)
    accounted = sum(counts[name] for name in OUTCOMES)
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
        "parent": str(facts["parent"]) if facts["parent"] else None,
        "settles": facts["now_settles"],
        "warnings_by_code": facts["warnings_by_code"],
        "skipped_rows": facts["skipped_rows"],
        "left_out_rows": facts["left_out_rows"],
        "left_out": facts["left_out"],
        "other_sheets": facts["other_sheets"],
        "encoding_hint": facts["encoding_hint"],
        "dropped_rows": facts["now_dropped"],
        "rows_per_second": _rate(accounted, started_at, moved),
        "released": facts["now_released"],
        "waiting_for": _waiting_for(facts, finished=finished),
        "generate_ai_content": asks,
        **texts,
        "ai_cost": facts["now_ai_cost"] if asks else 0.0,
        "ai_costs": facts["now_ai_costs"] if asks else [],
        "ai_generation_started": asks and facts["now_ai_started"],
        "ai_generation_completed": asks and finished and _texts_are_handled(facts, texts),
        "created_at": facts["created_at"],
        "started_at": started_at,
        "completed_at": completed_at,
        "duration": (
            (completed_at - started_at).total_seconds() if completed_at and started_at else None
        ),
        "error": facts["error"] or _why(facts, status),
        "watermarks": (facts["watermarks"] or {}) if unread else {},
        "stopped_after": facts["stopped_after"],
    }


def _outcome_counts(facts: ImportFacts) -> OutcomeCounts:
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


def _text_counts(facts: ImportFacts) -> TextCounts:
    """An import that asks for no texts counts none, although other imports may for its rows."""
    asks = facts["generate_ai_content"]
    return {
        "ai_requested": facts["now_ai_requested"] if asks else 0,
        "ai_done": facts["now_ai_done"] if asks else 0,
        "ai_failed": facts["now_ai_failed"] if asks else 0,
        "ai_left": facts["now_ai_left"] if asks else 0,
    }


def _texts_are_handled(facts: ImportFacts, texts: TextCounts) -> bool:
    handled = texts["ai_done"] + texts["ai_failed"] + texts["ai_left"]
    return handled == texts["ai_requested"] and not facts["ai_scanning"]


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


def _why(facts: ImportFacts, status: str) -> FileError | None:
    """Why an import whose file was read has not become what it should."""
    if status == "CANCELLED":
        return _cut_short(facts)
    return COMPANIES_FIRST if status == "ERROR" and facts["lacks_companies"] else None


def _cut_short(facts: ImportFacts) -> FileError:
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
    if facts["lacks_companies"]:
        return "ERROR"
    if facts["now_parked"]:
        return "PARTIAL"
    if success == 0:
        return "ERROR"
    whole = success == facts["total_rows"] and not facts["left_out_rows"]
    return "SUCCESS" if whole else "PARTIAL"


def _rate(rows: int, since: datetime | None, until: datetime | None) -> float | None:
    seconds = (until - since).total_seconds() if since and until else 0.0
    return round(rows / seconds, 1) if seconds > 0 else None
