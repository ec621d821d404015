"""Rows that are written without some of their values: reported once, corrected, and counted beside rejects."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from processors.rows.outbox import DROPPED, Outbox
from schemas.codec.framing import Encoder
from tests.fix_stack import Site, eventually, headers
from tests.integration.test_outbox import Topics, topics
from tests.integration.test_resolution import THIRD, settles, standing
from tests.integration.test_row_writer import (
    IMPORT,
    OTHER,
    Partition,
    company,
    database,
    line,
    log,
    picky,
    siren,
)
from tests.integration.test_strange_records import Upstream, upstream
from tests.integration.test_way_back import balanced, counts, errors, imported, save, status

__all__ = ["database", "log", "picky", "topics", "upstream"]  # fixtures

VALUE = {"column": "Courriel", "code": "malformed", "message": "Pas valide.", "value": "x@"}
FILE = """SIREN;Raison sociale;Courriel;CP;Téléphone
100000009;Bonne;a@b.fr;35000;0299010203
100000017;Incomplète;x@;35000;0299010204
12345;Rejetée;y@;35000;
100000025;Sans code;c@d.fr;2A300;demander
"""


async def lacking(log: Partition, import_id: str = IMPORT) -> int:
    """How many rows of an import lack values, as its counter says."""
    [(count,)] = await log.query(
        "SELECT coalesce(sum(dropped), 0) FROM ingest.progress WHERE import_id = %s", import_id
    )
    return int(count)


async def kept(log: Partition) -> list[tuple[Any, ...]]:
    return await log.query(
        "SELECT line, faults -> 0 ->> 'value', settled_by::text FROM ingest.dropped_values ORDER BY line"
    )


async def test_a_row_is_written_and_its_dropped_value_stored_once(log: Partition) -> None:
    """In one transaction, however often the row is read: its producer died and began again, then the log
    is read again from its beginning."""
    log.append(company(1, **line(1, dropped=[VALUE])))
    log.append(company(2, **line(2)))
    log.append(company(1, **line(1, dropped=[VALUE])))
    await log.write_all(1, 2)
    await log.execute("UPDATE ingest.positions SET next_offset = 0")
    await log.write_all()

    assert await log.progress() == Counter(inserted=2)
    assert await lacking(log) == 1
    assert await kept(log) == [(2, "x@", None)]
    assert await log.query("SELECT count(*) FROM ingest.rejects") == [(0,)]


async def test_only_of_rows_that_are_written(log: Partition) -> None:
    """Of a reject and of a row of a cancelled import nothing is stored: all of it comes back."""
    await log.execute(
        "INSERT INTO ingest.imports (id, partition, import_type, file_name, file_sha256,"
        " generate_ai_content, header, options, created_at, cancelled_at) VALUES"
        f" ('{OTHER}', 0, 'ENTREPRISE', 'f', '', false, '[]', '{{}}', now(), now())"
    )
    log.append(company(1, None, **line(1, dropped=[VALUE])))
    log.append(company(2, **line(1, OTHER, dropped=[VALUE])))

    await log.write_all()

    assert await log.progress() == Counter(rejected=1)
    assert await log.progress(OTHER) == Counter(cancelled=1)
    assert await kept(log) == []
    assert [await lacking(log, each) for each in (IMPORT, OTHER)] == [0, 0]


async def test_not_of_a_row_that_postgresql_refuses(picky: Partition) -> None:
    """It is a reject, and comes back as a whole."""
    picky.append(company(1, "bad", **line(1, dropped=[VALUE])))
    picky.append(company(2, **line(2, dropped=[VALUE])))

    await picky.write_all()

    assert await picky.progress() == Counter(rejected=1, inserted=1)
    assert (await kept(picky), await lacking(picky)) == ([(3, "x@", None)], 1)


async def test_what_a_correction_completes(log: Partition) -> None:
    """The row no longer counts among those that lack values; no other counter moves, and nothing settles."""
    log.append(company(1, **line(1, dropped=[VALUE])))
    log.append(company(1, email_contact="x@y.fr", **standing(2, OTHER)))
    log.append(company(1, email_contact="x@y.fr", **standing(2, THIRD)))

    await log.write_all(1, 2)

    assert await kept(log) == [(2, "x@", OTHER)]
    assert await log.progress() == Counter(inserted=1)
    assert (await lacking(log), await settles(log, OTHER)) == (0, 0)
    assert await log.query("SELECT count(*) FROM ingest.settled_early") == [(0,)]
    assert await log.stored("email_contact") == [("x@y.fr",)]


async def test_a_correction_that_was_rejected_first(log: Partition) -> None:
    """A correction of the correction completes the row of the first import."""
    log.append(company(1, **line(1, dropped=[VALUE])))
    log.append(company(1, None, **standing(2, OTHER)))
    await log.write_all(1)
    assert await lacking(log) == 1
    log.append(company(1, **standing(2, THIRD, OTHER)))

    await log.write_all(from_=2)

    assert await kept(log) == [(2, "x@", THIRD)]
    assert (await lacking(log), await log.progress(OTHER)) == (0, Counter(inserted=0, updated=0) + Counter(unchanged=1))  # fmt: skip


async def test_the_topic(log: Partition, topics: Topics) -> None:
    """The row as it came with what it lacks; then, if a correction completed it, a marker."""
    log.append(company(1, **line(1, dropped=[VALUE])))
    log.append(company(2, email_contact="a@b"))
    log.append(company(1, **standing(2, OTHER)))
    await log.write_all(1, 2)
    ours = Outbox(log.pool, topics.send, Encoder("import_event", 1), "fox.", lambda: [log.tp])

    assert await ours._publish_rejects(DROPPED)
    assert await ours._publish_resolved(DROPPED)
    assert not await ours._publish_rejects(DROPPED)
    assert not await ours._publish_rejects()

    (of_file, its), (of_upstream, others), (marker, which) = topics.of("fox.dropped-values")
    assert [of_file, of_upstream] == [log.records[0].value, log.records[1].value]
    assert json.loads(its["ingest.dropped"]) == [VALUE]
    assert (its["ingest.import_id"], its["ingest.line"]) == (IMPORT.encode(), b"2")
    assert json.loads(others["ingest.dropped"])[0]["value"] == "a@b"
    assert {name: others[f"ingest.{name}"] for name in ("topic", "partition", "offset", "key")} == {
        "topic": log.topic.encode(),
        "partition": b"0",
        "offset": b"1",
        "key": siren(2).encode(),
    }
    assert not [name for name in (*its, *others) if name.startswith("__connect.")]
    assert (marker, which) == (None, {"ingest.settles": its["ingest.dropped_id"]})
    assert topics.of("fox.rejects") == []


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Four lines: two lack values, one is rejected."""
    path = tmp_path / "entreprises.csv"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".jsonl"])
def test_the_report_names_them_and_its_correction_completes_the_rows(
    site: Site, faulty: Path, tmp_path: Path, suffix: str
) -> None:
    """Sent back as it is the report changes nothing; a corrected value updates its row."""
    site.worker()
    first = imported(site, faulty).json()
    assert (first["status"], counts(first)) == ("PARTIAL", {"inserted": 3, "rejected": 1})
    assert first["dropped_rows"] == 2
    path = tmp_path / f"erreurs{suffix}"

    rows = errors(site, first["id"], path)
    assert [(row["_line"], row["_column"], row["_code"]) for row in rows] == [
        ("4", "SIREN", "malformed"),
        ("3", "Courriel", "malformed"),
        ("5", "CP | Téléphone", "malformed | malformed"),
    ]
    assert rows[1]["_message"].startswith(
        "L'adresse e-mail « x@ » n'est pas valide : elle n'a pas été enregistrée ; le reste de la ligne "
        "l'a été."
    )
    assert (rows[1]["Courriel"], rows[2]["CP"]) == ("x@", "2A300")
    shown = site.foxstream("errors", first["id"]).stdout
    assert "ligne 3, colonne Courriel : L'adresse e-mail « x@ »" in shown

    # As it is: a newer address of another file is not undone by an old one.
    site.execute("UPDATE enterprise_entreprise SET nom = 'Newer' WHERE siren = '100000017'")
    again = imported(site, path).json()
    assert (again["total_rows"], counts(again)) == (1, {"rejected": 1})
    assert site.query("SELECT nom FROM enterprise_entreprise WHERE siren = '100000017'") == [
        ("Newer",)
    ]
    assert status(site, first["id"])["dropped_rows"] == 2

    rows[1]["Courriel"] = "x@y.fr"
    save(path, rows[1:])
    done = imported(site, path).json()
    assert (done["parent"], done["total_rows"], done["settles"]) == (first["id"], 1, 0)
    assert counts(done) == {"updated": 1}
    assert site.query(
        "SELECT nom, email_contact FROM enterprise_entreprise WHERE siren = '100000017'"
    ) == [("Incomplète", "x@y.fr")]
    eventually(lambda: status(site, first["id"])["dropped_rows"] == 1)
    left = status(site, first["id"])
    assert (left["status"], counts(left)) == (first["status"], counts(first))
    eventually(lambda: [row["_line"] for row in errors(site, first["id"], path)] == ["4", "5"])
    balanced(site)


def test_a_correction_that_corrects_nothing(site: Site, faulty: Path, tmp_path: Path) -> None:
    """It is refused before anything is published, by a check as well; the first report stays."""
    site.worker()
    first = imported(site, faulty).json()
    path = tmp_path / "erreurs.csv"
    rows = errors(site, first["id"], path)
    save(path, rows[1:])

    for command in ("check", "import"):
        done = site.foxstream(command, path, "--type", "entreprise")
        assert (done.code, "Aucune ligne de ce rapport n'a été corrigée" in done.stdout + done.stderr) == (4, True)  # fmt: skip

    assert len(errors(site, first["id"], path)) == 3


def test_rows_of_upstream_systems(site: Site, upstream: Upstream) -> None:
    """The sender finds on a topic what of its rows is not stored, each row once."""
    site.worker()
    for number in range(20):
        upstream.send_company(number, email_contact="a@b" if number % 2 else "a@b.fr")
    upstream.flush()

    eventually(lambda: len(site.messages("dropped-values")) == 10)

    found = [headers(message) for message in site.messages("dropped-values")]
    assert {each["ingest.key"].decode() for each in found} == {
        siren(number) for number in range(1, 20, 2)
    }
    assert {(value["column"], value["code"], value["value"]) for each in found for value in json.loads(each["ingest.dropped"])} == {("email_contact", "malformed", "a@b")}  # fmt: skip
    assert len({each["ingest.dropped_id"] for each in found}) == 10
    assert site.query("SELECT count(*), count(NULLIF(email_contact, '')) FROM enterprise_entreprise") == [(20, 10)]  # fmt: skip
    assert site.messages("rejects") == []


def test_they_are_reported_once_although_workers_die(site: Site, upstream: Upstream) -> None:
    """Whatever is published twice has one id."""
    worker = site.worker()
    for number in range(3000):
        upstream.send_company(number, telephone="no")
    upstream.flush()
    eventually(lambda: site.query("SELECT count(*) > 0 FROM ingest.dropped_values") == [(True,)])
    worker.kill()
    site.worker()

    def ids() -> set[bytes]:
        return {
            headers(message)["ingest.dropped_id"] for message in site.messages("dropped-values")
        }

    eventually(lambda: len(ids()) == 3000)
    eventually(
        lambda: (
            site.query("SELECT count(*) FROM ingest.dropped_values WHERE published_at IS NULL")
            == [(0,)]
        )
    )
    assert len(ids()) == 3000
    assert site.query("SELECT count(*) FROM ingest.dropped_values") == [(3000,)]
