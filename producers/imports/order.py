"""What an operator requests, and how far the reading of the file is."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from producers.reading import Options, RefusedError, Source, open_source
from producers.reading.source import sha256_of
from schemas.import_types import ImportType
from schemas.records import ImportState, LeftOut


@dataclass(frozen=True)
class Order:
    """What an operator requests. `policy` is one of the symbols of schemas/avro/import_line.avsc.

    `remembered` is the mapping that `options` are taken from, if they are.
    `overwrite_confirmed`: blank cells may clear what the database has.
    `import_id` was promised to the uploader of the file, under the name `file_name` and with the
    SHA-256 `sha256`.
    """

    path: Path
    import_type: ImportType
    options: Options
    policy: str = "merge"
    generate_ai_content: bool = False
    force: bool = False
    uploaded_by: str | None = None
    import_id: str | None = None
    file_name: str | None = None
    sha256: str | None = None
    remembered: Mapping[str, Any] | None = None
    overwrite_confirmed: bool = False

    def source(self) -> Source:
        """The file, opened. Raises RefusedError, also if it is not what was uploaded; OSError."""
        try:
            source = open_source(self.path, self.import_type, self.options)
        except RefusedError:
            # The error may be that of a damaged copy: check first that this is the file that was sent.
            self._check(sha256_of(self.path))
            raise
        self._check(source.sha256)
        return source

    def _check(self, sha256: str) -> None:
        if self.sha256 not in (None, sha256):
            raise RefusedError(
                "damaged-file",
                "Le fichier a été abîmé sur le serveur après son envoi : envoyez-le à nouveau, et "
                "prévenez l'exploitation.",
            )


_NAMED = 50
_NAME = 255


@dataclass(frozen=True)
class Beside:
    """What a file has besides its rows, as schemas/avro/import_state.avsc describes it."""

    left_out_rows: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    other_sheets: list[str] = field(default_factory=list)
    encoding_hint: str | None = None

    @classmethod
    def of(cls, source: Source) -> "Beside":
        """A state has room for so many names of so many characters."""
        return cls(
            source.left_out_rows,
            [
                {"name": part.name[:_NAME], "rows": part.rows, "message": part.message}
                for part in source.left_out[:_NAMED]
            ],
            [name[:_NAME] for name in source.other_sheets[:_NAMED]],
            source.encoding_hint,
        )


@dataclass
class Reading:
    """How far the reading of an import is; updated as it goes.

    `waiting`: publishing waits until workers have written more rows. `paused`: publishing waits
    until the import is resumed. `stopped_after` is the line after which a cancel stopped it,
    `failure` why reading stopped after rows had been published.
    """

    state: ImportState
    file_rows: int = 0
    finished: bool = False
    resumed: bool = False
    beside: Beside = field(default_factory=Beside)
    waiting: bool = False
    paused: bool = False
    last_line: int = 0
    stopped_after: int | None = None
    failure: RefusedError | None = None
    skipped_rows: int = 0
    warnings: Counter[str] = field(default_factory=Counter)

    def finish(self) -> None:
        """Kafka has everything: the state takes over what the reader knows."""
        self.finished = True
        if self.failure is None:
            self.state["total_rows"] = self.file_rows
            self.state["warnings_by_code"] = dict(self.warnings)
            self.state["skipped_rows"] = self.skipped_rows
            self.state["left_out_rows"] = self.beside.left_out_rows
            self.state["left_out"] = self.beside.left_out
            self.state["other_sheets"] = self.beside.other_sheets
            self.state["encoding_hint"] = self.beside.encoding_hint
        else:
            self.state["status"] = "ERROR"
            self.state["error"] = {"code": self.failure.code, "message": self.failure.message}

    @property
    def import_id(self) -> str:
        """A UUID in its text form."""
        import_id: str = self.state["id"]
        return import_id
