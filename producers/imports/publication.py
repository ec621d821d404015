"""One import, from the file to "reading finished". The command line and the gateway call it.

The order is the guarantee (docs/guarantees.md):
1. The file is opened and its first rows read: a refusal here leaves no trace.
2. The import log shows whether this import is known, and whether it may continue.
3. Submitted is published and acknowledged.
4. The rows are published, numbered from 1 without holes.
5. When Kafka has acknowledged every one of them, ReadingFinished is published.
A run that dies anywhere is repeated as a whole under the same id: workers drop the
rows that already have an outcome. A cancel ends step 4 early.

An error report that is sent back is imported as a child of the import that it reports on.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from producers.imports.connections import Connections
from producers.imports.events import Events
from producers.imports.identity import (
    as_understood,
    earlier,
    import_ids,
    known_import,
    parent_of,
    pinned,
)
from producers.imports.occurrences import Occurrences
from producers.imports.order import Beside, Order, Reading
from producers.imports.preview import blank_cells
from producers.imports.start import (
    OverwriteUnconfirmedError,
    begin,
    check_parent,
    submission_of,
)
from producers.imports.unsplit_lines import still_broken
from producers.imports.window import SMALL_FILE_BYTES, Window
from producers.kafka.broker import ClusterError
from producers.kafka.import_state import new_state
from producers.kafka.publisher import MESSAGE_MAX_BYTES
from producers.mappings.choice import chosen_mapping
from producers.reading import FileRow, RefusedError, Source
from schemas.codec.avro_writer import Columns
from schemas.codec.framing import Decoder, Encoder
from schemas.faults import Fault
from schemas.import_types import IMPORT_TYPES, ImportType
from schemas.records import ImportState
from schemas.runtime.registry import RegistryUnavailableError
from schemas.topics import IMPORT_EVENTS, IMPORT_LOG

_LOGGER = logging.getLogger(__name__)


def publish_file(
    order: Order, connections: Connections, watch: Callable[[Reading], None]
) -> Reading:
    """Publishes a file, or finds that it is published already.

    `watch` is called when the import is known, and after every 1,000 rows at most. Raises
    RefusedError, with nothing published; OSError, ClusterError and RegistryUnavailableError, after
    which the same call goes on.
    """
    before = order.path.stat()
    source = order.source()
    corrects = parent_of(source)
    rows = None if corrects else _begun(source)

    connections.ask()
    row_publisher = RowPublisher(connections, order.import_type)
    connections.log.start()
    states = connections.log.read({corrects or ""}, file_sha256=source.sha256)
    if corrects:
        check_parent(states.get(corrects), corrects, order.import_type)
        source = as_understood(source, states)
    rows = rows or _begun(source)
    ids = [order.import_id] if order.import_id else import_ids(source, order.policy)
    options = pinned(source, order, row_publisher.partitions)
    submission = submission_of(order, source, options, corrects)
    known = (
        earlier(states, ids) if order.import_id else known_import(states, ids, source, order.policy)
    )
    reading = begin(known, states, ids, submission, force=order.force)
    reading.beside = Beside.of(source)
    reading.warnings.update(source.warnings)
    if not (reading.resumed or order.overwrite_confirmed):
        _check_overwrite(source, order.policy)
    watch(reading)
    if reading.finished:
        return reading
    if corrects:
        rows = still_broken(rows, connections.rejects(states[corrects], 0.0), row_publisher.decoder)
    small = before.st_size <= SMALL_FILE_BYTES
    row_publisher.publish(
        reading,
        _counting_skipped(reading, source, _unchanged(order.path, before, rows)),
        order.policy,
        small=small,
        watch=watch,
    )
    _remember(order, source, reading, connections)
    return reading


def _begun(source: Source) -> Iterator[list[FileRow]]:
    """Its rows, of which the first are read. Raises RefusedError."""
    chunks = source.chunks()
    return chain([next(chunks, [])], chunks)


def _check_overwrite(source: Source, policy: str) -> None:
    """Raises OverwriteUnconfirmedError if the import would clear anything."""
    # A copy, because the lines that are passed over are counted in the source itself.
    found = blank_cells(replace(source)) if policy == "overwrite" else {}
    if found:
        raise OverwriteUnconfirmedError(found)


def _remember(order: Order, source: Source, reading: Reading, connections: Connections) -> None:
    """How the operator understood the columns, for the next file: without it the import is complete too."""
    mapping = None
    if order.remembered is None and reading.failure is None:
        mapping = chosen_mapping(source, order.options, order.uploaded_by)
    if mapping is None:
        return
    connections.ask()
    try:
        connections.remember(mapping)
    except (ClusterError, RegistryUnavailableError) as error:
        _LOGGER.warning("mapping not remembered", extra={"error": str(error)})


def publish_refusal(
    order: Order, connections: Connections, sha256: str, refusal: RefusedError
) -> None:
    """Ends an import whose id was promised and whose file cannot be read, or not to its end.

    Raises as `publish_file`.
    """
    connections.partition_counts(IMPORT_EVENTS)
    events = Events(connections)
    state = new_state(
        id=order.import_id,
        import_type=order.import_type.name,
        file_name=order.file_name,
        file_sha256=sha256,
        uploaded_by=order.uploaded_by,
        generate_ai_content=order.generate_ai_content,
        header=[],
        options={"policy": order.policy, "topic": order.import_type.file_topic.name},
    )
    events.submitted(state)
    events.finished(Reading(state, failure=refusal))
    connections.publisher.flush()


def _unchanged(path: Path, before: Any, chunks: Iterable[list[FileRow]]) -> Iterator[list[FileRow]]:
    """The chunks. Raises RefusedError at their end if the file has been written to meanwhile."""
    yield from chunks
    after = path.stat()
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise RefusedError(
            "file-changed",
            "Le fichier a été modifié pendant sa lecture : attendez qu'il soit complet, puis "
            "importez-le à nouveau.",
        )


def _counting_skipped(
    reading: Reading, source: Source, chunks: Iterable[list[FileRow]]
) -> Iterator[list[FileRow]]:
    """The chunks; `reading` knows how many lines before each were skipped."""
    for chunk in chunks:
        reading.skipped_rows = source.skipped_rows
        yield chunk
    reading.skipped_rows = source.skipped_rows


class RowPublisher:
    """Publishes the rows of imports of one type. Raises NotReadyError, RegistryUnavailableError."""

    def __init__(self, connections: Connections, import_type: ImportType) -> None:
        self._connections = connections
        self._import_type = import_type
        topic, upstream = import_type.file_topic, import_type.topic
        counts = connections.partition_counts(topic, upstream, IMPORT_EVENTS, IMPORT_LOG)
        self.partitions = counts[topic.name]
        self.decoder = Decoder(str(topic.record), connections.registry)
        self._encoder = connections.encoder(upstream, str(topic.record))
        self._events = Events(connections)

    def publish(
        self,
        reading: Reading,
        chunks: Iterable[list[FileRow]],
        policy: str,
        *,
        small: bool,
        watch: Callable[[Reading], None],
    ) -> None:
        """Publishes all that there is to an import, from Submitted to ReadingFinished.

        `small`: it takes a moment, and no other import waits for it. Raises OSError and ClusterError.
        """
        publisher = self._connections.publisher
        encode = _RowEncoder(self._encoder, reading, policy, self._import_type.routing)
        topic = self._import_type.topic_of(reading.state["options"])
        self._connections.ask()
        with (
            self._connections.traced(topic, reading) as publisher.headers,
            self._connections.window(reading.state, small=small) as window,
        ):
            self._events.submitted(reading.state)
            publisher.flush()
            chunks = iter(chunks)
            try:
                for chunk in chunks:
                    publisher.publish(topic.name, encode(chunk))
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
            self._connections.publisher.idle()
            watch(reading)
        reading.waiting = reading.paused = False


def absent_fields(state: ImportState) -> list[str] | None:
    """The fields for which the file of an import has no column; None if that is not known."""
    columns = state["options"].get("columns")
    if columns is None:
        return None
    return IMPORT_TYPES[state["import_type"]].without_column(json.loads(columns).values())


class _RowEncoder:
    """Rows to (key, value), with consecutive row numbers."""

    def __init__(
        self, encoder: Encoder, reading: Reading, policy: str, routing: Callable[[str], str]
    ) -> None:
        self._encoder = encoder
        self._reading = reading
        self._routing = routing
        self._occurrences = Occurrences()
        self._policy = policy
        self._absent = absent_fields(reading.state) if policy == "overwrite" else None

    def __call__(self, rows: Sequence[FileRow]) -> Iterator[tuple[str, bytes]]:
        reading = self._reading
        if not rows:
            return
        for row in rows:
            if row.warnings:
                reading.warnings.update(row.warnings)
        lines = self._lines(rows)
        records = [row.record for row in rows]
        # Lines that cannot be separated, sheets and rows of a retry need not have the same details.
        names = dict.fromkeys(chain.from_iterable(dict.fromkeys(map(tuple, records))))
        fields = {name: [record.get(name) for record in records] for name in names}
        nothing = [None] * len(rows)
        columns = Columns({**fields, "observed_at": nothing, "import": lines})
        values = self._encoder.encode_all(columns)
        for at, (row, value) in enumerate(zip(rows, values, strict=True)):
            key = self._routing(row.key) if row.key else reading.import_id
            if len(value) + 4 * len(key) > MESSAGE_MAX_BYTES:
                yield self._oversized(row, key, {name: part[at] for name, part in lines.items()})
            else:
                yield key, value
            # Only what was taken counts: a resumed or failed reading goes by this number.
            reading.file_rows += 1
            reading.last_line = row.line

    def _lines(self, rows: Sequence[FileRow]) -> Columns:
        import_id, first = self._reading.import_id, self._reading.file_rows + 1
        occurrence = self._occurrences.count
        return Columns(
            id=[import_id] * len(rows),
            number=range(first, first + len(rows)),
            line=[row.line for row in rows],
            sheet=[row.sheet for row in rows],
            occurrence=[0 if row.faults else occurrence(row.key or import_id) for row in rows],
            policy=[self._policy] * len(rows),
            cells=[row.cells if row.faults or row.dropped else None for row in rows],
            faults=[[fault._asdict() for fault in row.faults] for row in rows],
            settles=[row.resolves and row.resolves._asdict() for row in rows],
            dropped=[
                [value._asdict() for value in row.dropped] if row.dropped else None for row in rows
            ],
            absent=[None if self._absent is None else [*self._absent, *row.absent] for row in rows],
        )

    def _oversized(self, row: FileRow, key: str, line: dict[str, Any]) -> tuple[str, bytes]:
        """The row without its cells, which a valid row has only for the report; else a row at fault."""
        if row.dropped:
            value = self._encoder.encode({**row.record, "import": {**line, "cells": None}})
            if len(value) + 4 * len(key) <= MESSAGE_MAX_BYTES:
                return key, value
        message = (
            f"La ligne dépasse les {MESSAGE_MAX_BYTES // 1000} Ko qu'un message peut porter : "
            "raccourcissez ses valeurs."
        )
        fault = Fault(None, "too-long", message)
        at_fault = {"occurrence": 0, "cells": None, "dropped": None, "faults": [fault._asdict()]}
        nothing = dict.fromkeys(row.record)
        return self._reading.import_id, self._encoder.encode(
            {**nothing, "import": {**line, **at_fault}}
        )
