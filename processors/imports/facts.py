"""Facts of an import: its row in ingest.imports, the sums of its progress and of its text requests."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

from psycopg.rows import kwargs_row

from processors.database.pool import Connection
from processors.database.queries import load
from schemas.records import FileError, LeftOut, TextCost

_SQL = load("processors.imports", "tracker.sql")


class ImportFacts(TypedDict):
    """A row of the statement `facts`.

    Counters without a prefix are those of the last stored state, those with `now_` the current ones.
    """

    id: UUID
    partition: int
    import_type: str
    file_name: str
    file_sha256: str
    uploaded_by: str | None
    generate_ai_content: bool
    header: list[str]
    options: dict[str, str]
    created_at: datetime
    total_rows: int | None
    warnings_by_code: dict[str, int]
    skipped_rows: int
    left_out_rows: int
    left_out: list[LeftOut]
    other_sheets: list[str]
    encoding_hint: str | None
    dropped_rows: int
    error: FileError | None
    status: str
    started_at: datetime | None
    completed_at: datetime | None
    inserted: int
    updated: int
    unchanged: int
    duplicate: int
    stale: int
    rejected: int
    changed_at: datetime
    version: int
    published_version: int
    parked: int
    cancelled: int
    parent: UUID | None
    settles: int
    released: int
    cancelled_at: datetime | None
    cancelled_by: str | None
    paused_at: datetime | None
    stopped_after: int | None
    settled_at: datetime | None
    ai_requested: int
    ai_done: int
    ai_failed: int
    ai_left: int
    ai_started: bool
    ai_completed: bool
    ai_moved: bool
    ai_until: datetime | None
    published_offset: int
    stray_offset: int
    now: datetime
    reader_gone: timedelta
    now_inserted: int
    now_updated: int
    now_unchanged: int
    now_duplicate: int
    now_stale: int
    now_rejected: int
    now_parked: int
    now_cancelled: int
    now_released: int
    now_settles: int
    now_dropped: int
    began: datetime | None
    moved: datetime | None
    watermarks: dict[str, int] | None
    now_ai_requested: int
    now_ai_done: int
    now_ai_failed: int
    now_ai_left: int
    now_ai_started: bool
    now_ai_cost: float
    now_ai_costs: list[TextCost]
    ai_scanning: bool
    lacks_companies: bool
    halted: str | None


async def read_facts(
    connection: Connection, ids: Iterable[UUID], parameters: Mapping[str, object]
) -> list[ImportFacts]:
    """The facts of these imports, whose rows are locked until the transaction ends."""
    async with connection.cursor(row_factory=kwargs_row(ImportFacts)) as cursor:
        await cursor.execute(_SQL["facts"], {**parameters, "ids": list(ids)})
        return await cursor.fetchall()
