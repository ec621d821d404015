"""Names of one key that a file spells in several ways."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from schemas.import_types import ImportType

if TYPE_CHECKING:
    from producers.reading.row.row import FileRow

OTHER_SPELLING = "other-spelling"

_MOST_KEYS = 50_000


class Spellings:
    """Warns of a row whose name has the key of an earlier one, and is not spelled as it.

    Only in types whose key is the slug of the name, and among the first 50,000 keys of a file.
    """

    def __init__(self, import_type: ImportType) -> None:
        nom = import_type.field.get("nom")
        self._of_slugs = nom is not None and nom.kind == "slugged"
        self._first: dict[str, str] = {}

    def warn(self, rows: Sequence["FileRow"]) -> None:
        """Adds the warning to the rows that it is due to."""
        if not self._of_slugs:
            return
        for row in rows:
            if row.key is None or row.faults:
                continue
            if len(self._first) < _MOST_KEYS:
                self._first.setdefault(row.key, row.record["nom"])
            if self._first.get(row.key, row.record["nom"]) != row.record["nom"]:
                row.warnings.append(OTHER_SPELLING)
