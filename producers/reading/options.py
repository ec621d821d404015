"""Options that the operator sets for a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.rules import Luhn


@dataclass(frozen=True)
class Options:
    """None: the reader finds out. `columns` are fields by header."""

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    luhn: Luhn = "warning"
