"""What became of rows, counted by import."""

from collections import Counter, defaultdict

_NAMES = {"i": "inserted", "u": "updated", "=": "unchanged", "s": "stale"}


class Outcomes:
    """Counters by import id (None: rows of upstream systems) and outcome."""

    def __init__(self) -> None:
        self.by_import: defaultdict[str | None, Counter[str]] = defaultdict(Counter)

    def add(self, import_id: str | None, outcome: str, counted: int, repeated: int) -> None:
        """`outcome` as the merge statements spell it; `repeated` are later rows of a key.

        A later row of a key is a duplicate whatever it changed, but stale before that.
        """
        name = _NAMES[outcome]
        self.by_import[import_id][name] += counted
        self.by_import[import_id]["stale" if name == "stale" else "duplicate"] += repeated

    def update(self, other: "Outcomes") -> None:
        for import_id, counter in other.by_import.items():
            self.by_import[import_id].update(counter)

    def total(self) -> Counter[str]:
        """Over all imports."""
        return sum(self.by_import.values(), Counter())
