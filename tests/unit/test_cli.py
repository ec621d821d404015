"""The command line where there is no server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from producers.commands.arguments import Policy
from schemas.codec.framing import load
from tests.fix_files import zipped
from tests.fix_stack import Finished, run_preloaded, run_process

NOBODY = {"FOX_KAFKA_BOOTSTRAP": "127.0.0.1:1", "FOX_SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}


def foxstream(
    *words: str | Path, run: Callable[..., Finished] = run_preloaded, **environment: str
) -> Finished:
    """Runs a command; no server answers it."""
    return run("producers.cli", words, {**os.environ, **NOBODY, **environment})


@pytest.fixture
def companies(tmp_path: Path) -> Path:
    """A file of three valid companies."""
    path = tmp_path / "entreprises.csv"
    path.write_text("siren,nom\n552081317,EDF\n542051180,TOTAL\n775670417,LOREAL\n")
    return path


def test_help_loads_nothing_heavy() -> None:
    """Help is there at once: no Kafka, no registry, no spreadsheet is loaded for it."""
    heavy = ("confluent_kafka", "fastavro", "httpx", "openpyxl", "pydantic", "rich.live")
    code = f"import sys, producers.cli; print([m for m in {heavy!r} if m in sys.modules])"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout == "[]\n"


@pytest.mark.parametrize("command", ["import", "check", "status", "list", "errors"])
def test_every_command_has_help(command: str) -> None:
    """And the whole program lists them."""
    assert foxstream(command, "--help").code == 0
    assert f"  {command} " in foxstream("--help").stdout


def test_policies_are_those_of_the_schema() -> None:
    """The command line offers what a row can carry."""
    [policy] = [
        field["type"]["symbols"]
        for field in load("import_line")["fields"]
        if field["name"] == "policy"
    ]
    assert policy == [policy.value for policy in Policy]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--type", "PERSONNE"), "ce type n'existe pas"),
        (("--type", "ENTREPRISE", "--policy", "replace"), "replace"),
        (("--type", "ENTREPRISE", "--column", "nom"), "COLONNE=CHAMP"),
        (("--type", "ENTREPRISE", "--column", "nom=prenom"), "siren"),
        ((), "--type manque"),
    ],
)
def test_wrong_usage_ends_with_2(companies: Path, arguments: tuple[str, ...], said: str) -> None:
    """And says what would be right."""
    done = foxstream("import", companies, *arguments)

    assert done.code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_not_there_ends_with_2(tmp_path: Path) -> None:
    """A missing file and a directory are mistakes in the command, not refusals."""
    missing = foxstream("import", tmp_path / "none.csv", "--type", "ENTREPRISE")
    directory = foxstream("check", tmp_path, "--type", "ENTREPRISE")

    assert (missing.code, directory.code) == (2, 2)
    assert "n'existe pas" in missing.stderr
    assert "n'est pas un fichier" in directory.stderr


def test_a_refused_file_ends_with_4_without_any_server(tmp_path: Path) -> None:
    """Servers are asked for nothing before the file is known to be good."""
    path = tmp_path / "vide.csv"
    path.write_text("siren,nom\n")

    done = foxstream("import", path, "--type", "ENTREPRISE", "--json")

    assert done.code == 4
    assert json.loads(done.stdout)["error"]["code"] == "no-rows"
    assert len(done.stderr.splitlines()) == 1


def test_no_server_is_one_sentence(companies: Path) -> None:
    """No traceback and none of librdkafka's own lines; exit code 5 within ten seconds."""
    done = foxstream("import", companies, "--type", "ENTREPRISE", "--json", run=run_process)

    assert done.code == 5
    assert [line.partition(" : ")[0] for line in done.stderr.splitlines()] == [
        "Kafka ne répond pas à l'adresse 127.0.0.1:1"
    ]
    assert json.loads(done.stdout)["error"]["code"] == "unreachable"


def test_a_setting_that_makes_no_sense_ends_with_2(companies: Path) -> None:
    """The sentence names the variable."""
    done = foxstream("import", companies, "--type", "ENTREPRISE", FOX_SCHEMA_REGISTRY_URL="nowhere")

    assert done.code == 2
    assert "FOX_SCHEMA_REGISTRY_URL" in done.stderr


@pytest.mark.parametrize("kind", ["ENTREPRISE", "entreprise", "Entreprise"])
def test_types_are_known_in_any_case(companies: Path, kind: str) -> None:
    """A check needs no server; `--dry-run` is a check."""
    done = foxstream("import", companies, "--type", kind, "--dry-run")

    assert done.code == 0
    assert "3 valides" in done.stdout


def test_check_tells_in_json_what_an_import_would_do(companies: Path) -> None:
    """One document, and the exit code says that some rows would be rejected."""
    with companies.open("a") as file:
        file.write("12AB,SANS SIREN\n552081317,EDF BIS\n")

    done = foxstream("check", companies, "--type", "ENTREPRISE", "--json")

    verdict = json.loads(done.stdout)
    assert done.code == 3
    assert tuple(
        verdict[name] for name in ("total_rows", "valid_rows", "rejected_rows", "duplicate_rows")
    ) == (5, 4, 1, 1)
    assert verdict["already_imported"] is None


def test_check_tells_what_each_column_is_taken_for(tmp_path: Path) -> None:
    """And in which line the header was found, below a title."""
    path = tmp_path / "titre.csv"
    path.write_text("Nos clients;;\nSIREN;Raison sociale;Activité\n732829320;Dupont;62.01Z\n")

    done = foxstream("check", path, "--type", "ENTREPRISE")

    header = "en-tête, ligne 2 : SIREN → siren, Raison sociale → nom, Activité → naf_code"
    assert header in done.stdout, done.stderr


def test_check_of_lines_that_are_left_out(tmp_path: Path) -> None:
    """They are named with the sheet, and the exit code says that the file is not whole."""
    path = tmp_path / "clients.zip"
    members = {
        "janvier.csv": b"siren;nom\n732829320;Un\n",
        "mars.csv": b"siren;enseigne principale\n005520135;Deux\n",
        "villes.csv": b"commune;cp;lat\nBrest;29200;48\n",
    }
    path.write_bytes(zipped(members))

    done = foxstream("check", path, "--type", "ENTREPRISE")

    assert done.code == 3
    assert "  « mars.csv » : 1 ligne n'a pas été lue. La colonne obligatoire « nom » manque" in (
        done.stdout
    )
    assert "  feuilles ou fichiers d'un autre contenu, non lus : villes.csv\n" in done.stdout
    assert "  1 feuille ou fichier d'un autre contenu, non lu\n" in done.stdout


def test_check_of_files_of_sirene(tmp_path: Path) -> None:
    """What will be skipped is counted, and what counts only if its company is known."""
    path = tmp_path / "StockEtablissement.csv"
    lines = ["552100554,55210055400014,true", "732829320,73282932000014,true"]
    branches = ["552100554,55210055400022,false", "552100554,55210055400030,false"]
    text = "\n".join(["siren,siret,etablissementSiege", *lines, *branches])
    path.write_text(text, encoding="utf-8")

    done = foxstream("check", path, "--type", "ENTREPRISE")

    assert "2 lignes, 2 valides, 0 rejetées" in done.stdout
    assert "  2 établissements secondaires ignorés\n" in done.stdout
    assert (
        "  2 lignes sans nom, prises en compte seulement si l'entreprise est connue\n"
        in done.stdout
    )

    path.write_text(
        f"siren,siret,etablissementSiege\n{lines[0]}\n{branches[0]}\n", encoding="utf-8"
    )
    done = foxstream("check", path, "--type", "ENTREPRISE")
    assert "  1 ligne sans nom, prise en compte seulement si l'entreprise est connue" in done.stdout


def test_check_of_a_refused_file_ends_with_4(tmp_path: Path) -> None:
    """The document says why."""
    path = tmp_path / "autre.csv"
    path.write_text("a,b\n1,2\n")

    done = foxstream("check", path, "--type", "ENTREPRISE", "--json")

    assert done.code == 4
    assert json.loads(done.stdout)["refusal"]["message"]


def test_an_unknown_kind_of_report_ends_with_2() -> None:
    """Before any server is asked."""
    done = foxstream("errors", "an-id", "--output", "erreurs.pdf")

    assert done.code == 2
    assert ".xlsx" in done.stderr


@pytest.mark.parametrize("limits", [[], ["prlimit", "--as=900000000"]], ids=["none", "lower"])
def test_a_file_that_needs_too_much_memory(companies: Path, limits: list[str]) -> None:
    """It is refused, as the gateway refuses it, before the machine has none left."""
    greedy = (
        "from producers.imports import preview\n"
        "preview.preview_of = lambda *_: [bytes(1 << 20) for _ in range(1 << 14)]\n"
        "from producers.cli import app; app()"
    )
    words = ["check", str(companies), "--type", "entreprise", "--json"]

    done = subprocess.run(
        [*limits, sys.executable, "-c", greedy, *words], capture_output=True, text=True, check=False
    )

    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "too-large"
