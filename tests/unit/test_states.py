"""What the facts of an import make of its state: schemas/avro/import_state.avsc."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.imports.facts import ImportFacts
from processors.imports.state import COMPANIES_FIRST, SITE_STATUS, state_of
from schemas.codec.framing import Decoder, Encoder, load
from schemas.codec.schema import Schema
from schemas.outcomes import AI_COUNTS, OUTCOMES
from schemas.records import FileError

NOW = datetime(2025, 3, 1, 8, 30, 10, tzinfo=UTC)
STATUSES = {"PENDING", "PROCESSING", "SUCCESS", "PARTIAL", "ERROR", "CANCELLED", "PAUSED"}
SITE_STATUSES = {"PENDING", "PROCESSING", "SUCCESS", "PARTIAL", "ERROR"}


class Registered:
    """A registry that holds the schema of states."""

    def schema(self, schema_id: int) -> Schema:
        assert schema_id == 1
        return load("import_state")


def facts(**known: object) -> ImportFacts:
    """What a state is computed of: an import that was submitted, and what is given."""
    row: Any = {
        "id": UUID("6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e"),
        "import_type": "VILLE",
        "file_name": "villes.csv",
        "file_sha256": "0" * 64,
        "uploaded_by": None,
        "generate_ai_content": False,
        "header": ["nom"],
        "options": {},
        "created_at": NOW - timedelta(seconds=10),
        "total_rows": None,
        "warnings_by_code": {},
        "skipped_rows": 0,
        "left_out_rows": 0,
        "left_out": [],
        "other_sheets": [],
        "encoding_hint": None,
        "error": None,
        "status": "PENDING",
        "started_at": None,
        "completed_at": None,
        "version": 4,
        "now": NOW,
        "reader_gone": timedelta(seconds=10),
        "began": None,
        "moved": None,
        "halted": None,
        "parent": None,
        "cancelled_at": None,
        "cancelled_by": None,
        "paused_at": None,
        "stopped_after": None,
        "watermarks": None,
        "now_settles": 0,
        "now_dropped": 0,
        **{f"now_{name}": 0 for name in AI_COUNTS},
        "now_ai_started": False,
        "now_ai_cost": 0.0,
        "now_ai_costs": [],
        "ai_scanning": False,
        "lacks_companies": False,
        **{f"now_{name}": 0 for name in (*OUTCOMES, "released")},
        **known,
    }
    return cast(ImportFacts, row)


def begun(**known: object) -> ImportFacts:
    """The same of an import whose rows began to be written four seconds ago."""
    return facts(**{"began": NOW - timedelta(seconds=4), "moved": NOW, **known})


FAILED: FileError = {"code": "encoding", "message": "Le fichier ne se lit pas."}


@pytest.mark.parametrize(
    ("status", "known"),
    [
        ("PENDING", facts()),
        ("PENDING", facts(total_rows=3)),
        ("PROCESSING", begun(now_inserted=1)),
        ("PROCESSING", begun(now_rejected=1)),
        ("PROCESSING", begun(total_rows=3, now_inserted=2)),
        ("PROCESSING", begun(total_rows=3, now_inserted=1, now_rejected=1)),
        ("SUCCESS", begun(total_rows=1, now_inserted=1)),
        ("SUCCESS", begun(total_rows=1, now_updated=1)),
        ("SUCCESS", begun(total_rows=1, now_unchanged=1)),
        ("SUCCESS", begun(total_rows=2, now_inserted=1, now_duplicate=1)),
        ("SUCCESS", begun(total_rows=1, now_stale=1)),
        ("PARTIAL", begun(total_rows=3, now_inserted=2, now_rejected=1)),
        ("PARTIAL", begun(total_rows=3, now_stale=1, now_rejected=2)),
        # Lines that could not be read are missing, although every row that was is written.
        ("PROCESSING", begun(total_rows=2, now_inserted=1, left_out_rows=2)),
        ("PARTIAL", begun(total_rows=1, now_inserted=1, left_out_rows=2)),
        ("ERROR", begun(total_rows=1, now_rejected=1, left_out_rows=2)),
        ("ERROR", begun(total_rows=2, now_rejected=2)),
        ("ERROR", facts(error=FAILED)),
        ("ERROR", begun(error=FAILED, now_inserted=2)),
        ("PAUSED", facts(paused_at=NOW)),
        ("PAUSED", begun(paused_at=NOW, now_inserted=2)),
        ("SUCCESS", begun(paused_at=NOW, total_rows=2, now_inserted=2)),
        # More rows than may wait are about companies that are not known: refused, when all have come.
        ("PROCESSING", begun(total_rows=3, now_rejected=1, lacks_companies=True)),
        ("ERROR", begun(total_rows=2, now_parked=1, now_rejected=1, lacks_companies=True)),
        ("ERROR", begun(total_rows=2, now_inserted=1, now_rejected=1, lacks_companies=True)),
        # A cancel is through when the reader has said how far it came, and no row is left.
        ("PENDING", facts(cancelled_at=NOW)),
        ("PROCESSING", begun(cancelled_at=NOW, now_inserted=2)),
        ("PROCESSING", begun(cancelled_at=NOW, paused_at=NOW, now_inserted=2)),
        ("PROCESSING", begun(cancelled_at=NOW, total_rows=3, now_inserted=1, now_cancelled=1)),
        ("CANCELLED", begun(cancelled_at=NOW, total_rows=3, now_inserted=1, now_cancelled=2)),
        ("CANCELLED", begun(cancelled_at=NOW, total_rows=3, now_cancelled=3)),
        # It came too late, or a retry has settled all that it left out.
        ("SUCCESS", begun(cancelled_at=NOW, total_rows=3, now_inserted=3)),
        ("PARTIAL", begun(cancelled_at=NOW, total_rows=3, now_inserted=2, now_rejected=1)),
        # Not where lines of the file were never published.
        ("CANCELLED", begun(cancelled_at=NOW, total_rows=3, now_inserted=3, stopped_after=4)),
        # Where nothing more is heard of the reader, it is over with the rows that came.
        ("PROCESSING", begun(cancelled_at=NOW - timedelta(seconds=11), now_inserted=3)),
        ("CANCELLED", facts(cancelled_at=NOW - timedelta(seconds=10))),
        ("CANCELLED", begun(cancelled_at=NOW, completed_at=NOW, now_inserted=3)),
        # And it stays over, whatever comes late.
        ("CANCELLED", begun(cancelled_at=NOW, completed_at=NOW, total_rows=9, now_cancelled=3)),
    ],
)
def test_status(status: str, known: ImportFacts) -> None:
    """The status follows from the rows that have an outcome, and from a failure of the file."""
    assert state_of(known)["status"] == status


@pytest.mark.parametrize(("asks", "cost"), [(True, 0.25), (False, 0.0)])
def test_the_cost_of_texts(asks: bool, cost: float) -> None:
    """What its budget says that was spent, of an import that asks for texts."""
    costs = [{"kind": "VILLE", "day": "2026-12-01", "cost": 0.25}]
    state = state_of(facts(generate_ai_content=asks, now_ai_cost=0.25, now_ai_costs=costs))
    assert (state["ai_cost"], state["ai_costs"]) == (cost, costs if asks else [])


def test_why_an_import_is_refused() -> None:
    """The state says once what has to be imported first; a cancel says that it was one."""
    refused = begun(total_rows=2, now_parked=1, now_rejected=1, lacks_companies=True)
    cancelled = begun(
        cancelled_at=NOW, total_rows=2, now_cancelled=1, now_rejected=1, lacks_companies=True
    )

    assert state_of(refused)["error"] == COMPANIES_FIRST
    assert "importez d'abord StockUniteLegale" in COMPANIES_FIRST["message"]
    cut = state_of(cancelled)["error"]
    assert cut is not None
    assert cut["code"] == "cancelled"
    running = begun(total_rows=3, now_rejected=1, lacks_companies=True)
    assert state_of(running)["error"] is None


def test_unfinished_until_all_are_accounted_for() -> None:
    """An import ends with the last of its rows, and not with the last but one."""
    nearly = state_of(begun(total_rows=1000, now_inserted=999))
    wholly = state_of(begun(total_rows=1000, now_inserted=999, now_rejected=1))

    assert (nearly["status"], nearly["completed_at"]) == ("PROCESSING", None)
    assert (wholly["status"], wholly["completed_at"]) == ("PARTIAL", NOW)


def test_unfinished_until_the_file_is_read() -> None:
    """However many rows have an outcome, an import does not end before its total is known."""
    state = state_of(begun(now_inserted=1000))

    assert state["status"] == "PROCESSING"
    assert (state["total_rows"], state["success_rate"], state["completed_at"]) == (None, None, None)


def test_sums() -> None:
    """Success is what has been written or need not be; an error is a reject, or waits."""
    counts = {
        "inserted": 1, "updated": 20, "unchanged": 300, "duplicate": 4000, "stale": 50_000,
        "rejected": 500_000, "parked": 100_000,
    }  # fmt: skip
    total = sum(counts.values())

    state = state_of(begun(total_rows=total, **{f"now_{name}": n for name, n in counts.items()}))

    assert {**state, **counts} == state
    assert (state["success_rows"], state["error_rows"]) == (54_321, 600_000)
    assert state["success_rate"] == 8.3


@pytest.mark.parametrize(
    ("success", "total", "rate"),
    [
        (3, 3, 100.0),
        (0, 3, 0.0),
        (2, 3, 66.67),
        (1, 3, 33.33),
        (1, 20_000, 0.01),
        (9_999, 10_000, 99.99),
        (99_999, 100_000, 99.99),  # 100 only where nothing is missing
        (2_999_999, 3_000_000, 99.99),
    ],
)
def test_success_rate(success: int, total: int, rate: float) -> None:
    """The rate is in percent of all rows, with two decimals."""
    known = begun(total_rows=total, now_inserted=success, now_rejected=total - success)

    assert state_of(known)["success_rate"] == rate


def test_rows_that_wait() -> None:
    """An import of which rows wait for their parent has ended in part, even if no row is written."""
    assert state_of(begun(total_rows=3, now_parked=3))["status"] == "PARTIAL"
    assert state_of(begun(total_rows=3, now_parked=1, now_inserted=2))["status"] == "PARTIAL"
    assert state_of(begun(total_rows=3, now_inserted=3))["status"] == "SUCCESS"


def test_an_ended_import_says_that_its_rows_wait() -> None:
    """While it is read or written that says nothing yet; once all else is done it waits for parents."""
    assert state_of(begun(total_rows=3, now_parked=1))["waiting_for"] is None
    assert state_of(begun(total_rows=3, now_parked=1, now_inserted=2))["waiting_for"] == "parent"
    assert state_of(begun(total_rows=3, now_inserted=3))["waiting_for"] is None


def test_rows_of_others_are_no_rows() -> None:
    """Rows of other imports that waited for rows of this one are told, and count as none of its own."""
    state = state_of(begun(total_rows=1, now_inserted=1, now_released=40))

    assert (state["released"], state["success_rows"], state["status"]) == (40, 1, "SUCCESS")


def test_an_empty_file() -> None:
    """An import of no rows, which the reader refuses before, has written none: an error."""
    assert state_of(facts(total_rows=0))["status"] == "ERROR"


def test_times() -> None:
    """An import starts with its first row and ends once; its duration is what lies between."""
    first = state_of(begun(total_rows=2, now_inserted=2))
    again = state_of(
        begun(
            total_rows=2,
            now_inserted=2,
            started_at=first["started_at"],
            completed_at=first["completed_at"],
            now=NOW + timedelta(hours=1),
        )
    )

    assert first["duration"] == 4.0
    assert [again[name] for name in ("started_at", "completed_at", "duration")] == [
        NOW - timedelta(seconds=4), NOW, 4.0
    ]  # fmt: skip


def test_no_times_before_it_starts() -> None:
    """An import that waits has no start, no end, no duration and no rate."""
    state = state_of(facts())

    assert [state[name] for name in ("started_at", "completed_at", "duration")] == [None] * 3
    assert state["rows_per_second"] is None


def test_file_that_fails_at_once() -> None:
    """A file that fails before its first row ends without having started."""
    state = state_of(facts(error=FAILED))

    assert (state["completed_at"], state["duration"]) == (NOW, None)
    assert state["error"] == FAILED


def test_failure_that_was_overcome() -> None:
    """A file that failed and is read again by its import goes on as if it had not ended."""
    state = state_of(begun(total_rows=5, now_inserted=2, completed_at=NOW, status="ERROR"))

    assert (state["status"], state["completed_at"]) == ("PROCESSING", None)


def test_rate() -> None:
    """Rows per second count all rows with an outcome, from the first to the latest."""
    state = state_of(begun(now_inserted=900, now_rejected=101))

    assert state["rows_per_second"] == 250.2


def test_rate_of_a_moment() -> None:
    """Rows that were all written in one moment have no rate."""
    assert (
        state_of(begun(now_inserted=9, moved=NOW - timedelta(seconds=4)))["rows_per_second"] is None
    )


@given(
    counts=st.fixed_dictionaries({name: st.integers(0, 5) for name in OUTCOMES}),
    missing=st.none() | st.integers(0, 3),
    failed=st.booleans(),
    asked=st.sets(st.sampled_from(["cancelled_at", "paused_at", "completed_at"])),
)
def test_every_state(
    counts: Mapping[str, int], missing: int | None, failed: bool, asked: set[str]
) -> None:
    """Every state has a status of the interface, agrees with itself, and goes through its schema."""
    known = begun(**{f"now_{name}": count for name, count in counts.items()})
    known["total_rows"] = None if missing is None else sum(counts.values()) + missing
    known["error"] = FAILED if failed else None
    requested: Any = dict.fromkeys(asked, NOW)

    state = state_of({**known, **requested})

    assert state["status"] in STATUSES
    assert SITE_STATUS.get(state["status"], state["status"]) in SITE_STATUSES
    open_ = {"PENDING", "PROCESSING", "PAUSED"}
    assert (state["completed_at"] is None) == (state["status"] in open_)
    if state["status"] in {"SUCCESS", "PARTIAL"}:
        accounted = state["success_rows"] + state["error_rows"] + state["cancelled"]
        assert accounted == state["total_rows"]
    if state["status"] == "SUCCESS":
        assert state["error_rows"] == 0
        assert state["success_rate"] == 100
    read = Decoder("import_state", Registered()).decode(Encoder("import_state", 1).encode(state))
    assert {name: read[name] for name in state} == state


def test_a_dead_reader() -> None:
    """Of a cancelled import that nobody finished reading: the rows that came, and where they end."""
    marks = {"0": 3, "2": 5}
    state = state_of(
        begun(cancelled_at=NOW, completed_at=NOW, now_inserted=3, now_cancelled=2, watermarks=marks)
    )

    assert (state["total_rows"], state["watermarks"], state["success_rate"]) == (5, marks, 60.0)
    assert state["error"] == {
        "code": "cancelled",
        "message": "L'import a été annulé : le fichier n'a pas été lu jusqu'au bout.",
    }


def test_rate_of_an_import_that_is_settled_later() -> None:
    """Counters that move long after the end change no rate."""
    known = begun(total_rows=400, now_inserted=400, completed_at=NOW)

    assert state_of({**known, "moved": NOW + timedelta(days=1)})["rows_per_second"] == 100


def test_halted() -> None:
    """An import whose rows nobody writes any more says so, until it has ended."""
    halted = {"halted": "relation does not exist", "total_rows": 2}

    assert state_of(begun(**halted, now_inserted=1))["waiting_for"] == "operator"
    assert state_of(begun(**halted, now_inserted=2))["waiting_for"] is None
    assert state_of(begun(total_rows=2))["waiting_for"] is None


def test_fields() -> None:
    """A state has all fields of its schema but those of what is not built yet, and no others."""
    schema = {field["name"] for field in load("import_state")["fields"]}

    assert set(state_of(facts())) == schema


def test_site_statuses() -> None:
    """The site's list, which knows five statuses, shows the two others as the nearest of these."""
    assert SITE_STATUS == {"CANCELLED": "ERROR", "PAUSED": "PROCESSING"}
    assert {SITE_STATUS.get(status, status) for status in STATUSES} == SITE_STATUSES


def test_dropped_values_are_no_errors() -> None:
    """A row without one of its values is written: status, counters and success rate say so."""
    rows = {"total_rows": 2, "now_inserted": 1, "now_updated": 1}

    whole, lacking = state_of(begun(**rows)), state_of(begun(**rows, now_dropped=2))

    assert (whole["dropped_rows"], lacking["dropped_rows"]) == (0, 2)
    assert {**lacking, "dropped_rows": 0} == whole
