"""One import, from the file to "reading finished". The command line and the gateway call it.

The order is the guarantee (docs/guarantees.md):
1. The file is opened and its first rows read: a refusal here leaves no trace.
2. The import log says whether this import is known, and whether it may be gone on with.
3. Submitted is published and acknowledged.
4. The rows are published, numbered from 1 without holes.
5. When Kafka has acknowledged every one of them, ReadingFinished is published.
A run that dies anywhere is made good by doing it all again under the same id: workers drop the
rows that they have already settled.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid5

from producers.cluster import NotReadyError
from producers.occurrences import Occurrences
from producers.publisher import MESSAGE_MAX_BYTES, Publisher
from producers.reading import READER_VERSION, Options, RefusedError, Row, Source, open_source
from producers.settings import Settings
from producers.states import TERMINAL, ImportLog, ProgressLog, State, new_state
from producers.window import SMALL_FILE_BYTES, Window
from schemas.codec import Encoder, load
from schemas.faults import Fault
from schemas.import_types import ImportType
from schemas.registry import Registry, SchemaUnknownError
from schemas.topics import IMPORT_EVENTS, IMPORT_LOG, Topic

_NAMESPACE = UUID("3f9f7f56-2d3c-5d0a-9a35-6d2f0c1c7b4e")
_FORCED_AT_MOST = 100
_KAFKA_SECONDS = 8.0


@dataclass(frozen=True)
class Order:
    """What an operator asks for. `policy` is one of the symbols of schemas/avro/import_line.avsc."""

    path: Path
    import_type: ImportType
    options: Options
    policy: str = "merge"
    generate_ai_content: bool = False
    force: bool = False
    uploaded_by: str | None = None


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

    `waiting`: it goes on when workers have written more of what is published. `failure` is what
    broke the file off after rows of it were published.
    """

    state: State
    file_rows: int = 0
    finished: bool = False
    resumed: bool = False
    waiting: bool = False
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
        self.registry = Registry(settings.schema_registry_url)
        self.log = ImportLog(settings, self.registry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.__exit__()
        self.registry.__exit__()

    def partition_counts(self, *topics: Topic) -> dict[str, int]:
        """As producers.cluster.partition_counts."""
        return self.publisher.partition_counts([topic.name for topic in topics], _KAFKA_SECONDS)

    def window(self, state: State, file_bytes: int) -> Window:
        """For rows of an import, before the first of them is published."""
        progress = ProgressLog(self._settings, self.registry, state["id"])
        window = Window(progress, self.log, state["id"])
        if file_bytes > SMALL_FILE_BYTES:
            progress.start_now(_KAFKA_SECONDS)
        return window

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


def earlier(states: dict[str, State], ids: list[str]) -> State | None:
    """The latest import of this file, None if there is none."""
    return next((states[import_id] for import_id in reversed(ids) if import_id in states), None)


def read_file(order: Order, desk: Desk, watch: Callable[[Reading], None]) -> Reading:
    """Publishes a file, or finds that this is done already.

    `watch` is called when the import is known, and after every 1,000 rows at most. Raises RefusedError, with nothing published;
    OSError, ClusterError and RegistryUnavailableError, after which the same call goes on.
    """
    before = order.path.stat()
    source = open_source(order.path, order.import_type, order.options)
    chunks = source.chunks()
    first: list[Row] = next(chunks, [])

    rows_topic = order.import_type.topic
    counts = desk.partition_counts(rows_topic, IMPORT_EVENTS, IMPORT_LOG)
    row_encoder = desk.encoder(rows_topic, str(rows_topic.record))
    events = _Events(desk.publisher, desk.encoder(IMPORT_EVENTS, "import_event"))
    desk.log.start(timeout_seconds=_KAFKA_SECONDS)
    ids = import_ids(source, order.policy)
    options = _pinned(source, order.policy, counts[rows_topic.name])
    reading = _begin(earlier(desk.log.read(set(ids)), ids), ids, order, source, options)
    watch(reading)
    if reading.finished:
        return reading

    events.submitted(reading.state)
    desk.publisher.flush()
    encode = _RowEncoder(row_encoder, reading, order)
    with desk.window(reading.state, before.st_size) as window:
        try:
            for chunk in chain([first], chunks):
                desk.publisher.publish(rows_topic.name, encode(chunk))
                watch(reading)
                for _ in window.full(reading.file_rows):
                    reading.waiting = True
                    desk.publisher.serve()
                    watch(reading)
                reading.waiting = False
            _check_unchanged(order.path, before)
        except RefusedError as refusal:
            reading.failure = refusal
    desk.publisher.flush()
    events.finished(reading)
    desk.publisher.flush()
    reading.finish()
    return reading


def _begin(
    known: State | None, ids: list[str], order: Order, source: Source, options: dict[str, str]
) -> Reading:
    if known is None:
        return Reading(_submission(ids[0], order, source, options))
    if known["status"] in TERMINAL:
        if not order.force:
            raise AlreadyImportedError(known)
        number = ids.index(known["id"]) + 1
        if number == len(ids):
            raise RefusedError(
                "already-imported", f"Ce fichier a déjà été importé {number} fois avec --force."
            )
        return Reading(_submission(ids[number], order, source, options))
    if known["total_rows"] is not None:
        return Reading(known, known["total_rows"], finished=True, resumed=True)
    differing = [name for name in options if options[name] != known["options"].get(name)]
    if differing:
        raise RefusedError(
            "changed-since",
            f"L'import {known['id']} de ce fichier a été interrompu et ne peut pas reprendre : "
            f"{', '.join(_PINNED[name] for name in differing)} ne sont plus les mêmes. "
            f"Annulez-le (foxstream cancel {known['id']}), puis importez avec --force.",
        )
    return Reading(known, resumed=True)


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


def _pinned(source: Source, policy: str, partitions: int) -> dict[str, str]:
    return {
        "reader": READER_VERSION,
        "partitions": str(partitions),
        "encoding": source.encoding or "",
        "delimiter": source.delimiter or "",
        "sheet": source.sheet or "",
        "columns": json.dumps(source.mapping, ensure_ascii=False),
        "policy": policy,
    }


def _submission(import_id: str, order: Order, source: Source, options: dict[str, str]) -> State:
    return new_state(
        id=import_id,
        import_type=order.import_type.name,
        file_name=source.file_name,
        file_sha256=source.sha256,
        uploaded_by=order.uploaded_by,
        generate_ai_content=order.generate_ai_content,
        header=source.header,
        options=options,
        created_at=datetime.now(UTC),
    )


def _check_unchanged(path: Path, before: Any) -> None:
    after = path.stat()
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise RefusedError(
            "file-changed",
            "Le fichier a été modifié pendant sa lecture : attendez qu'il soit complet, puis "
            "importez-le à nouveau.",
        )


class _RowEncoder:
    """Rows to (key, value), numbered on and on."""

    def __init__(self, encoder: Encoder, reading: Reading, order: Order) -> None:
        self._encoder = encoder
        self._reading = reading
        self._routing = order.import_type.routing
        self._occurrences = Occurrences()
        self._import: dict[str, Any] = {"id": reading.import_id, "policy": order.policy}

    def __call__(self, rows: Sequence[Row]) -> Iterator[tuple[str, bytes]]:
        reading = self._reading
        for number, row in enumerate(rows, start=reading.file_rows + 1):
            row.record["observed_at"] = None
            row.record["import"] = self._line(number, row)
            if row.warnings:
                reading.warnings.update(row.warnings)
        values = self._encoder.encode_all([row.record for row in rows])
        for row, value in zip(rows, values, strict=True):
            key = self._routing(row.key) if row.key else reading.import_id
            if len(value) + 4 * len(key) > MESSAGE_MAX_BYTES:
                yield reading.import_id, self._oversized(row.record)
            else:
                yield key, value
            # Only what was taken counts: a resumed or failed reading goes by this number.
            reading.file_rows += 1

    def _line(self, number: int, row: Row) -> dict[str, Any]:
        line = {**self._import, "number": number, "line": row.line, "sheet": row.sheet}
        if row.faults:
            faults = [fault._asdict() for fault in row.faults]
            return {**line, "occurrence": 0, "cells": row.cells, "faults": faults}
        occurrence = self._occurrences.count(row.key or self._reading.import_id)
        return {**line, "occurrence": occurrence, "cells": None, "faults": ()}

    def _oversized(self, record: dict[str, Any]) -> bytes:
        message = (
            f"La ligne dépasse les {MESSAGE_MAX_BYTES // 1000} Ko qu'un message peut porter : "
            "raccourcissez ses valeurs."
        )
        fault = Fault(None, "too-long", message)
        line = {**record["import"], "occurrence": 0, "cells": None, "faults": [fault._asdict()]}
        return self._encoder.encode({**dict.fromkeys(record), "import": line})


class _Events:
    def __init__(self, publisher: Publisher, encoder: Encoder) -> None:
        self._publisher = publisher
        self._encoder = encoder

    def submitted(self, state: State) -> None:
        names = (
            "import_type",
            "file_name",
            "file_sha256",
            "uploaded_by",
            "generate_ai_content",
            "header",
            "options",
        )
        self._send(state["id"], "Submitted", {name: state[name] for name in names})

    def finished(self, reading: Reading) -> None:
        if failure := reading.failure:
            why = {"code": failure.code, "message": failure.message}
            self._send(reading.import_id, "ReadingFailed", why)
        else:
            totals = {"total_rows": reading.file_rows, "warnings_by_code": dict(reading.warnings)}
            self._send(reading.import_id, "ReadingFinished", totals)

    def _send(self, import_id: str, name: str, event: dict[str, Any]) -> None:
        record = {
            "import_id": import_id,
            "at": datetime.now(UTC),
            "event": (f"fr.foxreviews.foxstream.{name}", event),
        }
        self._publisher.publish(IMPORT_EVENTS.name, [(import_id, self._encoder.encode(record))])
