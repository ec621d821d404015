"""Which import a file is, whether it may be gone on with, and what of it counts as read."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from producers.imports.identity import known_import
from producers.imports.order import Reading
from producers.imports.publication import _RowEncoder, _unchanged
from producers.imports.start import AlreadyImportedError, begin, check_parent
from producers.kafka.import_state import new_state
from producers.kafka.publisher import MESSAGE_MAX_BYTES
from producers.reading import FileRow, RefusedError, open_source
from schemas.codec.framing import Decoder, Encoder, load
from schemas.codec.schema import Schema
from schemas.dropped_value import DroppedValue
from schemas.import_types import CATEGORIE, ENTREPRISE, VILLE
from schemas.records import ImportState

IDS = ["first", "second", "third"]
OPTIONS = {
    "reader": "3", "partitions": "4", "encoding": "utf-8", "delimiter": ";", "sheet": "",
    "columns": "{}", "policy": "merge",
}  # fmt: skip
NOW = datetime(2025, 3, 1, tzinfo=UTC)


def state(import_id: str = "first", status: str = "PROCESSING", **more: Any) -> ImportState:
    options = {**OPTIONS, **more.pop("options", {})}
    return new_state(
        **{"id": import_id, "status": status, "options": options, "created_at": NOW, **more}
    )


def begun(
    known: ImportState | None, *others: ImportState, force: bool = False, ids: list[str] = IDS
) -> Reading:
    states = {each["id"]: each for each in (known, *others) if each is not None}
    return begin(known, states, ids, state("submission"), force=force)


def refused(known: ImportState, *others: ImportState, **more: Any) -> str:
    with pytest.raises(RefusedError) as refusal:
        begun(known, *others, **more)
    return refusal.value.code


# Which import it is


def test_a_new_file() -> None:
    assert (begun(None).import_id, begun(None).resumed) == ("first", False)


@pytest.mark.parametrize("status", ["SUCCESS", "PARTIAL", "ERROR", "CANCELLED"])
def test_a_file_that_was_imported(status: str) -> None:
    """It is refused; with --force it is imported under the next id that is free, as long as there is
    one."""
    with pytest.raises(AlreadyImportedError):
        begun(state(status=status))
    assert begun(state(status=status), force=True).import_id == "second"
    assert begun(state(), state("second", status), force=True).import_id == "first"
    assert begun(state(status=status), state("second", status), force=True).import_id == "third"
    others = [state(import_id, status) for import_id in IDS[1:]]
    assert refused(state(status=status), *others, force=True) == "already-imported"


def test_a_dead_reading_goes_on() -> None:
    reading = begun(state())

    assert (reading.import_id, reading.resumed, reading.finished) == ("first", True, False)


def test_a_file_that_is_read_is_followed() -> None:
    reading = begun(state(total_rows=7, options={"partitions": "8"}))

    assert (reading.finished, reading.file_rows) == (True, 7)


def test_a_file_of_a_gateway_is_followed() -> None:
    """A gateway reads its files itself: whoever reads one beside it would publish its rows again."""
    assert begun(state("of a gateway")).finished


def test_an_import_that_is_being_cancelled() -> None:
    """Its rows are not to be published again in the very moment in which it ends without them."""
    assert refused(state(waiting_for="cancel")) == "being-cancelled"


@pytest.mark.parametrize("name", OPTIONS)
def test_a_file_that_reads_otherwise_than_it_did(name: str) -> None:
    """Rows would get other numbers or other partitions than those that are settled."""
    assert refused(state(options={name: "other"})) == "changed-since"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "e.csv"
    found.write_text("siren;nom\n732829320;A\n", encoding="utf-8")
    return found


def test_the_same_file_in_the_same_way(path: Path) -> None:
    """An upload of the same bytes is known by how it was read, unless it failed as a whole."""
    source = open_source(path, ENTREPRISE)
    way = {
        "encoding": "utf-8", "delimiter": ";", "columns": '{"siren": "siren", "nom": "nom"}',
    }  # fmt: skip
    same: dict[str, Any] = {
        "file_sha256": source.sha256, "import_type": "ENTREPRISE", "options": way,
    }  # fmt: skip
    upload = state("upload", **same)

    def known(*states: ImportState) -> ImportState | None:
        return known_import({each["id"]: each for each in states}, IDS, source, "merge")

    assert known(upload) == upload
    younger = state("first", created_at=NOW + timedelta(seconds=1))
    assert known(younger, upload) == younger
    assert known(state("upload", **same, error={"code": "x", "message": "x"})) is None
    assert known(state("upload", **same, parent="another")) is None
    assert known(state("upload", **{**same, "import_type": "VILLE"})) is None
    assert known(state("upload", **{**same, "file_sha256": "0"})) is None
    assert known(state("upload", **{**same, "options": {**way, "policy": "overwrite"}})) is None
    assert known() is None


@pytest.mark.parametrize(
    ("parent", "code"),
    [
        (None, "unknown-import"),
        (state(status="PARTIAL", import_type="VILLE"), "wrong-type"),
        (state(status="PROCESSING", import_type="ENTREPRISE"), "unfinished-import"),
        (state(status="PAUSED", import_type="ENTREPRISE"), "unfinished-import"),
    ],
)
def test_a_report_of_an_import_that_cannot_be_corrected(
    parent: ImportState | None, code: str
) -> None:
    with pytest.raises(RefusedError) as refusal:
        check_parent(parent, "first", ENTREPRISE)

    assert refusal.value.code == code
    check_parent(state(status="PARTIAL", import_type="VILLE"), "first", VILLE)


# What counts as read


@pytest.mark.parametrize("change", ["size", "time", "nothing"])
def test_a_file_that_is_written_to_meanwhile(path: Path, change: str) -> None:
    """Its rows are those of two files: it fails, be it as long as before or as old."""
    before = path.stat()
    chunks: Iterator[list[FileRow]] = iter([[]])
    if change == "size":
        path.write_text("siren;nom\n732829320;AB\n", encoding="utf-8")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1000))

    if change == "nothing":
        assert list(_unchanged(path, before, chunks)) == [[]]
    else:
        with pytest.raises(RefusedError, match="modifié"):
            list(_unchanged(path, before, chunks))


class Registered:
    """A registry that holds the schema of companies."""

    def schema(self, schema_id: int) -> Schema:
        return load("entreprise_row")


def rows(path: Path, *lines: str) -> list[FileRow]:
    path.write_text("\n".join(["siren;nom;adresse", *lines]), encoding="utf-8")
    return [row for chunk in open_source(path, ENTREPRISE).chunks() for row in chunk]


def encoder(reading: Reading) -> _RowEncoder:
    return _RowEncoder(Encoder("entreprise_row", 1), reading, "merge", ENTREPRISE.routing)


def test_only_what_was_taken_is_read(path: Path) -> None:
    """A reading that breaks off in the middle of a chunk has read the rows that were published."""
    reading = Reading(state())
    encoded = encoder(reading)(rows(path, "732829320;A;", "732829320;B;", "732829320;C;"))

    list(islice(encoded, 2))  # Kafka refuses the second

    assert (reading.file_rows, reading.last_line) == (1, 2)


def test_occurrences_are_of_valid_rows(path: Path) -> None:
    """A faulty line is no occurrence of its key: the valid one that follows is the first."""
    reading = Reading(state())
    lines = ["732829320;-;", "732829320;A;", "732829320;B;"]

    found = [
        Decoder("entreprise_row", Registered()).decode(value)["import"]
        for _, value in encoder(reading)(rows(path, *lines))
    ]

    assert [(line["number"], line["occurrence"]) for line in found] == [(1, 0), (2, 1), (3, 2)]


def test_rows_of_a_chunk_have_details_of_their_own(path: Path) -> None:
    """A line that cannot be separated, a sheet without a column and a row of a retry have fewer."""
    broken, *_ = rows(path, "732829320;A;x;y", "732829320;B;")
    path.write_text("siren;nom;domain\n732829320;C;exemple.fr\n", encoding="utf-8")
    with_domain = [row for chunk in open_source(path, ENTREPRISE).chunks() for row in chunk]
    path.write_text("siren;nom;logo\n732829320;D;https://exemple.fr/d.png\n", encoding="utf-8")
    with_logo = [row for chunk in open_source(path, ENTREPRISE).chunks() for row in chunk]

    decoded = [
        Decoder("entreprise_row", Registered()).decode(value)
        for _, value in encoder(Reading(state()))([broken, *with_domain, *with_logo])
    ]

    assert [(row["nom"], row["domain"], row["logo"]) for row in decoded] == [
        (None, None, None),
        ("C", "exemple.fr", None),
        ("D", None, "https://exemple.fr/d.png"),
    ]


@pytest.mark.parametrize(
    ("policy", "columns", "expected"),
    [
        ("merge", {"n": "nom", "o": "ordre"}, None),
        ("overwrite", {"n": "nom", "d": "description", "m": "meta_description", "o": "ordre"}, ["ordre"]),
        ("overwrite", {"n": "nom", "m": "meta_description", "o": "ordre"}, ["description", "ordre"]),
    ],
)  # fmt: skip
def test_what_overwriting_leaves(
    policy: str, columns: dict[str, str], expected: list[str] | None
) -> None:
    """What the file has no column for, and what the row's own sheet lacks, also if the file lacks nothing."""
    of_file = new_state(id="i", import_type="CATEGORIE", options={"columns": json.dumps(columns)})
    row = FileRow(2, "A", ["Bois"], dict.fromkeys(CATEGORIE.field), "bois", [], [])
    row.absent = ["ordre"]
    encoder = _RowEncoder(Encoder("categorie_row", 1), Reading(of_file), policy, CATEGORIE.routing)

    assert encoder._lines([row])["absent"] == [expected]


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_line_too_large_for_a_message(path: Path, beyond: int) -> None:
    """It is published as a fault of its line, by the id of its import: a message has a limit."""
    [row] = rows(path, "732829320;A;x")
    [(key, value)] = encoder(Reading(state()))([row])
    # The length of a text of so many bytes takes two bytes more than that of one.
    row.record["adresse"] = "x" * (MESSAGE_MAX_BYTES - len(value) - 4 * len(key) - 1 + beyond)

    [(key, value)] = encoder(Reading(state()))([row])

    decoded = Decoder("entreprise_row", Registered()).decode(value)
    faults = [fault["code"] for fault in decoded["import"]["faults"]]
    assert (key, faults) == (("first", ["too-long"]) if beyond else ("732829320", []))


def test_a_dropped_value_never_costs_its_row(path: Path) -> None:
    """The cells that a report shows are left out if a message has no room for them."""
    [row] = rows(path, "732829320;A;x")
    value = DroppedValue("email", "malformed", "Pas valide.", "x@")
    row.cells, row.dropped = ["x" * MESSAGE_MAX_BYTES], [value]

    [(key, encoded)] = encoder(Reading(state()))([row])

    decoded = Decoder("entreprise_row", Registered()).decode(encoded)
    line = decoded["import"]
    assert (key, decoded["nom"], line["faults"], line["cells"]) == ("732829320", "A", [], None)
    assert (line["dropped"], line["occurrence"]) == ([value._asdict()], 1)
