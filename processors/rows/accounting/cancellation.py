"""Rows of cancelled imports: kept as rejects that nothing is wrong with, and not written."""

from aiokafka import ConsumerRecord

from processors.kafka.batch import Batch
from processors.rows.model import Judged, Reject, Row
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
    going = [import_id not in cancelled for import_id in judged.rows.import_ids]
    if all(going):
        return judged
    records = {record.offset: record for record in batch.records}
    left = [
        rejected_row(records[row.offset], row, CANCELLED)._replace(cancelled=True)
        for row, goes in zip(judged.rows, going, strict=True)
        if not goes
    ]
    rows = judged.rows.take([i for i, goes in enumerate(going) if goes])
    return Judged(rows, [*judged.rejects, *left])
