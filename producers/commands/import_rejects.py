"""Rejects of an import and its rows that lack values, read from their topics and printed."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from producers.kafka.reject_log import Reject
    from schemas.records import ImportState


@contextmanager
def open_rejects(state: "ImportState", *, patience_seconds: float) -> "Iterator[Iterator[Reject]]":
    """The rejects of an import, as RejectLog.read reads them."""
    from producers.kafka.reject_log import RejectLog
    from producers.settings import settings

    with RejectLog(settings()) as log:
        yield log.read(state, patience_seconds)


def dropped_rows_of(state: "ImportState", *, patience_seconds: float) -> "list[Reject]":
    """The rows of an import that lack some of their values."""
    from producers.kafka.reject_log import dropped_rows
    from producers.settings import settings

    return dropped_rows(settings(), state, patience_seconds)


def print_rejects(rejects: "Iterable[Reject]") -> None:
    """A line for each fault."""
    for reject in rejects:
        place = f"{reject.sheet}, " if reject.sheet else ""
        for error in reject.errors:
            column = f", colonne {error['column']}" if error["column"] else ""
            say(f"  {place}ligne {reject.line}{column} : {error['message']}")


def print_dropped(rows: "Sequence[Reject]", most: int) -> None:
    """How many rows lack values, and a line for each value of the first."""
    if not rows:
        return
    say(
        "1 ligne est importée sans une de ses valeurs :"
        if len(rows) == 1
        else f"{len(rows)} lignes sont importées sans une de leurs valeurs au moins :"
    )
    print_rejects(sorted(rows, key=lambda row: row.line or 0)[:most])
