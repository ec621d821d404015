"""How commands end where something is wrong: the exit code, and one sentence that says what."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from processors.kafka.broker_topics import create_topics
from schemas.runtime.server_settings import ServerSettings
from tests.fix_stack import Finished, Site

USAGE, REFUSED, UNREACHABLE = 2, 4, 5

GOOD = b"siren,nom\n123456782,Nom\n"

REFUSALS = {
    "empty.csv": (b"", "empty-file"),
    "blank.csv": (b" \r\n\n ;;\n", "empty-file"),
    "header.csv": (b"siren,nom\n", "no-rows"),
    "unknown.csv": (b"a,b\n1,2\n", "unknown-columns"),
    "required.csv": (b"siren,adresse\n123456782,1 rue A\n", "missing-label"),
    "cities.csv": (b"nom,code_postal,population\nLyon,69001,5\n", "wrong-type"),
    "broken.xlsx": (b"PK\x03\x04" + b"\0" * 500, "broken-workbook"),
    "picture.csv": (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "unsupported-format"),
    "latin\udce9.csv": (b"siren,nom\n", "no-rows"),
}


@pytest.fixture(autouse=True)
def real(site: Site) -> None:
    """Commands run as in production, in processes that load what they use."""
    site.quick = False


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which every connection is refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "companies.csv"
    file.write_bytes(GOOD)
    return file


def one_sentence(done: Finished) -> str:
    """What a command that failed told a person: one line, no traceback."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stdout
    return lines[0]


def together(commands: Mapping[str, tuple[Site, tuple[str | Path, ...]]]) -> dict[str, Finished]:
    """Runs commands side by side: most of their time they wait. The first word is the program."""

    def run(command: tuple[Site, tuple[str | Path, ...]]) -> Finished:
        site, (program, *words) = command
        return (site.foxstream if program == "foxstream" else site.foxstream_worker)(*words)

    with ThreadPoolExecutor(6) as pool:
        return dict(zip(commands, pool.map(run, commands.values()), strict=True))


def test_a_file_that_cannot_be_imported_is_refused(site: Site, tmp_path: Path) -> None:
    """Exit code 4, the reason in one sentence and as JSON; nothing is published."""
    commands: dict[str, tuple[Site, tuple[str | Path, ...]]] = {}
    for name, (content, _) in REFUSALS.items():
        (tmp_path / name).write_bytes(content)
        words = ("foxstream", "import", tmp_path / name, "--type", "entreprise", "--json")
        commands[name] = (site, words)
    words = ("foxstream", "import", tmp_path / "header.csv", "--type", "entreprise", "--json")
    commands["no encoding"] = (site, (*words, "--encoding", "hex"))

    codes = {name: code for name, (_, code) in REFUSALS.items()}
    codes["no encoding"] = "unknown-encoding"
    for name, done in together(commands).items():
        assert (name, REFUSED) == (name, done.code), done.stderr
        error = json.loads(done.stdout)["error"]
        assert (name, codes[name]) == (name, error["code"])
        assert one_sentence(done) == error["message"]
    assert site.messages("imports.events") == []


def test_a_wrong_use_is_told(site: Site, good: Path, tmp_path: Path) -> None:
    """Exit code 2 for what is no file, no type, no column, no kind of worker."""
    missing = tmp_path / "no\udce9.csv"
    a_file = ("foxstream", "import", good, "--type")
    commands: dict[str, tuple[Site, tuple[str | Path, ...]]] = {
        "missing-file": (site, ("foxstream", "import", missing, "--type", "ville", "--json")),
        "not-a-file": (site, ("foxstream", "import", tmp_path, "--type", "ville", "--json")),
        "usage": (site, (*a_file, "planet", "--json")),
        "usage ": (site, (*a_file, "entreprise", "--column", "nom", "--json")),
    }

    for name, done in together(commands).items():
        assert (name, USAGE) == (name, done.code), done.stderr
        error = json.loads(done.stdout)["error"]
        message = error["message"].encode(errors="backslashreplace").decode()
        assert (error["code"], message) == (name.strip(), one_sentence(done))
    assert site.foxstream_worker("run", "planets").code == USAGE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_told(site: Site, good: Path) -> None:
    """Exit code 2."""
    good.chmod(0)

    done = site.foxstream("import", good, "--type", "entreprise", "--json")

    assert (done.code, done.json()["error"]["code"]) == (USAGE, "unreadable")


def test_an_unreachable_server_is_named(site: Site, good: Path, nobody: str) -> None:
    """Exit code 5, with the address that does not answer."""
    without_kafka = replace(site, settings={"FOX_KAFKA_BOOTSTRAP": nobody})
    without_registry = replace(site, settings={"FOX_SCHEMA_REGISTRY_URL": f"http://{nobody}"})
    without_database = replace(
        site, settings={"FOX_DATABASE_URL": f"postgresql://foxstream@{nobody}/foxstream"}
    )
    imports = ("foxstream", "import", good, "--type", "entreprise", "--json")
    commands: dict[str, tuple[Site, tuple[str | Path, ...]]] = {
        "import without Kafka": (without_kafka, imports),
        "status without Kafka": (without_kafka, ("foxstream", "status", "x", "--json")),
        "run without Kafka": (without_kafka, ("worker", "run")),
        "topics without Kafka": (without_kafka, ("worker", "topics")),
        "import without registry": (without_registry, imports),
        "run without registry": (without_registry, ("worker", "run")),
        "run without database": (without_database, ("worker", "run")),
        "schemas without registry": (without_registry, ("worker", "schemas", "register")),
        "migrate without database": (without_database, ("worker", "migrate")),
    }

    for name, done in together(commands).items():
        assert (name, UNREACHABLE) == (name, done.code), done.stderr
        if "--json" in commands[name][1]:
            error = json.loads(done.stdout)["error"]
            assert (error["code"], error["message"]) == ("unreachable", one_sentence(done)), name
        told = [line for line in done.stderr.splitlines() if "metrics are served" not in line]
        assert len(told) == 1, (name, done.stderr)
        assert nobody.rpartition(":")[2] in told[0], name


def test_what_is_not_prepared_is_named(site: Site, good: Path) -> None:
    """Exit code 2, with the command that prepares it."""
    name = site.database_url.rpartition("/")[2]
    with psycopg.connect(site.stack.environment["FOX_DATABASE_URL"], autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}_empty".encode())
    unmigrated = replace(site, database_url=f"{site.database_url}_empty")
    without_topics = replace(site, prefix=f"{site.prefix}nothing.")
    without_schemas = replace(site, prefix=f"{site.prefix}topics.")
    create_topics(
        ServerSettings(
            kafka_bootstrap=site.stack.environment["FOX_KAFKA_BOOTSTRAP"],
            topic_prefix=without_schemas.prefix,
        )
    )
    imports = ("foxstream", "import", good, "--type", "entreprise", "--json")
    commands: dict[str, tuple[Site, tuple[str | Path, ...]]] = {
        "migrate": (unmigrated, ("worker", "run")),
        "topics": (without_topics, ("worker", "run")),
        "schemas": (without_schemas, ("worker", "run")),
        "topics ": (without_topics, imports),
        "schemas ": (without_schemas, imports),
    }

    for prepares, done in together(commands).items():
        assert (prepares, USAGE) == (prepares, done.code), done.stderr
        if "--json" in commands[prepares][1]:
            error = json.loads(done.stdout)["error"]
            assert (error["code"], error["message"]) == ("not-ready", one_sentence(done))
        told = [line for line in done.stderr.splitlines() if "metrics are served" not in line]
        assert len(told) == 1, done.stderr
        assert f"foxstream-worker {prepares.strip()}" in told[0]


def test_json_is_one_document(site: Site, good: Path) -> None:
    """Whatever the command, its end and the file's name, standard output holds that and no more."""
    bad = good.with_name("no utf-8 \udce9.csv")
    bad.write_bytes(GOOD + b"12,Nom\n,\n")
    site.worker()

    ends = {
        "check": site.foxstream("check", bad, "--type", "entreprise", "--json"),
        "dry run": site.foxstream("import", bad, "--type", "entreprise", "--json", "--dry-run"),
        "import": site.foxstream("import", bad, "--type", "entreprise", "--json"),
        "again": site.foxstream("import", bad, "--type", "entreprise", "--json"),
        "list": site.foxstream("list", "--json"),
        "unknown": site.foxstream("status", "x", "--json"),
    }

    documents = {name: json.loads(done.stdout) for name, done in ends.items()}
    assert {name: done.code for name, done in ends.items()} == {
        "check": 3,
        "dry run": 3,
        "import": 3,
        "again": 4,
        "list": 0,
        "unknown": 4,
    }
    assert documents["check"] == documents["dry run"]
    assert documents["check"]["rejected_rows"] == documents["import"]["rejected"] == 1
    assert documents["list"] == [documents["import"]]
    status = site.foxstream("status", documents["import"]["id"], "--json")
    assert (status.code, status.json()) == (3, documents["import"])
    assert documents["unknown"]["error"]["code"] == "unknown-import"
