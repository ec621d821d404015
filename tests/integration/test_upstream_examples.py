"""docs/upstream.md: its examples do what it says, and it names what there is."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import murmur2

from deploy.local.jars.cache import JarCache
from deploy.local.local_settings import LocalSettings
from processors.operator.upstream_rejects import ATTEMPT
from processors.rows.outbox import UnpublishedReject, dropped_headers
from processors.rows.outbox import headers as reject_headers
from schemas.codec.framing import load
from schemas.import_types import IMPORT_TYPES
from schemas.runtime.registry import Registry
from tests.fix_stack import Site, eventually, headers
from tests.integration.test_strange_records import settled

DOCS = Path(__file__).parents[2] / "docs"
PYTHON = DOCS / "examples" / "upstream.py"
JAVA = DOCS / "examples" / "Upstream.java"

OLD, NEW = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00+01:00"


def run(site: Site, *argv: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, argv)),
        env={**os.environ, **site.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def publish(site: Site, folder: Path, rows: Sequence[Any], *words: str) -> int:
    path = folder / "companies.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return run(site, sys.executable, PYTHON, "publish", path, *words).returncode


def names(site: Site) -> dict[str, str]:
    """Names of the companies, by SIREN."""
    return dict(site.query("SELECT siren, nom FROM enterprise_entreprise"))


def test_rows_and_what_was_refused(site: Site, tmp_path: Path) -> None:
    """Rows are merged by their moment, whatever comes late; a refused one comes back with its reason."""
    schema = deepcopy(load("entreprise_row"))
    schema["fields"].append({"name": "effectif", "type": ["null", "int"], "default": None})
    with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        # Of senders that are ahead of the workers. The example takes the newest.
        newer = registry.register(f"{site.prefix}rows.entreprise-value", schema)
    site.worker()
    company = {"siren": "732829320", "adresse": "1 rue Haute", "email_contact": "a@b.fr"}
    bad = {"siren": "12", "nom": "B"}

    assert publish(site, tmp_path, [company | {"nom": "A", "observed_at": OLD}, bad]) == 0
    assert publish(site, tmp_path, [{"siren": "552100554", "nom": "C", "effectif": 3}]) == 0
    eventually(lambda: len(names(site)) == 2)
    late = [
        {"siren": "732829320", "nom": "New", "observed_at": NEW, "adresse": ""},
        company | {"nom": "A", "observed_at": OLD},
        {"siren": "005520135", "nom": "Last", "email_contact": "a@b"},
    ]
    assert publish(site, tmp_path, late) == 0
    eventually(lambda: settled(site))

    assert names(site) == {"732829320": "New", "552100554": "C", "005520135": "Last"}
    assert site.query(
        "SELECT adresse, email_contact, ingest_observed_at FROM enterprise_entreprise"
        " WHERE siren = '732829320'"
    ) == [("", "a@b.fr", datetime(2024, 12, 31, 23, tzinfo=UTC))]
    told = eventually(lambda: run(site, sys.executable, PYTHON, "rejects").stdout)
    [reject] = map(json.loads, told.splitlines())
    assert reject["key"] == "12"
    assert [(fault["column"], fault["code"]) for fault in reject["errors"]] == [
        ("siren", "malformed")
    ]
    assert bytes.fromhex(reject["value"])[:5] == b"\0" + newer.to_bytes(4, "big")
    assert site.query("SELECT id::text FROM ingest.rejects") == [(reject["reject"],)]
    assert run(site, sys.executable, PYTHON, "rejects").stdout == ""
    lacking = eventually(lambda: run(site, sys.executable, PYTHON, "dropped").stdout)
    [dropped] = map(json.loads, lacking.splitlines())
    assert dropped["key"] == "005520135"
    assert [(each["column"], each["code"], each["value"]) for each in dropped["values"]] == [
        ("email_contact", "malformed", "a@b")
    ]
    assert publish(site, tmp_path, [{"siren": "732829320", "nome": "A"}]) != 0


def test_all_of_a_file_or_nothing(site: Site, tmp_path: Path) -> None:
    """A transaction that the example aborts leaves nothing, and holds up nothing behind it."""
    site.worker()
    rows = [{"siren": f"{number:09d}", "nom": f"Company {number}"} for number in range(1, 301)]

    assert publish(site, tmp_path, [*rows, {"siren": "1", "nom": 7}], "--transaction") != 0
    assert publish(site, tmp_path, [{"siren": "732829320", "nom": "After"}]) == 0
    eventually(lambda: names(site) == {"732829320": "After"})
    assert publish(site, tmp_path, rows, "--transaction") == 0

    eventually(lambda: len(names(site)) == 301)
    assert site.query("SELECT count(*) FROM ingest.rejects") == [(0,)]


def test_java(site: Site, tmp_path: Path) -> None:
    """The Java program publishes what the workers write, keyed as the topic wants it."""
    javac, java = shutil.which("javac"), shutil.which("java")
    if javac is None or java is None:
        pytest.skip("no JDK on this machine: docs/examples/Upstream.java is not compiled, not run")
    jars = JarCache(LocalSettings().local_cache.expanduser().resolve(), print)
    avro = (jars.registry() / "lib" / "main").glob("org.apache.avro.avro-*.jar")
    path = ":".join(map(str, [tmp_path, *jars.kafka(), *avro]))
    compiled = run(site, javac, "-cp", path, "-d", tmp_path, JAVA)
    assert compiled.returncode == 0, compiled.stderr
    site.worker()

    done = run(site, java, "-cp", path, "Upstream", "732829320", "Crêperie", "552100554", "B")

    assert done.stdout == "2 rows published\n", done.stderr
    eventually(lambda: names(site) == {"732829320": "Crêperie", "552100554": "B"})
    for message in site.messages("rows.entreprise"):
        assert message.partition() == murmur2(message.key(), 4)
        assert headers(message)["sender"] == b"shop"


def test_the_python_example_needs_nothing_of_ours() -> None:
    """Its imports are of the standard library, and the two packages that it names."""
    tree = ast.parse(PYTHON.read_text(encoding="utf-8"))
    found = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert found - sys.stdlib_module_names == {"confluent_kafka", "fastavro"}


def test_the_document_names_what_there_is() -> None:
    """Every row topic, its schema, and every header of a reject and of dropped values."""
    text = (DOCS / "upstream.md").read_text(encoding="utf-8")
    reject: UnpublishedReject = {
        "headers": [],
        "faults": [{"column": None, "code": "c", "message": "m"}],
        "topic": "t",
        "partition": 0,
        "offset": 0,
        "import_id": None,
        "line": None,
        "sheet": None,
        "id": uuid4(),
        "appended_at": datetime.now(UTC),
        "key": b"k",
        "value": None,
    }
    words = {
        *(f"fox.{each.topic.name}" for each in IMPORT_TYPES.values()),
        *(f"schemas/avro/{each.topic.record}.avsc" for each in IMPORT_TYPES.values()),
        *(name for name, _ in reject_headers(reject)),
        *(name for name, _ in dropped_headers(reject)),
        ATTEMPT,
    } - {"__connect.errors.connector.name", "__connect.errors.stage"}

    assert [word for word in sorted(words) if word not in text] == []
