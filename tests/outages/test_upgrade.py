"""An upgrade while imports go on: workers, commands, records and a database of two versions at once."""

import csv
import json
import re
from pathlib import Path
from shutil import copytree

import httpx
import pytest

from deploy.local.processes.ports import free_port
from deploy.local.processes.process import GuardedProcess
from tests.fix_files import ROOT
from tests.fix_stack import Site, eventually
from tests.next_version import FIELD, write_next_version

ROWS = 3_000


@pytest.fixture
def upgraded(site: Site, tmp_path: Path) -> Site:
    """The same site, for whose commands and workers the next version is installed."""
    write_next_version(tmp_path / "next")
    return Site(
        site.stack,
        site.prefix,
        site.database_url,
        site.spawned,  # which `site` ends
        {"PYTHONPATH": str(tmp_path / "next"), "PYTHONSAFEPATH": "1"},
    )


def cities(path: Path, first: int) -> Path:
    """ROWS cities, each with a name for its people."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ville", "code postal", "population", FIELD])
        writer.writerows(
            [f"Ville {n}", f"{10_000 + n % 80_000}", n, f"Gens de {n}"]
            for n in range(first, first + ROWS)
        )
    return path


def worker(site: Site) -> tuple[GuardedProcess, int]:
    """With the port of its metrics."""
    port = free_port()
    settings = {**site.settings, "FOX_METRICS_PORT": str(port)}
    of = Site(site.stack, site.prefix, site.database_url, site.spawned, settings)
    return of.worker(), port


def ended(process: GuardedProcess) -> int:
    """The exit code of a worker that is asked to end."""
    process.stop()
    return process.wait()


def written(port: int) -> float:
    """Cities that the worker has written so far; -1 while it is not ready."""
    try:
        if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code != 200:
            return -1
        told = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    except httpx.TransportError:
        return -1
    found = re.findall(r'fox_rows_total\{[^}]*type="VILLE"[^}]*\} ([0-9.e+]+)', told)
    return sum(map(float, found))


def imported(site: Site, path: Path, *words: str) -> tuple[int, int]:
    """Rows inserted, and updated."""
    done = site.foxstream("import", path, "--type", "VILLE", "--json", *words)
    assert done.code == 0, done.stderr
    state = done.json()
    assert (state["status"], state["success_rows"]) == ("SUCCESS", ROWS)
    return state["inserted"], state["updated"]


def known(site: Site) -> tuple[int, int]:
    """Cities, and those whose people have a name."""
    [(all_, named)] = site.query(
        f"SELECT count(*), count(*) FILTER (WHERE {FIELD} <> '') FROM location_ville"
    )
    return all_, named


@pytest.fixture
def previous(site: Site, tmp_path: Path) -> Site:
    """The same site, for whose commands the release is installed that knew no topics of files."""
    folder = tmp_path / "previous"
    for package in ("processors", "producers", "schemas", "deploy"):
        copytree(ROOT / package, folder / package)
    identity = folder / "producers/imports/identity.py"
    own = '        "topic": order.import_type.file_topic.name,\n'
    assert own in identity.read_text(encoding="utf-8")
    identity.write_text(identity.read_text(encoding="utf-8").replace(own, ""), encoding="utf-8")
    return Site(
        site.stack,
        site.prefix,
        site.database_url,
        site.spawned,
        {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"},
    )


def test_producers_of_the_previous_release(site: Site, previous: Site, tmp_path: Path) -> None:
    """Their rows lie in the topics of upstream systems, and are written from there: those that came
    before the upgrade, those of a command that goes on beside it, and those of an import that a command
    of this release resumes.
    """
    first, second = cities(tmp_path / "1.csv", 0), cities(tmp_path / "2.csv", ROWS)
    command = previous.start("import", first, "--type", "VILLE")
    eventually(lambda: len(site.messages("rows.ville")) == ROWS)
    interrupted = previous.start("import", second, "--type", "VILLE")
    eventually(lambda: len(site.messages("rows.ville")) == 2 * ROWS)
    interrupted.kill()
    interrupted.wait()
    # No worker has stored that import: it is published again, to the topic of files.
    resumed = site.start("import", second, "--type", "VILLE")
    eventually(lambda: len(site.messages("file-rows.ville")) == ROWS)
    site.worker()
    assert (command.wait(60), resumed.wait(60)) == (0, 0)
    assert imported(previous, cities(tmp_path / "3.csv", 2 * ROWS)) == (ROWS, 0)
    assert imported(site, cities(tmp_path / "4.csv", 3 * ROWS)) == (ROWS, 0)

    assert site.query("SELECT count(*) FROM location_ville") == [(4 * ROWS,)]
    assert site.query("SELECT count(*) FROM ingest.rejects") == [(0,)]
    states = site.query("SELECT total_rows, inserted, status FROM ingest.imports")
    assert states == [(ROWS, ROWS, "SUCCESS")] * 4
    assert len(site.messages("rows.ville")) == 3 * ROWS
    assert len(site.messages("file-rows.ville")) == 2 * ROWS


def test_two_versions_side_by_side(site: Site, upgraded: Site, tmp_path: Path) -> None:
    """Each reads what the other publishes and states; what only the new one knows, it alone writes."""
    old, old_port = worker(site)
    eventually(lambda: written(old_port) == 0)
    for words in (["migrate"], ["schemas"]):
        done = upgraded.foxstream_worker(*words)
        assert done.code == 0, done.stderr
    assert "9000_next" in {
        name for (name,) in site.query("SELECT name FROM public.foxstream_migrations")
    }

    # Old code on the new tables and records.
    assert imported(site, cities(tmp_path / "1.csv", 0)) == (ROWS, 0)
    assert imported(upgraded, cities(tmp_path / "2.csv", ROWS)) == (ROWS, 0)
    assert known(site) == (2 * ROWS, 0)
    assert written(old_port) == 2 * ROWS

    # Both, while each version publishes. An old worker that starts anew is no less.
    new, new_port = worker(upgraded)
    eventually(lambda: written(new_port) == 0)
    assert ended(old) == 0
    old, old_port = worker(site)
    eventually(lambda: written(old_port) == 0 and written(new_port) == 0)
    assert imported(site, cities(tmp_path / "3.csv", 2 * ROWS)) == (ROWS, 0)
    assert imported(upgraded, cities(tmp_path / "4.csv", 3 * ROWS)) == (ROWS, 0)
    assert written(old_port) > 0
    assert written(new_port) > 0
    assert written(old_port) + written(new_port) == 2 * ROWS
    # Which rows those are follows from the partitions: the last file's that the new one wrote.
    cities_, named = known(site)
    assert (cities_, 0 < named < ROWS) == (4 * ROWS, True)

    # New code on old records; and nothing that the old one did not know is lost.
    assert ended(old) == 0
    assert imported(site, cities(tmp_path / "5.csv", 4 * ROWS)) == (ROWS, 0)
    assert imported(upgraded, tmp_path / "4.csv", "--force") == (0, ROWS - named)
    assert known(site) == (5 * ROWS, ROWS)
    states = json.loads(site.foxstream("list", "--json").stdout)
    assert [state["status"] for state in states] == ["SUCCESS"] * 6
    assert ended(new) == 0
