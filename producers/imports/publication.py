"""One import, from the file to "reading finished". The command line and the gateway call it.

The order is the guarantee (docs/guarantees.md):
1. The file is opened and its first rows read: a refusal here leaves no trace.
2. The import log says whether this import is known, and whether it may be gone on with.
3. Submitted is published and acknowledged.
4. The rows are published, numbered from 1 without holes.
5. When Kafka has acknowledged every one of them, ReadingFinished is published.
A run that dies anywhere is made good by doing it all again under the same id: workers drop the
rows that they have already settled. A cancel ends step 4 early.

A report of rejected lines that comes back is imported as a child of the import that it is of.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid5

from producers.imports.occurrences import Occurrences
from producers.imports.window import SMALL_FILE_BYTES, Window
from producers.kafka.broker import NotReadyError
from producers.kafka.import_log import (
    TERMINAL,
    ImportLog,
    ProgressLog,
    Reject,
    RejectLog,
    State,
    new_state,
)
from producers.kafka.publisher import MESSAGE_MAX_BYTES, Publisher
from producers.reading import (
    READER_VERSION,
    Correction,
    Options,
    RefusedError,
    Row,
    Source,
    open_source,
)
from producers.reading.source import sha256_of
from producers.settings import Settings
from schemas.codec.avro_writer import Columns
from schemas.codec.framing import NAMESPACE, DecodeError, Decoder, Encoder, load
from schemas.faults import Fault
from schemas.import_types import ImportType
from schemas.runtime import traces
from schemas.runtime.registry import SchemaUnknownError
from schemas.topics import IMPORT_EVENTS, IMPORT_LOG, Topic

_NAMESPACE = UUID("3f9f7f56-2d3c-5d0a-9a35-6d2f0c1c7b4e")
_FORCED_AT_MOST = 100
_KAFKA_SECONDS = 8.0


@dataclass(frozen=True)
class Order:
    """What an operator asks for. `policy` is one of the symbols of schemas/avro/import_line.avsc.

    `import_id` was promised to whoever uploaded the file, under the name `file_name` and with the
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

    def source(self) -> Source:
        """The file, opened. Raises RefusedError, also where it is not what was uploaded; OSError."""
        try:
            source = open_source(self.path, self.import_type, self.options)
        except RefusedError:
            # What is wrong with a damaged file is not what was wrong with the one that was sent.
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


class AlreadyImportedError(RefusedError):
    """This content was imported before in the same way; `state` is how that ended."""

    def __init__(self, state: State) -> None:
        self.state = state
        super().__init__(
            "already-imported",
            f"Ce fichier a déjà été importé le {state['created_at']:%d/%m/%Y à %H:%M} UTC "
            f"({state['status']}, import {state['id']}). Pour l'importer à nouveau, ajoutez "
            f"--force ; pour reprendre ses seules lignes en erreur : foxstream retry {state['id']}",
        )


@dataclass
class Reading:
    """How far the reading of an import is; updated as it goes.

    `waiting`: it goes on when workers have written more of what is published; `paused`: when
    somebody resumes it. `stopped_after` is the line after which a cancel stopped it, `failure` what
    broke the file off after rows of it were published.
    """

    state: State
    file_rows: int = 0
    finished: bool = False
    resumed: bool = False
    skipped_sheets: Sequence[str] = ()
    waiting: bool = False
    paused: bool = False
    last_line: int = 0
    stopped_after: int | None = None
    failure: RefusedError | None = None
    warnings: Counter[str] = field(default_factory=Counter)

    def finish(self) -> None:
        """Everything is with Kafka: the state says what its reader knows."""
        self.finished = True
        if self.failure is None:
            self.state["total_rows"] = self.file_rows
            self.state["warnings_by_code"] = dict(self.warnings)
        else:
            self.state["status"] = "ERROR"
            self.state["error"] = {"code": self.failure.code, "message": self.failure.message}

    @property
    def import_id(self) -> str:
        """A UUID in its text form."""
        import_id: str = self.state["id"]
        return import_id


class Desk:
    """The connections that imports need, opened as early as possible and used as late."""

    def __init__(self, settings: Settings, *, tick: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        # First, because librdkafka connects in the background.
        self.publisher = Publisher(settings, tick=tick)
        self.registry = settings.registry()
        self.log = ImportLog(settings, self.registry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.__exit__()
        self.registry.__exit__()

    def partition_counts(self, *topics: Topic) -> dict[str, int]:
        """As producers.kafka.broker.partition_counts."""
        return self.publisher.partition_counts([topic.name for topic in topics], _KAFKA_SECONDS)

    def traced(
        self, topic: Topic, reading: Reading
    ) -> AbstractContextManager[traces.Headers | None]:
        """As schemas.runtime.traces.publishing, where the settings name an endpoint."""
        endpoint = self._settings.otlp_endpoint
        return traces.publishing(endpoint, self._settings.topic(topic.name), reading.import_id)

    def window(self, state: State, *, small: bool) -> Window:
        """For rows of an import, before anybody hears of it."""
        progress = ProgressLog(self._settings, self.registry, state["id"])
        follows = not small or state["status"] == "PAUSED"
        if follows:
            progress.start_now(_KAFKA_SECONDS)
        return Window(progress, self.log, state, follows=follows)

    def rejects(self, state: State, patience_seconds: float) -> list[Reject]:
        """The lines of an import that were not written and that no other import has settled."""
        with RejectLog(self._settings) as log:
            return list(log.read(state, patience_seconds))

    def encoder(self, topic: Topic, record: str) -> Encoder:
        """For values of a topic.

        Raises NotReadyError where its schema is not registered, and RegistryUnavailableError.
        """
        subject = f"{self._settings.topic(topic.name)}-value"
        try:
            return Encoder(record, self.registry.schema_id(subject, load(record)))
        except SchemaUnknownError as error:
            raise NotReadyError(
                f"Le registre de schémas ne connaît pas le schéma de {subject} : lancez "
                "« foxstream-worker schemas »."
            ) from error


def import_ids(source: Source, policy: str) -> list[str]:
    """The ids that an import of this file can have: the first, and those of forced repeats.

    They follow from what the options come to, not from how they are given: a file that is read
    the same way is the same import.
    """
    mapping = sorted(source.mapping.items())
    told = [source.import_type.name, source.sha256, source.encoding, source.delimiter, source.sheet]
    return [
        str(uuid5(_NAMESPACE, json.dumps([*told, mapping, policy, number])))
        for number in range(_FORCED_AT_MOST)
    ]


def upload_ids(
    import_type: ImportType, sha256: str, options: Options, policy: str
) -> Iterator[str]:
    """As `import_ids`, before anything is known of a file but its bytes.

    These follow from what the options say.
    """
    told = [import_type.name, sha256, options.encoding, options.delimiter, options.sheet]
    columns = sorted(options.columns.items())
    for number in range(_FORCED_AT_MOST):
        yield str(uuid5(_NAMESPACE, json.dumps(["upload", *told, columns, policy, number])))


def earlier(states: dict[str, State], ids: list[str]) -> State | None:
    """The latest import of these ids, None if there is none."""
    return next((states[import_id] for import_id in reversed(ids) if import_id in states), None)


def known_import(
    states: dict[str, State], ids: list[str], source: Source, policy: str
) -> State | None:
    """The latest import of this file in this way: of `ids`, or uploaded to a gateway.

    There, a file that failed as a whole may come again.
    """
    told = {**_way(source), "policy": policy}
    found = [
        state
        for state in states.values()
        if state["id"] in ids
        or (
            (state["file_sha256"], state["import_type"], state["parent"])
            == (source.sha256, source.import_type.name, _corrected(source))
            and state["error"] is None
            and all(state["options"].get(name) == value for name, value in told.items())
        )
    ]
    return max(found, key=lambda state: state["created_at"], default=None)


def _corrected(source: Source) -> str | None:
    return source.corrects if isinstance(source, Correction) else None


def _way(source: Source) -> dict[str, str]:
    """How a file is read, among the options of its import."""
    return {
        "encoding": source.encoding or "",
        "delimiter": source.delimiter or "",
        "sheet": source.sheet or "",
        "columns": json.dumps(source.mapping, ensure_ascii=False),
    }


def read_file(order: Order, desk: Desk, watch: Callable[[Reading], None]) -> Reading:
    """Publishes a file, or finds that this is done already.

    `watch` is called when the import is known, and after every 1,000 rows at most. Raises
    RefusedError, with nothing published; OSError, ClusterError and RegistryUnavailableError, after
    which the same call goes on.
    """
    before = order.path.stat()
    source = order.source()
    chunks = source.chunks()
    first: list[Row] = next(chunks, [])

    outlet = Outlet(desk, order.import_type)
    desk.log.start(timeout_seconds=_KAFKA_SECONDS)
    ids = [order.import_id] if order.import_id else import_ids(source, order.policy)
    corrects = _corrected(source)
    states = desk.log.read({*ids, corrects or ""}, file_sha256=source.sha256)
    options = pinned(source, order, outlet.partitions)
    submission = _submission(order, source, options, corrects)
    if corrects:
        _check_parent(states.get(corrects), corrects, order.import_type)
    known = (
        earlier(states, ids) if order.import_id else known_import(states, ids, source, order.policy)
    )
    reading = begin(known, states, ids, submission, force=order.force)
    reading.skipped_sheets = source.skipped_sheets
    watch(reading)
    if reading.finished:
        return reading
    rows: Iterable[list[Row]] = chain([first], chunks)
    if corrects:
        rows = _still_broken(rows, desk.rejects(states[corrects], 0.0), outlet.decoder)
    small = before.st_size <= SMALL_FILE_BYTES
    outlet.publish(
        reading, _unchanged(order.path, before, rows), order.policy, small=small, watch=watch
    )
    return reading


def publish_refusal(order: Order, desk: Desk, sha256: str, refusal: RefusedError) -> None:
    """Ends an import whose id was promised and whose file cannot be read, or not to its end.

    Raises as `read_file`.
    """
    desk.partition_counts(IMPORT_EVENTS)
    events = Events(desk)
    state = new_state(
        id=order.import_id,
        import_type=order.import_type.name,
        file_name=order.file_name,
        file_sha256=sha256,
        uploaded_by=order.uploaded_by,
        generate_ai_content=order.generate_ai_content,
        header=[],
        options={"policy": order.policy},
    )
    events.submitted(state)
    events.finished(Reading(state, failure=refusal))
    desk.publisher.flush()


def begin(
    known: State | None,
    states: dict[str, State],
    ids: list[str],
    submission: State,
    *,
    force: bool,
) -> Reading:
    """What is to be read, `known` being the latest import of the same. Raises RefusedError."""
    if known is None:
        return Reading({**submission, "id": ids[0]})
    if known["status"] in TERMINAL:
        if not force:
            raise AlreadyImportedError(known)
        last = earlier(states, ids)
        number = 0 if last is None else ids.index(last["id"]) + 1
        if number == len(ids):
            raise RefusedError(
                "already-imported", f"Ce fichier a déjà été importé {number} fois avec --force."
            )
        return Reading({**submission, "id": ids[number]})
    if known["total_rows"] is not None or known["id"] not in ids:  # a gateway reads its own
        return Reading(known, known["total_rows"] or 0, finished=True, resumed=True)
    if known["waiting_for"] == "cancel":
        raise RefusedError(
            "being-cancelled",
            f"L'import {known['id']} de ce fichier est en cours d'annulation : attendez un "
            f"instant (foxstream status {known['id']}), puis recommencez.",
        )
    options = submission["options"]
    differing = [name for name in _PINNED if options.get(name) != known["options"].get(name)]
    if differing:
        raise RefusedError(
            "changed-since",
            f"L'import {known['id']} de ce fichier a été interrompu et ne peut pas reprendre : "
            f"{', '.join(_PINNED[name] for name in differing)} ne sont plus les mêmes. "
            f"Annulez-le (foxstream cancel {known['id']}), puis importez avec --force.",
        )
    return Reading(known, resumed=True)


def _check_parent(parent: State | None, corrects: str, import_type: ImportType) -> None:
    if parent is None:
        raise RefusedError(
            "unknown-import",
            f"Ce fichier corrige l'import {corrects}, que le journal des imports ne connaît pas : "
            "reprenez le fichier que « foxstream errors » a écrit.",
        )
    if parent["import_type"] != import_type.name:
        raise RefusedError(
            "wrong-type",
            f"Ce fichier corrige un import {parent['import_type']} : choisissez ce type.",
        )
    if parent["status"] not in TERMINAL:
        raise RefusedError(
            "unfinished-import",
            f"L'import {corrects} que ce fichier corrige n'est pas terminé : attendez sa fin "
            f"(foxstream status {corrects}).",
        )


# Faults of the line itself, which the cells of a report do not show any more.
_OF_THE_LINE = frozenset({"missing-cell", "extra-cell", "unbalanced-quote", "cell-too-large"})


def _still_broken(
    chunks: Iterable[list[Row]], rejects: Iterable[Reject], decoder: Decoder
) -> Iterator[list[Row]]:
    """The rows of a correction: a line that could not be split and is as it was, still cannot."""
    broken = {
        (reject.line, reject.sheet): reject
        for reject in rejects
        if any(error["code"] in _OF_THE_LINE for error in reject.errors)
    }
    for rows in chunks:
        for row in rows:
            reject = row.origin and broken.get((row.origin.line, row.origin.sheet))
            if reject and _bare(row.cells) == _bare(cells_of(reject, decoder)):
                row.faults = [
                    Fault(error["column"], str(error["code"]), str(error["message"]))
                    for error in reject.errors
                ]
        yield rows


def cells_of(reject: Reject, decoder: Decoder) -> list[str] | None:
    """The cells as its reader found them; None where that found no fault."""
    try:
        tie = decoder.decode(reject.value)["import"]
    except DecodeError:
        return None
    cells: list[str] | None = tie and tie["cells"]
    return cells


def _bare(cells: list[str] | None) -> list[str] | None:
    cells = cells and list(cells)
    while cells and not cells[-1].strip():
        cells.pop()
    return cells


# What must be the same when a file is read again, so that every row gets the number and the
# partition that it had.
_PINNED = {
    "reader": "la version du lecteur",
    "partitions": "le nombre de partitions",
    "encoding": "l'encodage",
    "delimiter": "le séparateur",
    "sheet": "la feuille",
    "columns": "les colonnes",
    "policy": "la règle d'écriture",
}


def pinned(source: Source, order: Order, partitions: int) -> dict[str, str]:
    """The options of an import: what must be the same, then what finds and reads its file again."""
    told = order.options
    return {
        "reader": READER_VERSION,
        "partitions": str(partitions),
        **_way(source),
        "policy": order.policy,
        "path": os.fsencode(order.path.resolve()).decode(errors="replace"),
        "told": json.dumps({**vars(told), "columns": dict(told.columns)}, ensure_ascii=False),
    }


def _submission(order: Order, source: Source, options: dict[str, str], parent: str | None) -> State:
    return new_state(
        parent=parent,
        import_type=order.import_type.name,
        file_name=order.file_name or source.file_name,
        file_sha256=source.sha256,
        uploaded_by=order.uploaded_by,
        generate_ai_content=order.generate_ai_content,
        header=source.header,
        options=options,
        created_at=datetime.now(UTC),
    )


def _unchanged(path: Path, before: Any, chunks: Iterable[list[Row]]) -> Iterator[list[Row]]:
    """The chunks. Raises RefusedError at their end where the file has been written to meanwhile."""
    yield from chunks
    after = path.stat()
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise RefusedError(
            "file-changed",
            "Le fichier a été modifié pendant sa lecture : attendez qu'il soit complet, puis "
            "importez-le à nouveau.",
        )


class Outlet:
    """Where the rows of an import type go. Raises NotReadyError, RegistryUnavailableError."""

    def __init__(self, desk: Desk, import_type: ImportType) -> None:
        self._desk = desk
        self._topic = import_type.topic
        self._routing = import_type.routing
        counts = desk.partition_counts(self._topic, IMPORT_EVENTS, IMPORT_LOG)
        self.partitions = counts[self._topic.name]
        self.decoder = Decoder(str(self._topic.record), desk.registry)
        self._encoder = desk.encoder(self._topic, str(self._topic.record))
        self._events = Events(desk)

    def publish(
        self,
        reading: Reading,
        chunks: Iterable[list[Row]],
        policy: str,
        *,
        small: bool,
        watch: Callable[[Reading], None],
    ) -> None:
        """Publishes all that there is to an import, from Submitted to ReadingFinished.

        `small`: it takes a moment, and nobody waits for it. Raises OSError and ClusterError.
        """
        publisher = self._desk.publisher
        encode = _RowEncoder(self._encoder, reading, policy, self._routing)
        with (
            self._desk.traced(self._topic, reading) as publisher.headers,
            self._desk.window(reading.state, small=small) as window,
        ):
            self._events.submitted(reading.state)
            publisher.flush()
            chunks = iter(chunks)
            try:
                for chunk in chunks:
                    publisher.publish(self._topic.name, encode(chunk))
                    watch(reading)
                    self._wait(window, reading, watch)
                    if window.cancelled and next(chunks, None) is not None:
                        reading.stopped_after = reading.last_line
                        break
            except RefusedError as refusal:
                reading.failure = refusal
        publisher.flush()
        self._events.finished(reading)
        publisher.flush()
        reading.finish()

    def _wait(self, window: Window, reading: Reading, watch: Callable[[Reading], None]) -> None:
        for _ in window.full(reading.file_rows):
            reading.waiting, reading.paused = True, window.paused
            self._desk.publisher.serve()
            watch(reading)
        reading.waiting = reading.paused = False


class _RowEncoder:
    """Rows to (key, value), numbered on and on."""

    def __init__(
        self, encoder: Encoder, reading: Reading, policy: str, routing: Callable[[str], str]
    ) -> None:
        self._encoder = encoder
        self._reading = reading
        self._routing = routing
        self._occurrences = Occurrences()
        self._policy = policy

    def __call__(self, rows: Sequence[Row]) -> Iterator[tuple[str, bytes]]:
        reading = self._reading
        if not rows:
            return
        for row in rows:
            if row.warnings:
                reading.warnings.update(row.warnings)
        lines = self._lines(rows)
        records = [row.record for row in rows]
        fields = {name: [record[name] for record in records] for name in records[0]}
        nothing = [None] * len(rows)
        columns = Columns({**fields, "observed_at": nothing, "import": lines})
        values = self._encoder.encode_all(columns)
        for at, (row, value) in enumerate(zip(rows, values, strict=True)):
            key = self._routing(row.key) if row.key else reading.import_id
            if len(value) + 4 * len(key) > MESSAGE_MAX_BYTES:
                line = {name: column[at] for name, column in lines.items()}
                yield reading.import_id, self._oversized(row.record, line)
            else:
                yield key, value
            # Only what was taken counts: a resumed or failed reading goes by this number.
            reading.file_rows += 1
            reading.last_line = row.line

    def _lines(self, rows: Sequence[Row]) -> Columns:
        import_id, first = self._reading.import_id, self._reading.file_rows + 1
        occurrence = self._occurrences.count
        return Columns(
            id=[import_id] * len(rows),
            number=range(first, first + len(rows)),
            line=[row.line for row in rows],
            sheet=[row.sheet for row in rows],
            occurrence=[0 if row.faults else occurrence(row.key or import_id) for row in rows],
            policy=[self._policy] * len(rows),
            cells=[row.cells if row.faults else None for row in rows],
            faults=[[fault._asdict() for fault in row.faults] for row in rows],
            settles=[row.origin and row.origin._asdict() for row in rows],
        )

    def _oversized(self, record: Mapping[str, Any], line: Mapping[str, Any]) -> bytes:
        message = (
            f"La ligne dépasse les {MESSAGE_MAX_BYTES // 1000} Ko qu'un message peut porter : "
            "raccourcissez ses valeurs."
        )
        fault = Fault(None, "too-long", message)
        line = {**line, "occurrence": 0, "cells": None, "faults": [fault._asdict()]}
        return self._encoder.encode({**dict.fromkeys(record), "import": line})


class Events:
    """What happens to imports, to their topic. Raises as Desk.encoder."""

    def __init__(self, desk: Desk) -> None:
        self._publisher = desk.publisher
        self._encoder = desk.encoder(IMPORT_EVENTS, "import_event")

    def submitted(self, state: State) -> None:
        """A file was accepted."""
        names = (
            "import_type",
            "file_name",
            "file_sha256",
            "uploaded_by",
            "generate_ai_content",
            "header",
            "options",
            "parent",
        )
        self._send(state["id"], "Submitted", {name: state[name] for name in names})

    def finished(self, reading: Reading) -> None:
        """Its rows are with Kafka, all that there will be."""
        if failure := reading.failure:
            why = {"code": failure.code, "message": failure.message}
            self._send(reading.import_id, "ReadingFailed", why)
        else:
            totals = {
                "total_rows": reading.file_rows,
                "warnings_by_code": dict(reading.warnings),
                "stopped_after": reading.stopped_after,
            }
            self._send(reading.import_id, "ReadingFinished", totals)

    def asked(self, import_id: str, what: str, by: str | None) -> None:
        """Somebody asks for "Cancel", "Pause" or "Resume"."""
        self._send(import_id, what, {"by": by})

    def _send(self, import_id: str, name: str, event: dict[str, Any]) -> None:
        record = {
            "import_id": import_id,
            "at": datetime.now(UTC),
            "event": (f"{NAMESPACE}.{name}", event),
        }
        self._publisher.publish(IMPORT_EVENTS.name, [(import_id, self._encoder.encode(record))])
