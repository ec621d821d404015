"""What is left of an import: its rejected and cancelled lines, and those that were never published.

A retry is a child import with these lines. Cells are read again by the rules of today; if only a
worker or PostgreSQL refused a row, it is published as it was. Which lines were never published
follows from the number of each: if a cancel stopped the reader, all beyond the rows that it
published; if the reader died, per partition all beyond the last row that came.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from confluent_kafka import murmur2

from producers.imports.connections import Connections
from producers.imports.identity import earlier, pinned
from producers.imports.order import Order, Reading
from producers.imports.publication import RowPublisher
from producers.imports.start import begin
from producers.kafka.import_state import new_state
from producers.kafka.reject_log import Reject
from producers.reading import FileRow, Options, RefusedError, Source, open_source
from producers.reading.header.columns import Header
from producers.reading.header.stored_header import header_of
from producers.reading.row.row import rows_of
from producers.reading.table import CHUNK, Block
from producers.settings import settings
from schemas.codec.framing import DecodeError, Decoder, Record
from schemas.import_types import IMPORT_TYPES, ImportType
from schemas.outcomes import TERMINAL
from schemas.records import ImportState
from schemas.rejected_line import RejectedLine

_NAMESPACE = UUID("5d0c1c3e-7b56-5f0e-a0a6-0e6c5c1c9d11")
_ATTEMPTS = 100
_PATIENCE_SECONDS = 5.0

Notify = Callable[[str], None]


def publish_rest(
    import_id: str,
    file: Path | None,
    connections: Connections,
    watch: Callable[[Reading], None],
    notify: Notify,
    uploaded_by: str | None = None,
) -> Reading:
    """Publishes what is left of an import as its child, of `uploaded_by`; `notify` takes what cannot be had again.

    Raises RefusedError if there is nothing to retry, and as producers.imports.publication.publish_file.
    """
    connections.log.start()
    states = connections.log.read()
    parent = _retriable(states.get(import_id), import_id)
    import_type = IMPORT_TYPES[parent["import_type"]]
    row_publisher = RowPublisher(connections, import_type)

    rejects = _readable(parent, connections.rejects(parent, _PATIENCE_SECONDS), notify)
    rest = Rest.of(parent, file)
    if rest.trouble:
        notify(rest.trouble)
    if not rejects and rest.source is None:
        raise RefusedError("nothing-to-retry", _nothing(parent))
    ids = _ids(parent, rejects, rest)
    reading = begin(
        earlier(states, ids),
        states,
        ids,
        _submission(parent, row_publisher.partitions, uploaded_by),
        force=True,
    )
    watch(reading)
    if not reading.finished:
        chunks = chain(
            _rejected_chunks(parent, import_type, rejects, row_publisher.decoder), rest.chunks()
        )
        small = rest.source is None and len(rejects) <= CHUNK
        row_publisher.publish(
            reading, chunks, parent["options"].get("policy", "merge"), small=small, watch=watch
        )
    return reading


def _retriable(parent: ImportState | None, import_id: str) -> ImportState:
    if parent is None:
        raise RefusedError(
            "unknown-import", f"Aucun import n'a l'identifiant {import_id} : rien à reprendre."
        )
    if parent["status"] not in TERMINAL:
        advice = (
            "reprenez-le (foxstream resume) ou annulez-le (foxstream cancel)"
            if parent["status"] == "PAUSED"
            else "attendez sa fin, ou annulez-le (foxstream cancel)"
        )
        raise RefusedError(
            "unfinished-import",
            f"L'import {import_id} n'est pas terminé ({parent['status']}) : {advice}.",
        )
    if parent["status"] == "SUCCESS":
        raise RefusedError("nothing-to-retry", _nothing(parent))
    return parent


def _nothing(parent: ImportState) -> str:
    if parent["parked"]:
        return (
            f"Rien à reprendre dans l'import {parent['id']} : ses lignes restantes attendent leur "
            "ligne parente, et seront écrites quand elle arrivera."
        )
    if parent["left_out_rows"]:
        return (
            f"Rien à reprendre dans l'import {parent['id']} : ses {parent['left_out_rows']} lignes "
            "non lues sont dans des feuilles ou fichiers à corriger, puis à importer à nouveau."
        )
    return f"Rien à reprendre dans l'import {parent['id']} : aucune ligne n'y reste à écrire."


def _readable(parent: ImportState, rejects: list[Reject], notify: Notify) -> list[Reject]:
    late = parent["rejected"] + parent["cancelled"] - len(rejects)
    if late > 0:
        notify(
            f"{late} lignes à reprendre ne sont pas, ou plus, publiées : elles restent de côté. "
            "Recommencez dans un instant."
        )
    readable = [
        reject for reject in rejects if reject.value is not None and reject.line is not None
    ]
    if len(readable) < len(rejects):
        notify(f"{len(rejects) - len(readable)} lignes sont trop grandes pour être reprises.")
    return sorted(readable, key=lambda reject: (reject.sheet or "", reject.line or 0))


def _ids(parent: ImportState, rejects: list[Reject], rest: "Rest") -> list[str]:
    """Ids of the attempts to retry just these lines: two at once are the same import."""
    places = [(reject.sheet, reject.line) for reject in rejects]
    what = json.dumps([parent["id"], places, rest.source is not None])
    return [str(uuid5(_NAMESPACE, f"{what}{number}")) for number in range(_ATTEMPTS)]


def _submission(parent: ImportState, partitions: int, uploaded_by: str | None) -> ImportState:
    return new_state(
        import_type=parent["import_type"],
        file_name=parent["file_name"],
        file_sha256=parent["file_sha256"],
        generate_ai_content=parent["generate_ai_content"],
        header=parent["header"],
        options={
            **parent["options"],
            "partitions": str(partitions),
            "topic": IMPORT_TYPES[parent["import_type"]].file_topic.name,
        },
        parent=parent["id"],
        uploaded_by=uploaded_by,
        created_at=datetime.now(UTC),
    )


# --- lines that were published


def _rejected_chunks(
    parent: ImportState, import_type: ImportType, rejects: list[Reject], decoder: Decoder
) -> Iterator[list[FileRow]]:
    header = header_of(parent, import_type)
    remaining = iter(rejects)
    while some := list(islice(remaining, CHUNK)):
        yield list(_rows(parent["id"], import_type, header, some, decoder))


def _rows(
    parent: str, import_type: ImportType, header: Header, rejects: list[Reject], decoder: Decoder
) -> Iterator[FileRow]:
    records = [_decoded(reject, decoder) for reject in rejects]
    read = [at for at, record in enumerate(records) if record["import"]["cells"] is not None]
    block = Block(
        read,
        [list(records[at]["import"]["cells"]) for at in read],
        numeric=_restored(header, [records[at] for at in read]),
    )
    fresh = {
        row.line: row
        for row in (
            rows_of(import_type, header, block, range(len(read)), settings().import_luhn)
            if read
            else ()
        )
    }
    for at, (reject, record) in enumerate(zip(rejects, records, strict=True)):
        row = fresh.get(at) or _as_it_was(import_type, record)
        row.line, row.sheet = reject.line or 0, reject.sheet
        row.resolves = RejectedLine(parent, row.line, row.sheet)
        yield row


def _decoded(reject: Reject, decoder: Decoder) -> Record:
    record = decoder.decode(reject.value)
    if record["import"] is None:
        raise DecodeError("undecodable", "a line of an import that names no import")
    return record


def _as_it_was(import_type: ImportType, record: Record) -> FileRow:
    fields = {field.name: record[field.name] for field in import_type.fields}
    return FileRow(0, None, [], fields, import_type.key_of(fields), [], [])


def _restored(header: Header, records: list[Record]) -> Mapping[int, list[int]]:
    """Cells of which the reader knew that they were numbers without their leading zeros."""
    restored: dict[int, list[int]] = {}
    for field, sources in header.sources.items():
        column = sources[0][0]
        for at, record in enumerate(records):
            value, cells = record[field], record["import"]["cells"]
            if isinstance(value, str) and column < len(cells):
                cell = cells[column].strip()
                if cell != value and cell.isdigit() and cell.zfill(len(value)) == value:
                    restored.setdefault(column, []).append(at)
    return restored


# --- lines that were not


@dataclass
class Rest:
    """The lines of an import's file that were never published.

    `source` is the file, None if there are no such lines or it is not available; `trouble` is then the reason.
    """

    state: ImportState
    source: Source | None = None
    trouble: str | None = None

    @classmethod
    def of(cls, state: ImportState, file: Path | None = None) -> "Rest":
        """Of the file that the import was read from, or another copy of it."""
        if not _is_unread(state):
            return cls(state)
        path = file or Path(state["options"].get("path") or state["file_name"])
        try:
            source = _same(state, path)
        except (OSError, RefusedError) as error:
            why = error.message if isinstance(error, RefusedError) else "il ne peut pas être lu"
            return cls(
                state,
                trouble=f"{_left_out(state)} : {path}, {why}. Indiquez le fichier "
                "d'origine avec --file.",
            )
        return cls(state, source)

    def chunks(self) -> Iterator[list[FileRow]]:
        """Their rows, in order."""
        number = 0
        for rows in self.source.chunks() if self.source else ():
            numbered = list(enumerate(rows, start=number + 1))
            number += len(rows)
            unread = [row for at, row in numbered if at > self._published(row)]
            if unread:
                yield unread

    def _published(self, row: FileRow) -> int:
        """The highest row number that was published to the partition of this row."""
        marks: Mapping[str, int] = self.state["watermarks"]
        if self.state["stopped_after"] is not None:
            return self.state["total_rows"] or 0
        routing = IMPORT_TYPES[self.state["import_type"]].routing
        key = routing(row.key) if row.key else self.state["id"]
        partition = murmur2(key.encode(), int(self.state["options"]["partitions"]))
        return marks.get(str(partition), 0)


def _is_unread(state: ImportState) -> bool:
    if state["status"] not in TERMINAL:
        return False
    return (
        state["stopped_after"] is not None or bool(state["watermarks"]) or not state["total_rows"]
    )


def _left_out(state: ImportState) -> str:
    if state["stopped_after"] is not None:
        return f"Les lignes après la ligne {state['stopped_after']} sont laissées de côté"
    return "Les lignes qui n'avaient pas été lues sont laissées de côté"


def _same(state: ImportState, path: Path) -> Source:
    """The file, if it is read as it was. Raises RefusedError, OSError."""
    import_type = IMPORT_TYPES[state["import_type"]]
    requested: dict[str, Any] = json.loads(state["options"].get("told") or "{}")
    options = Options(**requested)
    source = open_source(path, import_type, options)
    if source.sha256 != state["file_sha256"]:
        raise RefusedError("file-changed", "son contenu n'est plus le même")
    now = pinned(source, Order(path, import_type, options), 0)
    if any(now[name] != state["options"].get(name) for name in _READ_ALIKE):
        raise RefusedError("changed-since", "il ne se lit plus de la même façon")
    return source


_READ_ALIKE = ("reader", "encoding", "delimiter", "sheet", "columns")


def unread_rows(rest: Rest) -> Iterable[FileRow]:
    """Row by row."""
    return chain.from_iterable(rest.chunks())
