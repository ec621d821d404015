"""A file from the command line to the tables, with a real worker."""

import csv
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import fastavro
import httpx
import pytest
from openpyxl import Workbook, load_workbook

from tests.fix_stack import Finished, Site

CITIES = Path(__file__).parents[2] / "docs" / "samples" / "villes-france.csv"

OUTCOMES = ("inserted", "updated", "unchanged", "duplicate", "stale", "rejected", "parked")

# Shaped like a public list of third places joined with SIRENE: other names for the columns than
# ours, postal codes that went through a spreadsheet as decimals, and lines without a SIREN.
HEADER = [
    *("ID_UNIQUE", "NOM", "Insee", "NOM_STRC_PORT", "ADRESSE", "CODPOST", "VILLE", "INTERNET"),
    *("siren", "confiance"),
]
WITHOUT_SIREN = (5, 11, 12, 23, 38, 44)
WITHOUT_ANYTHING = 38
SECOND_OF_ITS_SIREN = 31


def place(number: int) -> list[str]:
    """Line `number` of the list, from 1."""
    if number == WITHOUT_ANYTHING:
        return [*[""] * 9, "scoring"]
    if number == SECOND_OF_ITS_SIREN:
        return [f"{number}.0", *place(7)[1:]]
    return [
        f"{number}.0",
        f"Café l’Été n° {number}, œuvre « commune » ; à deux",
        f"{1000 + number}",
        "" if number % 3 else "Association | des 'lieux'",
        f'{number} rue de la "Forêt"',
        f"{number * 997 + 500}.0",
        "Saint-Étienne",
        "" if number % 5 else f"https://lieu{number}.example.org/à-propos",
        "" if number in WITHOUT_SIREN else f"{4_000_007 + number * 17_000_000:09d}",
        "1.0",
    ]


PLACES = [place(number) for number in range(1, 48)]


def written(delimiter: str, encoding: str, end: str = "\n") -> bytes:
    text = StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([HEADER, *PLACES])
    return text.getvalue().encode(encoding)


def workbook(convert: Callable[[int, str], object]) -> bytes:
    """The list as .xlsx, each cell as `convert` makes it of its column and text."""
    book = Workbook()
    sheet = book.create_sheet("Lieux", 0)
    sheet.append(HEADER)
    for row in PLACES:
        sheet.append([convert(at, text) for at, text in enumerate(row)])
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def number_where_it_looks_like_one(column: int, text: str) -> object:
    """As a spreadsheet does by itself: a SIREN loses its leading zeros."""
    return float(text) if text and HEADER[column] in ("ID_UNIQUE", "CODPOST", "siren") else text


VARIANTS = {
    "comma.csv": written(",", "utf-8"),
    "excel.csv": written(";", "utf-8-sig", "\r\n"),
    "ansi.csv": written(";", "cp1252", "\r\n"),
    "unicode.txt": written("\t", "utf-16"),
    "pipe.csv": written("|", "utf-8"),
    "texts.xlsx": workbook(lambda _, text: text),
    "numbers.xlsx": workbook(number_where_it_looks_like_one),
}


def counts(state: dict[str, Any]) -> dict[str, int]:
    """The outcomes that a state counts, without those that did not occur."""
    return {name: state[name] for name in OUTCOMES if state[name]}


def balanced(state: dict[str, Any]) -> bool:
    """Whether every row that was read has one outcome, and the sums say so."""
    success = sum(state[name] for name in OUTCOMES[:5])
    return (state["success_rows"], state["error_rows"], state["total_rows"]) == (
        success,
        state["rejected"],
        success + state["rejected"],
    )


def foreign_states(site: Site) -> dict[str, dict[str, Any]]:
    """The import log, as a system reads it that knows Kafka, Avro and the registry and not us."""
    registry = site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]
    newest: dict[str, dict[str, Any]] = {}
    for message in site.messages("imports.log"):
        value = message.value()
        assert value[0] == 0
        schema_id = int.from_bytes(value[1:5], "big")
        answer = httpx.get(f"{registry}/schemas/ids/{schema_id}", trust_env=False)
        schema = fastavro.parse_schema(json.loads(answer.json()["schema"]))
        state: Any = fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)
        key = message.key().decode()
        assert key == state["id"]
        assert key not in newest or newest[key]["version"] < state["version"]
        newest[key] = state
    return newest


def test_a_city_list_is_imported_refused_and_imported_again(site: Site) -> None:
    """39,192 lines are 35,511 cities; the same file is refused, and by force changes nothing."""
    site.worker()
    command = ("import", CITIES, "--type", "ville", "--json")

    first = site.foxstream(*command)
    cities = "SELECT slug, updated_at FROM location_ville ORDER BY slug"
    before = site.query(cities)
    again = site.foxstream(*command)
    forced = site.foxstream(*command, "--force")

    assert (first.code, again.code, forced.code) == (0, 4, 0), first.stderr + forced.stderr
    state = first.json()
    assert counts(state) == {"inserted": 35_511, "duplicate": 3_681}
    assert (state["status"], state["total_rows"], state["success_rate"]) == ("SUCCESS", 39_192, 100)
    assert balanced(state)
    assert site.query(
        """
        SELECT count(DISTINCT slug), min(length(code_postal_principal)),
            max(length(code_postal_principal)), count(*) FILTER (WHERE code_postal_principal ~ '^0')
        FROM location_ville
        """
    ) == [(35_511, 5, 5, len(four_digits()))]

    assert again.json()["error"]["code"] == "already-imported"
    assert state["id"] in again.stderr

    repeated = forced.json()
    assert repeated["id"] != state["id"]
    assert counts(repeated) == {"unchanged": 35_511, "duplicate": 3_681}
    assert site.query(cities) == before

    states = foreign_states(site)
    assert states.keys() == {state["id"], repeated["id"]}
    for told in (state, repeated):
        assert balanced(states[told["id"]])
        assert {name: states[told["id"]][name] for name in ("status", "version", *OUTCOMES)} == {
            name: told[name] for name in ("status", "version", *OUTCOMES)
        }
        assert site.query(
            """
            SELECT import_type, status, file_name, total_rows, success_rows, error_rows, errors,
                completed_at >= started_at
            FROM core_importlog WHERE id = %s
            """,
            told["id"],
        ) == [("VILLE", "SUCCESS", CITIES.name, 39_192, 39_192, 0, [], True)]


def four_digits() -> set[str]:
    """The cities of the list whose postal code lost its zero."""
    lines = CITIES.read_text(encoding="utf-8").splitlines()[1:]
    return {line for line in lines if len(line.rpartition("(")[2]) == len("1400)")}


def imported(site: Site, path: Path, *words: str) -> Finished:
    return site.foxstream("import", path, "--type", "entreprise", "--json", *words)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The list of third places in every variant, by name."""
    paths = {name: tmp_path / name for name in VARIANTS}
    for name, path in paths.items():
        path.write_bytes(VARIANTS[name])
    return paths


def rows_of(report: Path) -> list[dict[str, str]]:
    """The lines of an error report."""
    if report.suffix == ".jsonl":
        return [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    rows: list[Sequence[Any]]
    if report.suffix == ".xlsx":
        rows = [
            ["" if cell is None else cell for cell in row]
            for row in load_workbook(report).worksheets[0].iter_rows(values_only=True)
        ]
    else:
        rows = list(csv.reader(StringIO(report.read_text(encoding="utf-8-sig"), newline="")))
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_a_list_with_faults_is_imported_in_part(
    site: Site, files: dict[str, Path], tmp_path: Path
) -> None:
    """Good lines are written, bad ones reported with all their faults, whatever the format is."""
    site.worker()

    done = imported(site, files["comma.csv"])

    state = done.json()
    assert (done.code, state["status"], state["total_rows"]) == (3, "PARTIAL", 47)
    assert counts(state) == {"inserted": 40, "duplicate": 1, "rejected": 6}
    assert balanced(state)
    assert state["success_rate"] == 87.23
    assert site.query("SELECT count(*) FROM enterprise_entreprise") == [(40,)]
    [(errors,)] = site.query("SELECT errors FROM core_importlog WHERE id = %s", state["id"])
    assert [error["row"] for error in errors] == [number + 1 for number in WITHOUT_SIREN]

    for suffix in (".csv", ".xlsx", ".jsonl"):
        report = tmp_path / f"errors{suffix}"
        assert site.foxstream("errors", state["id"], "--output", report).code == 0
        rejects = rows_of(report)
        assert [[reject[name] for name in HEADER] for reject in rejects] == [
            PLACES[number - 1] for number in WITHOUT_SIREN
        ]
        for number, reject in zip(WITHOUT_SIREN, rejects, strict=True):
            faults = ["siren", "NOM"] if number == WITHOUT_ANYTHING else ["siren"]
            assert reject["_line"] == str(number + 1)
            assert reject["_column"].split(" | ") == faults
            assert reject["_code"].split(" | ") == ["missing-value"] * len(faults)
            assert [fault in reject["_message"] for fault in faults] == [True] * len(faults)

    business = """
        SELECT siren, nom, siret, nom_commercial, adresse, code_postal, ville_nom, naf_code,
            telephone, email_contact, site_web, is_active, updated_at
        FROM enterprise_entreprise ORDER BY siren
        """
    companies = site.query(business)
    assert companies[0][:2] == ("021000007", PLACES[0][1])
    assert {len(company[5]) for company in companies} == {5}
    for name in VARIANTS.keys() - {"comma.csv"}:
        # Whatever a variant lost would be erased by this policy, and counted as an update.
        done = imported(site, files[name], "--policy", "overwrite", "--yes")
        assert done.code == 3, (name, done.stderr)
        assert counts(done.json()) == {"unchanged": 40, "duplicate": 1, "rejected": 6}, name
        assert site.query(business) == companies, name


def test_a_sheet_with_fewer_columns_overwrites_nothing_else(site: Site, tmp_path: Path) -> None:
    """A summary behind the data leaves the columns as they are that it does not have."""
    book = Workbook()
    data, summary = book.create_sheet("Données", 0), book.create_sheet("Synthèse", 1)
    for row in (
        ["siren", "nom", "ville"],
        ["732829320", "Un", "Lyon"],
        ["005520135", "Deux", "Brest"],
    ):
        data.append(row)
    for row in (["siren", "nom"], ["732829320", "Un SARL"]):
        summary.append(row)
    path = tmp_path / "classeur.xlsx"
    book.save(path)
    site.worker()

    done = imported(site, path, "--policy", "overwrite")

    assert done.code == 0, done.stderr
    assert site.query("SELECT nom, ville_nom FROM enterprise_entreprise ORDER BY siren") == [
        ("Deux", "Brest"),
        ("Un SARL", "Lyon"),
    ]


def at_a_terminal(site: Site, answer: str, *words: str | Path) -> tuple[int, str]:
    """Exit code and output of a `foxstream` command whose question a person answers so."""
    terminal, inside = pty.openpty()
    code = "from producers.cli import app; app()"
    command = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        env={**os.environ, **site.environment},
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )
    site.commands.append(command)
    os.close(inside)
    shown = bytearray()
    try:
        while b"[o/N]" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, f"{answer}\n".encode())
        while some := os.read(terminal, 4096):
            shown += some
    except OSError:
        pass  # EIO: the command has closed its end
    finally:
        os.close(terminal)
    return command.wait(60), shown.decode()


def test_a_person_at_a_terminal_is_asked_what_overwrite_clears(site: Site, tmp_path: Path) -> None:
    """Once, with the number of cells; anything but yes imports nothing."""
    site.worker()
    before, after = tmp_path / "avant.csv", tmp_path / "apres.csv"
    before.write_text("siren;nom;ville\n732829320;Un;Lyon\n")
    after.write_text("siren;nom;ville\n732829320;Un;\n")
    assert imported(site, before).code == 0
    words = ("import", after, "--type", "entreprise", "--policy", "overwrite")
    town = "SELECT ville_nom FROM enterprise_entreprise"

    for answer in ("", "n", "pourquoi pas"):
        code, shown = at_a_terminal(site, answer, *words)
        assert (code, "1 cellule sans valeur (ville_nom : 1)" in shown) == (4, True), shown
        assert site.query(town) == [("Lyon",)]
    assert site.query("SELECT count(*) FROM ingest.imports") == [(1,)]

    code, shown = at_a_terminal(site, "Oui", *words)

    assert (code, shown.count("[o/N]")) == (0, 1), shown
    assert site.query(town) == [("",)]
