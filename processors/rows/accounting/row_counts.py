"""Outcomes of rows, counted by import."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from processors.rows.model import Row

_NAMES = {"i": "inserted", "u": "updated", "=": "unchanged", "s": "stale"}


class Outcomes:
    """Counters by import id (None: rows of upstream systems) and outcome.

    `by_row`: the rows that resolve rejects of other imports, each with its outcome.
    """

    def __init__(self) -> None:
        self.by_import: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
        self.by_row: list[tuple[Row, str]] = []

    def add(self, import_id: str | None, outcome: str, counted: int, repeated: int) -> None:
        """`outcome` as the merge statements return it; `repeated` are later rows of a key.

        A later row of a key is a duplicate whatever it changed, but stale before that.
        """
        name = _NAMES[outcome]
        self.by_import[import_id][name] += counted
        self.by_import[import_id]["stale" if name == "stale" else "duplicate"] += repeated

    def add_resolving(self, rows: Sequence[Row], outcome: str) -> None:
        """Adds the outcome of each row of those that were written as one and resolve rejects."""
        name = _NAMES[outcome]
        repeated = "stale" if name == "stale" else "duplicate"
        self.by_row += [
            (row, name if row.occurrence == 1 else repeated) for row in rows if row.resolves
        ]

    def update(self, other: "Outcomes") -> None:
        for import_id, counter in other.by_import.items():
            self.by_import[import_id].update(counter)
        self.by_row += other.by_row

    def total(self) -> Counter[str]:
        """Counters over all imports."""
        return sum(self.by_import.values(), Counter())
