"""What child processes of the gateway do: everything that reads a file or runs through a topic.

Each task takes `notify`, which it calls with its progress, and returns something that can be pickled.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any, NamedTuple

from producers.gateway.processes.type_choice import Choice, choice_of
from producers.gateway.spool.spool import Spool, SpooledFile
from producers.imports import control
from producers.imports.connections import Connections
from producers.imports.order import Order, Reading
from producers.imports.preview import blank_cells, preview_of
from producers.imports.publication import publish_file, publish_refusal
from producers.imports.retry import Rest, publish_rest, unread_rows
from producers.imports.start import AlreadyImportedError
from producers.kafka.broker import ClusterError, UnreachableError
from producers.kafka.reject_log import Reject, RejectLog, dropped_rows
from producers.mappings.phrases import shown
from producers.mappings.recall import recalled, with_mapping
from producers.reading import Options, RefusedError, open_source
from producers.reports.error_report import report, write
from producers.settings import Settings
from producers.terminal.screen import number
from schemas.codec.framing import Decoder
from schemas.import_types import IMPORT_TYPES
from schemas.outcomes import ActionName
from schemas.records import GatewayMapping, ImportState
from schemas.runtime.garbage import collect_rarely
from schemas.runtime.registry import RegistryUnavailableError

Notify = Callable[[Any], None]

STALL_SECONDS = 30.0
"""The longest wait for an acknowledgement of Kafka in one try."""

_PATIENCE_SECONDS = 3.0
_SHOWN_REJECTS = 50
_KNOWN_SECONDS = 30.0


class AwayError(Exception):
    """Kafka or the schema registry is away, or not set up; the message is in French."""


@contextmanager
def _away() -> Iterator[None]:
    """A block that asks Kafka or the schema registry. Raises AwayError."""
    try:
        yield
    except (ClusterError, RegistryUnavailableError) as error:
        raise AwayError(str(error)) from error


class CrowdedError(AwayError):
    """The child was ended because all children together held too much memory."""


class TooManyRowsError(RefusedError):
    """More rows than the gateway takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "too-many-rows",
            f"Le fichier a plus de {number(limit)} lignes, ce qui est la limite ici : découpez-le, ou "
            "envoyez-le comme grand fichier.",
        )


class Limit(NamedTuple):
    """At most `soft_seconds` of reading and publishing; waiting for the workers or Kafka does not count."""

    soft_seconds: float
    clock: Callable[[], float] = monotonic


def publish(notify: Notify, settings: Settings, folder: Path, import_id: str, limit: Limit) -> str:
    """Publishes an upload; returns published, refused, or held if another process publishes it.

    Raises AwayError, after which it is to be tried again.
    """
    collect_rarely()
    spool = Spool(folder)
    with spool.lease(import_id) as mine:
        spooled = spool.find(import_id) if mine and spool.is_pending(import_id) else None
        if spooled is None:
            return "held"
        spool.begin_try(import_id)
        order = _order(spool, spooled)
        outcome = "published"
        progress = _ReadingProgress(notify, limit)
        try:
            with Connections(
                settings,
                tick=lambda: progress.await_kafka(connections.publisher.outstanding),
                ask=progress.ask,
            ) as connections:
                progress.begin()
                try:
                    if spooled.max_rows is not None:
                        _check_rows(order, spooled.max_rows)
                    reading = publish_file(order, connections, progress)
                    if reading.failure is not None:
                        outcome = "refused"
                except AlreadyImportedError as known:
                    # Of a run that died before it could report it; else another one was faster.
                    if known.state["id"] != import_id:
                        publish_refusal(order, connections, spooled.sha256, known)
                        outcome = "refused"
                except RefusedError as refusal:
                    publish_refusal(order, connections, spooled.sha256, refusal)
                    outcome = "refused"
        except (ClusterError, RegistryUnavailableError) as error:
            spool.take_back_try(import_id)
            raise AwayError(str(error)) from error
        spool.published(import_id)
        return outcome


def give_up(
    notify: Notify, settings: Settings, folder: Path, import_id: str, code: str, message: str
) -> str:
    """Ends an upload that cannot be published; returns and raises what `publish` does."""
    spool = Spool(folder)
    with spool.lease(import_id) as mine:
        spooled = spool.find(import_id) if mine and spool.is_pending(import_id) else None
        if spooled is None:
            return "held"
        with _away(), Connections(settings) as connections:
            publish_refusal(
                _order(spool, spooled), connections, spooled.sha256, RefusedError(code, message)
            )
        spool.published(import_id)
        return "refused"


def request_action(
    notify: Notify, settings: Settings, import_id: str, action: ActionName, by: str
) -> ImportState:
    """Requests any action but "retry" and returns the state. Raises AwayError, RefusedError.

    The gateway lists an upload before it is in the import log: this waits for it.
    """
    until = monotonic() + _KNOWN_SECONDS
    while True:
        try:
            with _away(), Connections(settings) as connections:
                return control.request_action(action, import_id, connections, by, seconds=0.0)
        except RefusedError as refusal:
            if refusal.code != "unknown-import" or monotonic() > until:
                raise


def request_texts(
    notify: Notify, settings: Settings, kind: str, rows: Sequence[str], rewriting: control.Rewriting
) -> None:
    """As control.request_texts. Raises AwayError."""
    with _away(), Connections(settings) as connections:
        control.request_texts(connections, kind, rows, rewriting)


def retry(notify: Notify, settings: Settings, folder: Path, import_id: str, by: str) -> str:
    """Publishes what is left of an import as its child; passes its id to `notify` as soon as it has one.

    The file is that of the spool, if it is still there. Raises AwayError, RefusedError.
    """
    spool = Spool(folder)
    spooled = spool.find(import_id)
    file = spool.data(spooled) if spooled is not None else None
    notified: set[str] = set()

    def watch(reading: Reading) -> None:
        if not notified:
            notified.add(reading.import_id)
            notify(reading.import_id)

    with _away(), Connections(settings) as connections:
        return publish_rest(
            import_id,
            file if file and file.exists() else None,
            connections,
            watch,
            lambda _: None,
            by,
        ).import_id


def _order(spool: Spool, spooled: SpooledFile) -> Order:
    return Order(
        spool.data(spooled),
        IMPORT_TYPES[spooled.import_type],
        Options(**spooled.options),
        spooled.policy,
        spooled.generate_ai_content,
        uploaded_by=spooled.uploaded_by,
        import_id=spooled.id,
        file_name=spooled.file_name,
        sha256=spooled.sha256,
        remembered=spooled.remembered,
        overwrite_confirmed=spooled.overwrite_confirmed,
    )


def _check_rows(order: Order, limit: int) -> None:
    """Raises TooManyRowsError, before anything is published."""
    if order.source().has_more_rows_than(limit):
        raise TooManyRowsError(limit)


class _ReadingProgress:
    """Passes the progress of reading to `notify`, and ends it if it takes too long."""

    def __init__(self, notify: Notify, limit: Limit) -> None:
        self._notify = notify
        self._limit = limit
        self._at = limit.clock()
        self._spent = 0.0
        self._notified_at = 0.0
        self._outstanding: int | None = None  # the fewest, while Kafka is awaited
        self._stalled_at = 0.0
        self._asks = False

    def begin(self) -> None:
        """To be called before the file is opened."""
        self._at = self._limit.clock()
        self._notify(("reading", self._spent))

    def ask(self) -> None:
        """To be called before servers are asked: until the next call of this object nothing is read."""
        if not self._asks:
            now = self._limit.clock()
            self._spent += now - self._at
            self._at, self._asks = now, True
        self._notify(("waiting", self._spent))

    def await_kafka(self, outstanding: int) -> None:
        """To be called while Kafka has so many messages to acknowledge.

        Raises UnreachableError if it acknowledges none for STALL_SECONDS: a try with new connections
        goes on where this one stopped.
        """
        now = self._at = self._limit.clock()
        if self._outstanding is None or outstanding < self._outstanding:
            self._outstanding, self._stalled_at = outstanding, now
        if now - self._stalled_at > STALL_SECONDS:
            raise UnreachableError("Kafka ne confirme pas ce qui lui est envoyé.")
        self._report(now, "waiting")

    def __call__(self, reading: Reading) -> None:
        now = self._limit.clock()
        if not reading.waiting:
            self._spent += 0.0 if self._asks else now - self._at
            self._outstanding = None
        self._at, self._asks = now, False
        if self._spent > self._limit.soft_seconds:
            raise RefusedError(
                "time-limit",
                f"La lecture du fichier a pris plus de {self._limit.soft_seconds:.0f} secondes et "
                "a été arrêtée : découpez le fichier ou réessayez quand le système est moins "
                "chargé.",
            )
        self._report(now, "waiting" if reading.waiting else "reading")

    def _report(self, now: float, kind: str) -> None:
        if now - self._notified_at > 0.2:
            self._notified_at = now
            self._notify((kind, self._spent))


def check(
    notify: Notify,
    path: Path,
    types: list[str],
    options: Mapping[str, Any],
    max_rows: int,
    mappings: Sequence[GatewayMapping] = (),
    corrected: Mapping[str, ImportState] = MappingProxyType({}),
) -> dict[str, Any]:
    """The preview of a file as the only one of `types`, or as the one that it is found to be of.

    `corrected` are the imports that it may correct.

    A remembered one of `mappings` that the file has the header of says the type. If the type is
    doubtful, the preview says so in a refusal. Raises RefusedError if it has too many rows.
    """
    read = Options(**options)
    mapping = recall(notify, path, types, options, mappings)
    if mapping is not None:
        choice, read = Choice(IMPORT_TYPES[mapping["import_type"]]), with_mapping(read, mapping)
    elif len(types) > 1:
        choice = choice_of(path, map(IMPORT_TYPES.__getitem__, types), read)
    else:
        choice = Choice(IMPORT_TYPES[types[0]])
    preview = preview_of(path, choice.import_type, read, lambda _: corrected)
    found = {**preview, "remembered": shown(mapping)}
    if choice.doubt is not None:
        found["refusal"] = {"code": choice.doubt.code, "message": choice.doubt.message}
    if found["total_rows"] > max_rows:
        raise TooManyRowsError(max_rows)
    found["header"] = [*found["mapping"], *found["unknown_columns"]]
    return found


def recall(
    notify: Notify,
    path: Path,
    types: list[str],
    options: Mapping[str, Any],
    mappings: Sequence[GatewayMapping],
) -> GatewayMapping | None:
    """The newest of the mappings, of one of these types, that the file has the header of."""
    read = Options(**options)
    found = (recalled(path, IMPORT_TYPES[name], read, mappings) for name in types)
    return max(filter(None, found), key=lambda each: each["at"], default=None)


def cleared(
    notify: Notify, path: Path, import_type: str, options: Mapping[str, Any]
) -> dict[str, int]:
    """Blank cells by field, which `overwrite` would clear. Raises RefusedError."""
    return blank_cells(open_source(path, IMPORT_TYPES[import_type], Options(**options)))


def forget(notify: Notify, settings: Settings, mapping_id: str) -> None:
    """Removes a remembered mapping. Raises AwayError."""
    with _away(), Connections(settings) as connections:
        connections.forget([mapping_id])


def errors_file(
    notify: Notify, settings: Settings, folder: Path, state: ImportState, path: Path
) -> int:
    """Writes the rejected lines of an import, those that lack values and those never read; how many.
    Raises AwayError.

    The last ones if the spool still holds the file.
    """
    spool = Spool(folder)
    spooled = spool.find(state["id"])
    rest = Rest.of(state, spool.data(spooled) if spooled is not None else None)
    record = str(IMPORT_TYPES[state["import_type"]].topic.record)
    with _away(), settings.registry() as registry, RejectLog(settings) as log:
        content = report(
            state,
            log.read(state, _PATIENCE_SECONDS),
            Decoder(record, registry),
            unread=lambda: unread_rows(rest),
            dropped=dropped_rows(settings, state, _PATIENCE_SECONDS),
        )
        return write(path, content, state["options"].get("delimiter") or ",")


def first_errors(notify: Notify, settings: Settings, state: ImportState) -> dict[str, Any]:
    """The first rejected lines of an import, and how many have which code; the first dropped values.

    Raises AwayError.
    """
    codes: Counter[str] = Counter()
    lines: list[dict[str, Any]] = []
    with _away():
        with RejectLog(settings) as log:
            for reject in log.read(state, _PATIENCE_SECONDS):
                codes.update({str(error["code"]) for error in reject.errors})
                lines += _lines(reject)
                if len(lines) > 4 * _SHOWN_REJECTS:
                    lines = _first(lines)
        rows = dropped_rows(settings, state, _PATIENCE_SECONDS)
    dropped = _first(list(chain.from_iterable(map(_lines, rows))))
    return {"by_code": dict(codes.most_common()), "first": _first(lines), "dropped": dropped}


def _lines(reject: Reject) -> list[dict[str, Any]]:
    return [{"line": reject.line, "sheet": reject.sheet, **error} for error in reject.errors]


def _first(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(islice(sorted(lines, key=lambda line: line["line"] or 0), _SHOWN_REJECTS))
