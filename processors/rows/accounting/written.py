"""The result of one transaction, for the outbox and the metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

from processors.rows.accounting.progress import Progress
from processors.rows.accounting.row_counts import Outcomes
from processors.rows.model import Reject


@dataclass(frozen=True)
class Written:
    """What a transaction did: outcomes with the rejected rows in, and the imports' new progress.

    `freed` is the same of rows of another topic that waited for these. `left`: there may be more.
    `misled`: a parent that was known was not there.
    """

    outcomes: Outcomes
    rejects: Sequence[Reject]
    progress: Sequence[Progress]
    freed: "Written | None" = None
    left: bool = False
    misled: bool = False
