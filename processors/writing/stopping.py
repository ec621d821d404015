"""Rows of cancelled imports: kept as rejects that nothing is wrong with, and not written."""

from aiokafka import ConsumerRecord

from processors.draining import Batch
from processors.judging import Judged, Reject, Row
from schemas.faults import Fault


def rejected_row(record: ConsumerRecord, row: Row, fault: Fault) -> Reject:
    """A valid row that is not written all the same."""
    return Reject(
        record, row.import_id, row.number, row.line, row.sheet, [fault], settles=row.settles
    )


CANCELLED = Fault(
    None,
    "cancelled",
    "L'import a été annulé avant l'écriture de cette ligne : « foxstream retry » la reprend.",
)


def stopped(batch: Batch, judged: Judged, cancelled: set[str]) -> Judged:
    """Rows of cancelled imports are kept, not written. What is wrong with a row is told before that."""
    records = {record.offset: record for record in batch.records}
    left = [
        rejected_row(records[row.offset], row, CANCELLED)._replace(cancelled=True)
        for row in judged.rows
        if row.import_id in cancelled
    ]
    rows = [row for row in judged.rows if row.import_id not in cancelled]
    return Judged(rows, [*judged.rejects, *left])
