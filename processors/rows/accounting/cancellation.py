"""Rows of cancelled imports: stored as rejects although they are valid, and not written."""

from collections.abc import Sequence
from dataclasses import replace

from aiokafka import ConsumerRecord

from processors.kafka.batch import Batch
from processors.rows.model import Reject, Row, Validated
from schemas.dropped_value import DroppedValue
from schemas.faults import Fault


def rejected_row(
    record: ConsumerRecord, row: Row, faults: Sequence[Fault] | Sequence[DroppedValue]
) -> Reject:
    """A valid row that is not written, or not with all its values."""
    return Reject(
        record, row.import_id, row.row_number, row.line, row.sheet, faults, resolves=row.resolves
    )


CANCELLED = Fault(
    None,
    "cancelled",
    "L'import a été annulé avant l'écriture de cette ligne : « foxstream retry » la reprend.",
)


def reject_cancelled(batch: Batch, validated: Validated, cancelled: set[str]) -> Validated:
    """Rows of cancelled imports become rejects. Rejects with faults keep their faults."""
    kept = [import_id not in cancelled for import_id in validated.rows.import_ids]
    rows, others = validated.rows.parted(kept)
    if not others:
        return validated
    records = {record.offset: record for record in batch.records}
    cancelled_rows = [
        rejected_row(records[row.offset], row, [CANCELLED])._replace(cancelled=True)
        for row in others
    ]
    return replace(validated, rows=rows, rejects=[*validated.rejects, *cancelled_rows])
