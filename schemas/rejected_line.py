"""The line of another import whose reject a row of a retry or a correction resolves."""

from typing import NamedTuple


class RejectedLine(NamedTuple):
    """`id` is the import's, a UUID."""

    id: str
    line: int
    sheet: str | None
