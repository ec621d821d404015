"""What is wrong comes back, is corrected and settled: each reject once, with the parent's counters."""

import csv
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from openpyxl import load_workbook

from producers.imports.connections import Connections
from producers.imports.events import Events
from producers.kafka.import_state import new_state
from producers.settings import Settings
from schemas.outcomes import ActionName
from tests.fix_companies import hurry, make_slow
from tests.fix_stack import Finished, Site, eventually

OUTCOMES = (
    *("inserted", "updated", "unchanged", "duplicate", "stale", "rejected", "parked"),
    "cancelled",
)
HEADER = ["SIREN", "Raison sociale", "Remarque"]
GOOD = [[f"10000000{digit}", f"Société {digit}", ""] for digit in range(6)]
BAD = [
    ["", "Sans numéro", "=1+1"],
    ["12345", "Numéro court", "'=1"],
    ["200000007", "-", "-2"],
]
LINES = [*GOOD[:3], *BAD[:2], *GOOD[3:], BAD[2]]
BAD_LINES = ["5", "6", "10"]
CORRECTED = [
    ["200000005", "Sans numéro"],
    ["200000006", "Numéro court"],
    ["200000007", "Nom"],
]


def counts(state: dict[str, Any]) -> dict[str, int]:
    """The outcomes that a state counts, without those that did not occur."""
    return {name: state[name] for name in OUTCOMES if state[name]}


def imported(site: Site, path: Path, *words: str, kind: str = "entreprise") -> Finished:
    return site.foxstream("import", path, "--type", kind, "--json", *words)


def status(site: Site, import_id: str) -> dict[str, Any]:
    return site.foxstream("status", import_id, "--json").json()


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Nine lines, of which three are wrong."""
    path = tmp_path / "entreprises.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows([HEADER, *LINES])
    return path


Rows = list[dict[str, Any]]


def read(report: Path) -> Rows:
    """The lines of an error report."""
    if report.suffix == ".jsonl":
        return [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    table: list[Sequence[Any]]
    if report.suffix == ".xlsx":
        sheet = load_workbook(report).worksheets[0]
        table = [[cell or "" for cell in row] for row in sheet.iter_rows(values_only=True)]
    else:
        text = StringIO(report.read_text(encoding="utf-8-sig"), newline="")
        table = list(csv.reader(text, delimiter=";"))
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]


def save(report: Path, rows: Rows) -> None:
    """Writes the rows of a report back as a person's program would."""
    if report.suffix == ".jsonl":
        report.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    elif report.suffix == ".xlsx":
        book = load_workbook(report)
        sheet = book.worksheets[0]
        sheet.delete_rows(2, sheet.max_row)
        for row in rows:
            sheet.append(list(row.values()))
        book.save(report)
    else:
        with report.open("w", encoding="cp1252", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
            writer.writeheader()
            writer.writerows(rows)


def errors(site: Site, import_id: str, path: Path) -> Rows:
    """The error report of an import."""
    done = site.foxstream("errors", import_id, "--output", path)
    assert done.code == 0, done.stderr
    return read(path)


def balanced(site: Site) -> None:
    """Each import accounts for each of its rows, and for its open rejects, once."""
    for read_, accounted, rejected, cancelled, settles in site.query(
        """
        SELECT i.total_rows,
            i.inserted + i.updated + i.unchanged + i.duplicate + i.stale + i.rejected + i.parked
                + i.cancelled,
            i.rejected - (SELECT count(*) FROM ingest.rejects r
                WHERE r.import_id = i.id AND settled_by IS NULL AND NOT r.cancelled),
            i.cancelled - (SELECT count(*) FROM ingest.rejects r
                WHERE r.import_id = i.id AND settled_by IS NULL AND r.cancelled),
            i.settles - (SELECT count(*) FROM ingest.rejects r
                WHERE r.import_id = i.parent AND settled_by = i.id)
        FROM ingest.imports i
        """
    ):
        assert read_ is None or read_ == accounted
        assert (rejected, cancelled, settles) == (0, 0, 0)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".jsonl"])
def test_a_corrected_report_settles_its_rejects(
    site: Site, faulty: Path, tmp_path: Path, suffix: str
) -> None:
    """As it is it settles nothing; two of three corrected settle two; then the last, and once."""
    site.worker()
    first = imported(site, faulty).json()
    assert counts(first) == {"inserted": 6, "rejected": 3}
    path = tmp_path / f"erreurs{suffix}"

    rows = errors(site, first["id"], path)
    assert [row["_line"] for row in rows] == BAD_LINES
    untouched = imported(site, path)
    state = untouched.json()
    assert (untouched.code, state["status"], state["parent"]) == (4, "ERROR", first["id"])
    assert (counts(state), state["settles"]) == ({"rejected": 3}, 0)
    again = [list(row.values())[:3] for row in errors(site, state["id"], tmp_path / "again.jsonl")]
    assert again == BAD
    assert status(site, first["id"])["status"] == "PARTIAL"

    for row, (siren, nom) in zip(rows[:2], CORRECTED, strict=False):
        row["SIREN"], row["Raison sociale"] = siren, nom
    save(path, rows)
    child = imported(site, path)
    assert child.code == 3, child.stderr
    state = child.json()
    assert (counts(state), state["settles"]) == ({"inserted": 2, "rejected": 1}, 2)
    parent = eventually(lambda: (now := status(site, first["id"]))["rejected"] == 1 and now)
    assert (parent["status"], counts(parent)) == ("PARTIAL", {"inserted": 8, "rejected": 1})
    assert (parent["completed_at"], parent["version"] > first["version"]) == (
        first["completed_at"],
        True,
    )
    assert imported(site, path).json()["error"]["code"] == "already-imported"

    [row] = errors(site, first["id"], path)
    assert row["_line"] == BAD_LINES[2]
    row["Raison sociale"] = "Nom"
    save(path, [row])
    last = imported(site, path)
    assert (last.code, last.json()["settles"]) == (0, 1), last.stderr
    parent = eventually(lambda: (now := status(site, first["id"]))["status"] == "SUCCESS" and now)
    assert counts(parent) == {"inserted": 9}
    assert site.query("SELECT siren FROM enterprise_entreprise WHERE siren > '2' ORDER BY 1") == [
        (siren,) for siren, _ in CORRECTED
    ]
    assert errors(site, first["id"], path.with_suffix(".jsonl")) == []
    balanced(site)
    [(errors_, status_)] = site.query(
        "SELECT errors, status FROM core_importlog WHERE id = %s", first["id"]
    )
    assert (errors_, status_) == ([], "SUCCESS")


def test_b14_b21_a_retry_takes_the_rejected_lines_alone(site: Site, faulty: Path) -> None:
    """B14, B21: neither does it run lines again that are done, nor do two at once mix counters."""
    site.worker()
    first = imported(site, faulty).json()

    commands = [("retry", first["id"], "--json")] * 2
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda words: site.foxstream(*words), commands)

    assert {one.code, other.code} == {4}, one.stderr + other.stderr  # wrong as before
    assert one.json()["parent"] == other.json()["parent"] == first["id"]
    assert counts(status(site, first["id"])) == {"inserted": 6, "rejected": 3}
    assert one.json()["total_rows"] == 3
    balanced(site)


def refuse(site: Site, siren: str) -> None:
    """Has PostgreSQL refuse a company."""
    with psycopg.connect(site.database_url) as connection:
        connection.execute(
            "ALTER TABLE enterprise_entreprise ADD CONSTRAINT refused"
            f" CHECK (siren NOT LIKE '{siren}') NOT VALID".encode()
        )


def accept(site: Site) -> None:
    """Takes `refuse` back."""
    with psycopg.connect(site.database_url) as connection:
        connection.execute("ALTER TABLE enterprise_entreprise DROP CONSTRAINT refused")


def test_rows_that_only_postgresql_refused_are_retried_as_they_were(
    site: Site, tmp_path: Path
) -> None:
    """Two retries at once settle each of them once; a further one has nothing to do."""
    site.worker()
    path = tmp_path / "companies.csv"
    lines = [f"3000000{number:02d};Nom {number};75001" for number in range(40)]
    path.write_text("\n".join(["siren;nom;code_postal", *lines]), encoding="utf-8")
    refuse(site, "30000001_")
    first = imported(site, path).json()
    assert counts(first) == {"inserted": 30, "rejected": 10}
    accept(site)

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: site.foxstream("retry", first["id"], "--json"), range(2)))

    assert [one.code for one in done if one.code != 4] != [], done
    parent = eventually(lambda: (now := status(site, first["id"]))["status"] == "SUCCESS" and now)
    assert counts(parent)["inserted"] + counts(parent).get("unchanged", 0) == 40
    balanced(site)
    assert site.query("SELECT count(*) FROM enterprise_entreprise") == [(40,)]
    assert site.query("SELECT count(*) FROM ingest.rejects WHERE settled_by IS NULL") == [(0,)]
    nothing = site.foxstream("retry", first["id"], "--json")
    assert (nothing.code, nothing.json()["error"]["code"]) == (4, "nothing-to-retry")
    listed = site.foxstream("list")
    assert f"(reprise de {first['id']})" in listed.stdout


def test_a_retry_of_a_retry_settles_upwards(site: Site, tmp_path: Path) -> None:
    """What a child of a child writes settles the child's reject and that of the first import."""
    site.worker()
    path = tmp_path / "companies.csv"
    path.write_text("siren;nom\n400000001;Un\n400000002;Deux\n", encoding="utf-8")
    refuse(site, "400000002")
    first = imported(site, path).json()
    child = site.foxstream("retry", first["id"], "--json").json()
    assert (counts(child), child["settles"]) == ({"rejected": 1}, 0)
    accept(site)

    last = site.foxstream("retry", child["id"], "--json").json()

    assert (counts(last), last["parent"], last["settles"]) == ({"inserted": 1}, child["id"], 1)
    for import_id, expected in ((child["id"], 1), (first["id"], 2)):
        state = eventually(
            lambda import_id=import_id: (  # type: ignore[misc] # of a loop
                (now := status(site, import_id))["status"] == "SUCCESS" and now
            )
        )
        assert counts(state) == {"inserted": expected}
    balanced(site)


def test_lines_added_and_foreign_reports(site: Site, faulty: Path, tmp_path: Path) -> None:
    """A line without _line is a row as any; lines of two imports, or of none known, are refused."""
    site.worker()
    first = imported(site, faulty).json()
    path = tmp_path / "erreurs.csv"
    rows = errors(site, first["id"], path)
    added = {**rows[0], "_line": "", "_import": "", "SIREN": "500000001"}
    repeated = {**rows[0], "SIREN": "500000002"}
    save(path, [added, repeated, {**repeated, "SIREN": "500000003"}])

    state = imported(site, path).json()

    assert (counts(state), state["settles"]) == ({"inserted": 3}, 1)
    assert eventually(lambda: status(site, first["id"])["rejected"] == 2)
    balanced(site)

    for changed, code in (
        ([{**rows[0], "_import": str(uuid4())}, rows[1]], "several-imports"),
        ([{**rows[0], "_import": str(uuid4())}], "unknown-import"),
        ([{**rows[0], "_import": "x"}], "unknown-import"),
    ):
        save(path, changed)
        done = imported(site, path)
        assert (done.code, done.json()["error"]["code"]) == (4, code)


BROKEN = 'siren,nom,code_postal\n600000001\n600000002,Deux,75001,x\n600000003,"Trois,75001\n'


def test_lines_that_cannot_be_split_are_not_guessed(site: Site, tmp_path: Path) -> None:
    """Sent back as they are, they are still wrong, although the report has a cell for each column."""
    site.worker()
    path = tmp_path / "broken.csv"
    path.write_text(BROKEN, encoding="utf-8")
    first = imported(site, path).json()
    assert counts(first) == {"rejected": 3}
    report = tmp_path / "erreurs.csv"
    assert site.foxstream("errors", first["id"], "--output", report).code == 0

    untouched = imported(site, report).json()
    assert counts(untouched) == {"rejected": 3}
    again = errors(site, untouched["id"], tmp_path / "again.jsonl")
    assert [row["_code"] for row in again] == ["missing-cell", "extra-cell", "unbalanced-quote"]

    text = report.read_text(encoding="utf-8-sig")
    fixed = text.replace('"75001","x"', '"75001",""').replace(
        '"600000001","",""', '"600000001","Un","75002"'
    )
    assert fixed != text
    report.write_text(fixed, encoding="utf-8")
    state = imported(site, report).json()
    assert (counts(state), state["settles"]) == ({"inserted": 2, "rejected": 1}, 2)
    balanced(site)


def test_a_worker_that_dies_while_rejects_are_resolved(site: Site, tmp_path: Path) -> None:
    """Killed before and after the commit, its successor settles and tells the rest, each once."""
    site.settings = {"FOX_BATCH_ROWS": "1"}
    worker = site.worker()
    path = tmp_path / "companies.csv"
    lines = [f"8{number:08d};Nom {number}" for number in range(200)]
    path.write_text("\n".join(["siren;nom", *lines]), encoding="utf-8")
    refuse(site, "8%")
    first = imported(site, path).json()
    assert counts(first) == {"rejected": 200}
    accept(site)
    make_slow(site, 2)

    retry = site.start("retry", first["id"])
    settled = "SELECT count(*) FROM ingest.rejects WHERE settled_by IS NOT NULL"
    eventually(lambda: site.query(settled)[0][0])
    worker.kill()
    assert site.query(settled)[0][0] < 200, "too fast to die in the middle"
    hurry(site)
    site.worker()

    assert retry.wait(300) == 0
    parent = eventually(lambda: (now := status(site, first["id"]))["status"] == "SUCCESS" and now)
    assert counts(parent) == {"inserted": 200}
    assert errors(site, first["id"], tmp_path / "rest.jsonl") == []
    assert site.query("SELECT count(*) FROM enterprise_entreprise") == [(200,)]
    balanced(site)


def test_a_row_that_comes_before_its_reject(site: Site, faulty: Path, tmp_path: Path) -> None:
    """As after a restore, where partitions do not wait for each other: it settles it when it comes."""
    site.worker()
    first = imported(site, faulty).json()
    rows = errors(site, first["id"], tmp_path / "e.csv")
    save(tmp_path / "e.csv", [{**rows[0], "SIREN": "200000005"}])
    with psycopg.connect(site.database_url) as connection:
        connection.execute("CREATE TABLE later AS SELECT * FROM ingest.rejects")
        connection.execute("DELETE FROM ingest.rejects")

    child = imported(site, tmp_path / "e.csv").json()
    assert (counts(child), child["settles"]) == ({"inserted": 1}, 0)
    with psycopg.connect(site.database_url) as connection:
        connection.execute("INSERT INTO ingest.rejects SELECT * FROM later")

    parent = eventually(lambda: (now := status(site, first["id"]))["rejected"] == 2 and now)
    assert counts(parent) == {"inserted": 7, "rejected": 2}
    assert eventually(lambda: status(site, child["id"])["settles"] == 1)
    assert site.query("SELECT count(*) FROM ingest.settled_early") == [(0,)]
    assert [row["_line"] for row in errors(site, first["id"], tmp_path / "e.jsonl")] == BAD_LINES[
        1:
    ]
    balanced(site)


def test_b6_garbage_is_rejected_or_left_out(site: Site, tmp_path: Path) -> None:
    """B6: a SIREN "ABC" is a reject; a postal code "ZZ" is a warning, and stored as nothing."""
    site.worker()
    path = tmp_path / "garbage.csv"
    path.write_text("siren;nom;cp\nABC;Un;35000\n900000001;Deux;ZZ\n", encoding="utf-8")

    state = imported(site, path).json()

    assert counts(state) == {"inserted": 1, "rejected": 1}
    assert state["warnings_by_code"] == {"malformed": 1}
    assert site.query("SELECT siren, code_postal FROM enterprise_entreprise") == [("900000001", "")]
    row, lacking = errors(site, state["id"], tmp_path / "e.jsonl")
    assert (lacking["_column"], bool(lacking["_dropped"])) == ("cp", True)
    assert (row["siren"], row["_column"], row["_code"]) == ("ABC", "siren", "malformed")


def test_b22_nobody_changes_an_import_afterwards(site: Site, faulty: Path) -> None:
    """B22: events that say otherwise change no type or file, and begin no import of their own."""
    site.worker()
    first = imported(site, faulty).json()
    settings = Settings(
        kafka_bootstrap=site.environment["FOX_KAFKA_BOOTSTRAP"],
        schema_registry_url=site.environment["FOX_SCHEMA_REGISTRY_URL"],
        topic_prefix=site.prefix,
    )
    with Connections(settings) as connections:
        events = Events(connections)
        events.submitted(new_state(**first | {"import_type": "VILLE", "file_name": "other.csv"}))
        actions: tuple[ActionName, ...] = ("cancel", "pause", "resume")
        for action in actions:
            events.requested(first["id"], action, "nobody")
            events.requested(str(uuid4()), action, "nobody")
        connections.publisher.flush()
    events_read = "SELECT sum(next_offset) FROM ingest.positions WHERE topic = %s"
    topic = f"{site.prefix}imports.events"
    eventually(lambda: site.query(events_read, topic)[0][0] >= len(site.messages("imports.events")))

    assert status(site, first["id"]) == first
    assert site.query("SELECT count(*) FROM ingest.imports") == [(1,)]
