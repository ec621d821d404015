"""The check at the end: what PostgreSQL and Kafka hold against what the model expects."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

from schemas.codec.framing import Decoder
from schemas.runtime.registry import Registry
from tests.faults import upstream
from tests.faults.files import HEADERS, File, Kind
from tests.faults.model import Outcome, Rows, imported, published
from tests.faults.plan import Wave
from tests.fix_stack import Received, Site, headers

SHOWN = 10
"""So many differences of one sort are printed."""

OUTCOMES = (
    "inserted",
    "updated",
    "unchanged",
    "duplicate",
    "stale",
    "rejected",
    "parked",
    "cancelled",
)

_TABLES: dict[Kind, tuple[str, str]] = {
    "entreprise": ("enterprise_entreprise", "siren"),
    "ville": ("location_ville", "slug"),
}

T = TypeVar("T")


@dataclass
class Findings:
    """`differences` is empty where all is as it has to be."""

    differences: list[str] = field(default_factory=list)
    rows_in_tables: int = 0
    rejects: int = 0
    rejects_repeated: int = 0
    states_repeated: int = 0

    def add(self, what: str, found: Iterable[str]) -> None:
        """Keeps the first differences, and how many there are."""
        every = sorted(found)
        self.differences += [f"{what}: {text}" for text in every[:SHOWN]]
        if len(every) > SHOWN:
            self.differences.append(f"{what}: {len(every)} in all")


def check(site: Site, waves: Sequence[Wave]) -> Findings:
    """Compares everything. No worker may run."""
    findings = Findings()
    outcomes: dict[str, Outcome] = {}
    _check_tables(site, waves, outcomes, findings)
    _check_imports(site, outcomes, findings)
    _check_rejects(site, waves, outcomes, findings)
    _check_log(site, findings)
    return findings


# --- rows


def _check_tables(
    site: Site, waves: Sequence[Wave], outcomes: dict[str, Outcome], findings: Findings
) -> None:
    """Family by family, so that only one has to be held; fills in the outcomes of the imports."""
    files = [file for wave in waves for file in wave.files]
    count: Counter[Kind] = Counter()
    for (family, kind), some in groupby(sorted(files, key=_family), key=_family):
        rows: Rows = {}
        for file in some:
            outcomes[file.name] = imported(rows, file)
        count[kind] += len(rows)
        findings.add(f"{kind} of family {family}", _unlike(rows, _stored(site, kind, family)))
    sent = published(t for wave in waves for t in upstream.transactions(wave.seed))
    for kind, left in sent.items():
        count[kind] += len(left)
        findings.add(f"{kind} from upstream", _unlike(left, _stored(site, kind, upstream.FAMILY)))
    for kind, (table, _) in _TABLES.items():
        [(number,)] = site.query(f"SELECT count(*) FROM {table}")
        findings.rows_in_tables += number
        if number != count[kind]:
            findings.add(table, [f"{number} rows, expected {count[kind]}"])


def _family(file: File) -> tuple[int, Kind]:
    return file.family, file.kind


def _stored(site: Site, kind: Kind, family: int) -> Rows:
    """The rows of a family. Texts sort by code point, so its keys are a range."""
    table, key = _TABLES[kind]
    start = f"{family:03d}" if kind == "entreprise" else f"f{family}-"
    end = start[:-1] + chr(ord(start[-1]) + 1)
    columns = ", ".join(HEADERS[kind])
    return {
        key: tuple(values)
        for key, *values in site.query(
            f"SELECT {key}, {columns} FROM {table} WHERE {key} >= %s AND {key} < %s", start, end
        )
    }


def _unlike(expected: Rows, stored: Rows) -> Iterator[str]:
    for key in expected.keys() | stored.keys():
        if expected.get(key) != stored.get(key):
            yield f"{key} is {stored.get(key)}, expected {expected.get(key)}"


# --- imports and their states


def _check_imports(site: Site, outcomes: dict[str, Outcome], findings: Findings) -> None:
    """The counters of each import, their sum, and what the site is told of it."""
    columns = (*OUTCOMES, "total_rows", "status", "warnings_by_code")
    stored = site.query(
        f"""
        SELECT i.file_name, {", ".join(f"i.{name}" for name in columns)},
            i.completed_at IS NOT NULL AND i.published_version = i.version,
            s.status, s.total_rows, s.success_rows, s.error_rows
        FROM ingest.imports i LEFT JOIN core_importlog s USING (id)
        """
    )
    findings.add("imports", _unlike_imports(outcomes, stored))
    findings.add(
        "progress",
        (
            f"{name} has {accounted} rows accounted for, {total} in all"
            for name, accounted, total in site.query(
                """
                SELECT i.file_name, i.total_rows, sum(p.inserted + p.updated + p.unchanged
                    + p.duplicate + p.stale + p.rejected)
                FROM ingest.imports i LEFT JOIN ingest.progress p ON p.import_id = i.id
                GROUP BY i.id
                """
            )
            if accounted != total
        ),
    )


def _unlike_imports(
    outcomes: dict[str, Outcome], stored: Sequence[tuple[Any, ...]]
) -> Iterator[str]:
    names = Counter(name for name, *_ in stored)
    for name in outcomes.keys() | names.keys():
        if names[name] != (name in outcomes):
            yield f"{name} is there {names[name]} times, expected {int(name in outcomes)}"
    for name, *told in stored:
        if (outcome := outcomes.get(name)) is None:
            continue
        counts = [outcome.counts[each] for each in OUTCOMES]
        expected = [*counts, outcome.total, outcome.status, dict(outcome.warnings), True]
        good = outcome.total - outcome.counts["rejected"]
        expected += [outcome.status, outcome.total, good, outcome.counts["rejected"]]
        if told != expected:
            yield f"{name} is {told}, expected {expected}"


def _check_log(site: Site, findings: Findings) -> None:
    """The last state of each import on the log is the one in PostgreSQL."""
    columns = (*OUTCOMES, "total_rows", "status", "version")
    stored = {
        str(import_id): values
        for import_id, *values in site.query(f"SELECT id, {', '.join(columns)} FROM ingest.imports")
    }
    told: dict[str, list[object]] = {}
    versions: Counter[tuple[str, int]] = Counter()
    with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        decoder = Decoder("import_state", registry)
        for message in site.messages("imports.log"):
            state = decoder.decode(message.value())
            told[state["id"]] = [state[name] for name in columns]
            versions[state["id"], state["version"]] += 1
    findings.states_repeated = versions.total() - len(versions)
    findings.add(
        "imports.log",
        (
            f"import {key} ends with {told.get(key)}, PostgreSQL holds {stored.get(key)}"
            for key in told.keys() | stored.keys()
            if told.get(key) != stored.get(key)
        ),
    )


# --- rejects


def _check_rejects(
    site: Site, waves: Sequence[Wave], outcomes: dict[str, Outcome], findings: Findings
) -> None:
    """Each faulty line and each unreadable record is one reject, in PostgreSQL and on the topic."""
    expected: Counter[object] = Counter(
        (name, line) for name, outcome in outcomes.items() for line in outcome.rejects
    )
    unreadable = [record for wave in waves for record in upstream.unreadable(wave.seed)]
    expected.update(value for _, _, value in (*unreadable, *upstream.last()))
    stored = site.query(
        """
        SELECT r.id, i.file_name, r.line, r.value
        FROM ingest.rejects r LEFT JOIN ingest.imports i ON i.id = r.import_id
        """
    )
    what = {str(key): (name, line) if name else value for key, name, line, value in stored}
    findings.rejects = len(what)
    findings.add("rejects in PostgreSQL", _off(expected, Counter(what.values())))

    messages = site.messages("rejects")
    on_topic = {_reject_id(message) for message in messages}
    findings.rejects_repeated = len(messages) - len(on_topic)
    findings.add(
        "rejects on the topic",
        (
            f"{what.get(key, key)} is {'only' if key in on_topic else 'not'} there"
            for key in on_topic ^ what.keys()
        ),
    )


def _off(expected: Counter[T], found: Counter[T]) -> Iterator[str]:
    for key in expected.keys() | found.keys():
        if expected[key] != found[key]:
            yield f"{key} is there {found[key]} times, expected {expected[key]}"


def _reject_id(message: Received) -> str:
    return headers(message)["ingest.reject_id"].decode()
