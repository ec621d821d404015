"""What the tables and the counters have to be in the end, by plain dictionaries.

Written from docs/guarantees.md and docs/import-guide.md, without a look at how the product merges.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from tests.faults.files import PLACES, File, Kind, Values
from tests.faults.upstream import Transaction

Rows = dict[str, Values]
"""What a table holds in the business columns, by natural key, in the order of its file's header."""

_PLACE_OF = {code: (departement, region) for code, _, departement, region in PLACES}

_NEVER_MISSING = {"entreprise": {12}, "ville": {1, 2}}
"""Columns that always hold something of their own: fill_missing has nothing to fill."""


@dataclass
class Outcome:
    """What becomes of one import. `rejects` are the lines of its file."""

    counts: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    rejects: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def status(self) -> str:
        return "PARTIAL" if self.counts["rejected"] else "SUCCESS"


def imported(rows: Rows, file: File) -> Outcome:
    """Brings `rows` to where the file leaves them."""
    outcome = Outcome()
    seen: set[str] = set()
    for number, line in enumerate(file.lines(), start=2):
        outcome.warnings.update(line.warnings)
        if line.key is None or line.refused:
            outcome.counts["rejected"] += 1
            outcome.rejects.append(number)
            continue
        stored = rows.get(line.key)
        rows[line.key] = after = applied(file.kind, file.policy, stored, line.values)
        if line.key in seen:
            outcome.counts["duplicate"] += 1
        elif stored is None:
            outcome.counts["inserted"] += 1
        else:
            outcome.counts["unchanged" if after == stored else "updated"] += 1
        seen.add(line.key)
    return outcome


def applied(kind: Kind, policy: str, stored: Values | None, given: Values) -> Values:
    """What a row is after another one came for its key."""
    blank = _blank(kind, given)
    if stored is None:
        return tuple(b if g is None else g for g, b in zip(given, blank, strict=True))
    return tuple(
        _column(policy, s, g, b, may_fill=at not in _NEVER_MISSING[kind])
        for at, (s, g, b) in enumerate(zip(stored, given, blank, strict=True))
    )


def _column(policy: str, stored: object, given: object, blank: object, *, may_fill: bool) -> object:
    if policy == "insert_only":
        return stored
    if policy == "overwrite":
        return blank if given is None else given
    if policy == "fill_missing" and not (may_fill and stored in (None, blank)):
        return stored
    return stored if given is None else given


def _blank(kind: Kind, given: Values) -> Values:
    """What each column holds where nobody gave anything."""
    if kind == "entreprise":
        return (None, None, None, *[""] * 9, True)
    code = given[1]
    return (None, code, [code], *_PLACE_OF[code], 0.0, 0.0, 0)


class Observed(NamedTuple):
    """A row of an upstream system, and when that was true."""

    at: datetime
    values: Values


def published(transactions: Iterable[Transaction]) -> Mapping[Kind, Rows]:
    """What upstream systems leave: only what they committed, and nothing older over newer."""
    held: dict[Kind, dict[str, Observed]] = {"entreprise": {}, "ville": {}}
    for transaction in transactions:
        rows = held[transaction.kind]
        for row in transaction.rows if transaction.committed else ():
            stored = rows.get(row.key)
            if stored is not None and stored.at > row.observed_at:
                continue
            before = stored and stored.values
            rows[row.key] = Observed(
                row.observed_at, applied(transaction.kind, "merge", before, row.values)
            )
    return {kind: {key: row.values for key, row in rows.items()} for kind, rows in held.items()}
