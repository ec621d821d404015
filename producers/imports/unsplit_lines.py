"""Lines of a correction that still cannot be split into cells."""

from collections.abc import Iterable, Iterator

from producers.kafka.reject_log import Reject
from producers.reading import FileRow
from schemas.codec.framing import DecodeError, Decoder
from schemas.faults import Fault

# Faults of the line itself, which the cells of a report do not show any more.
_OF_THE_LINE = frozenset({"missing-cell", "extra-cell", "unbalanced-quote", "cell-too-large"})


def still_broken(
    chunks: Iterable[list[FileRow]], rejects: Iterable[Reject], decoder: Decoder
) -> Iterator[list[FileRow]]:
    """The rows of a correction: a line that could not be split and is as it was, still cannot."""
    broken = {
        (reject.line, reject.sheet): reject
        for reject in rejects
        if any(error["code"] in _OF_THE_LINE for error in reject.errors)
    }
    for rows in chunks:
        for row in rows:
            reject = row.resolves and broken.get((row.resolves.line, row.resolves.sheet))
            if reject and _bare(row.cells) == _bare(cells_of(reject, decoder)):
                row.faults = [
                    Fault(error["column"], str(error["code"]), str(error["message"]))
                    for error in reject.errors
                ]
        yield rows


def cells_of(reject: Reject, decoder: Decoder) -> list[str] | None:
    """The cells as its reader found them; None if that found no fault."""
    try:
        lineage = decoder.decode(reject.value)["import"]
    except DecodeError:
        return None
    cells: list[str] | None = lineage and lineage["cells"]
    return cells


def _bare(cells: list[str] | None) -> list[str] | None:
    cells = cells and list(cells)
    while cells and not cells[-1].strip():
        cells.pop()
    return cells
