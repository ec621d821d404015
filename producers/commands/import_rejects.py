"""Rejects of an import, read from their topic and printed."""

from collections.abc import Iterable, Iterator
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


def print_rejects(rejects: "Iterable[Reject]") -> None:
    """A line for each fault."""
    for reject in rejects:
        place = f"{reject.sheet}, " if reject.sheet else ""
        for error in reject.errors:
            column = f", colonne {error['column']}" if error["column"] else ""
            say(f"  {place}ligne {reject.line}{column} : {error['message']}")
