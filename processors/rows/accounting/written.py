"""The result of one transaction, for the outbox and the metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

from processors.rows.accounting.progress import Progress
from processors.rows.accounting.row_counts import Outcomes
from processors.rows.model import Reject


@dataclass(frozen=True)
class Written:
    """The outcomes of a transaction, rejected rows included, and the new progress of its imports.

    `topic` has the rows. `released` is the same for rows of another topic that waited for these. `more_parked`: more rows
    may wait. `stale_parent_ids`: a parent whose id was known no longer exists.
    """

    topic: str
    outcomes: Outcomes
    rejects: Sequence[Reject]
    progress: Sequence[Progress]
    released: "Written | None" = None
    more_parked: bool = False
    stale_parent_ids: bool = False
