"""Rows of upstream topics that name an import: rejects, unless the previous release published them.

Rows of files have topics of their own. Who may write to a topic of upstream systems may name any
import there, whose id follows from the bytes of its file. The release before these topics published
rows of files to the others: those of its imports are still written until the import has ended.
"""

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from processors.database.pool import Pool, connected
from processors.database.queries import load
from processors.errors import ImportUnknownError
from processors.kafka.batch import Batch
from processors.rows.model import Reject, Validated
from processors.rows.validation import FOREIGN_IMPORT

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

_SQL = load("processors.rows", "upstream_lineage.sql")

PATIENCE_SECONDS = 60.0
"""How long rows wait for the tracker to store their import, while producers of the previous release run."""

MOST_AWAITED = 1000
"""The most imports that are waited for: a sender may invent any number."""


class UpstreamLineage:
    """Checks the rows of an upstream topic."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._unknown_since: dict[str, float] = {}

    async def check(
        self, pool: Pool, batch: Batch, validated: Validated, imports: set[str]
    ) -> Validated:
        """The batch, in which rows that may not name their import are rejects of no import.

        Raises psycopg.Error, and ImportUnknownError if an import may become known soon: try again.
        """
        async with connected(pool) as connection:
            cursor = await connection.execute(_SQL["imports"], {"imports": sorted(imports)})
            found: list[tuple[str, bool, bool, bool]] = await cursor.fetchall()
        awaited = [id_ for id_, is_known, _, is_awaited in found if is_awaited and not is_known]
        if self._wait_for(awaited):
            raise ImportUnknownError(", ".join(awaited[:3]))
        accepted = {import_id for import_id, _, is_accepted, _ in found if is_accepted}
        return _without_foreign(batch, validated, {None, *accepted})

    def _wait_for(self, awaited: list[str]) -> bool:
        now = monotonic()
        for import_id in awaited[:MOST_AWAITED]:
            self._unknown_since.setdefault(import_id, now)
        while len(self._unknown_since) > MOST_AWAITED:
            del self._unknown_since[next(iter(self._unknown_since))]
        return any(
            now - self._unknown_since.get(import_id, 0.0) < self._patience_seconds
            for import_id in awaited
        )


def _without_foreign(batch: Batch, validated: Validated, accepted: set[str | None]) -> Validated:
    kept = [import_id in accepted for import_id in validated.rows.import_ids]
    rows, others = validated.rows.parted(kept)
    records = {record.offset: record for record in batch.records}
    rejects = [
        reject if reject.import_id in accepted else _foreign(reject.record)
        for reject in validated.rejects
    ]
    foreign = [_foreign(records[row.offset]) for row in others]
    return replace(validated, rows=rows, rejects=[*rejects, *foreign])


def _foreign(record: "ConsumerRecord") -> Reject:
    return Reject(record, None, 0, None, None, [FOREIGN_IMPORT])
