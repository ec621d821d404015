"""Imports that are cancelled or paused while they run, and the lines that this leaves."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from producers.terminal.exits import REFUSED
from tests.fix_companies import hurry, make_slow, published
from tests.fix_stack import Site, eventually
from tests.integration.test_way_back import balanced, counts, errors, imported, status

ROWS = 30_000  # more than a window and what is written until somebody cancels
FAULTY = 3


def large(folder: Path, rows: int = ROWS) -> Path:
    """A file of companies, the first lines of which are faulty."""
    path = folder / "large.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n")
        writer.writerow(["siren", "nom", "note"])
        writer.writerows(["12", f"Fausse {number}", "x"] for number in range(FAULTY))
        writer.writerows([f"7{number:08d}", f"N{number}", "x"] for number in range(rows - FAULTY))
    return path


# With a window that leaves most of the file unread for as long as its rows are written slowly.
WINDOW_ROWS = 2000
_NARROW = (
    "from producers.imports import publication, window;"
    f"window.WINDOW_ROWS = {WINDOW_ROWS}; publication.SMALL_FILE_BYTES = 0;"
    "from producers.cli import app; app()"
)


def started(site: Site, path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", _NARROW, "import", str(path), "--type", "entreprise"],
        env={**os.environ, **site.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def half_written(site: Site, path: Path) -> "tuple[subprocess.Popen[bytes], str]":
    """The command and the id of an import of the file that a slow worker has begun to write."""
    site.worker()
    make_slow(site, 0.5)
    command = started(site, path)
    return command, import_of(site, path)


def import_of(site: Site, path: Path) -> str:
    """The id of the import of a file, once some of its rows are written."""

    def begun() -> str | None:
        found = site.query(
            "SELECT i.id::text FROM ingest.imports i JOIN ingest.progress p ON p.import_id = i.id"
            " WHERE file_name = %s AND p.inserted > 0",
            path.name,
        )
        return found[0][0] if found else None

    return str(eventually(begun))


def ended(site: Site, import_id: str, status_: str) -> dict[str, Any]:
    """The state of an import, once it has this status."""
    return eventually(lambda: (now := status(site, import_id))["status"] == status_ and now)


def whole(site: Site, rows: int = ROWS) -> None:
    """Whether each company of the file is there once."""
    assert site.query("SELECT count(*) FROM enterprise_entreprise WHERE siren LIKE '7%%'") == [
        (rows - FAULTY,)
    ]


def test_a_cancel_in_the_middle(site: Site, tmp_path: Path) -> None:
    """The command stops and says where, others go on; what is left can be downloaded and retried."""
    make_slow(site, 0.5)
    site.worker()
    path = large(tmp_path)
    other = tmp_path / "other.csv"
    other.write_text("siren;nom\n800000001;Autre\n", encoding="utf-8")
    command = started(site, path)
    import_id = import_of(site, path)
    beside = started(site, other)

    cancel = site.foxstream("cancel", import_id, "--json")
    hurry(site)

    assert cancel.code == 0, cancel.stderr
    assert command.wait(300) == REFUSED
    assert beside.wait(300) == 0
    state = ended(site, import_id, "CANCELLED")
    assert state["cancelled"] > 0
    assert state["inserted"] > 0
    assert state["rejected"] == FAULTY
    assert state["total_rows"] == published(site) - 1 < ROWS
    assert state["stopped_after"] == state["total_rows"] + 1
    assert f"ligne {state['stopped_after']}" in state["error"]["message"]
    assert site.query("SELECT status FROM core_importlog WHERE id = %s", import_id) == [("ERROR",)]
    balanced(site)
    refused = site.foxstream("cancel", import_id, "--json")
    assert (refused.code, refused.json()["error"]["code"]) == (REFUSED, "not-possible")

    rows = errors(site, import_id, tmp_path / "left.jsonl")
    assert len(rows) == ROWS - state["inserted"]
    by_code = {code: [r for r in rows if r["_code"] == code] for code in ("cancelled", "unread")}
    assert [len(some) for some in by_code.values()] == [
        state["cancelled"],
        ROWS - state["total_rows"],
    ]
    assert by_code["unread"][0]["_line"] == str(state["stopped_after"] + 1)

    moved = tmp_path / "elsewhere.csv"
    path.rename(moved)
    missing = site.foxstream("errors", import_id, "--output", tmp_path / "less.jsonl")
    assert f"après la ligne {state['stopped_after']}" in missing.stderr
    retried = site.foxstream("retry", import_id, "--file", moved, "--json", timeout=300)
    assert retried.code == 3, retried.stderr
    child = retried.json()
    assert counts(child) == {"inserted": ROWS - FAULTY - state["inserted"], "rejected": FAULTY}
    assert child["settles"] == state["cancelled"]
    whole(site)
    parent = eventually(lambda: (now := status(site, import_id))["cancelled"] == 0 and now)
    # Its own counters know nothing of the lines that it never read.
    assert (parent["status"], parent["inserted"]) == (
        "CANCELLED",
        state["inserted"] + state["cancelled"],
    )
    balanced(site)


def test_a_cancel_whose_command_is_dead(site: Site, tmp_path: Path) -> None:
    """It ends with the rows that came; a retry finds what each partition lacks in the file."""
    make_slow(site, 0.5)
    site.worker()
    path = large(tmp_path)
    command = started(site, path)
    import_id = import_of(site, path)
    command.kill()
    command.wait()

    assert site.foxstream("cancel", import_id).code == 0
    hurry(site)

    state = ended(site, import_id, "CANCELLED")
    assert state["stopped_after"] is None
    assert state["total_rows"] == published(site) == sum(counts(state).values())
    assert state["watermarks"]
    retried = site.foxstream("retry", import_id, "--json", timeout=300)
    assert retried.code == 3, retried.stderr
    whole(site)
    child = retried.json()
    assert counts(child) == {"inserted": ROWS - FAULTY - state["inserted"], "rejected": FAULTY}
    balanced(site)


def test_a_cancel_before_any_worker(site: Site, tmp_path: Path) -> None:
    """Nothing is written; all lines come back, and a retry writes them and makes it a success."""
    path = tmp_path / "small.csv"
    path.write_text("siren;nom\n700000001;Un\n700000002;Deux\n", encoding="utf-8")
    tracker = site.worker("imports")
    import_id = imported(site, path, "--no-follow").json()["id"]
    eventually(lambda: site.foxstream("status", import_id).code == 0)

    cancel = site.start("cancel", import_id)
    eventually(lambda: status(site, import_id)["waiting_for"] == "cancel")
    site.worker("rows")

    assert cancel.wait(300) == 0
    state = ended(site, import_id, "CANCELLED")
    assert counts(state) == {"cancelled": 2}
    assert tracker.running
    report = tmp_path / "left.csv"
    assert [row["siren"] for row in errors(site, import_id, report)] == ["700000001", "700000002"]
    done = imported(site, report).json()
    assert (counts(done), done["settles"]) == ({"inserted": 2}, 2)
    parent = ended(site, import_id, "SUCCESS")
    assert (counts(parent), parent["error"]) == ({"inserted": 2}, None)
    balanced(site)


def test_a_pause(site: Site, tmp_path: Path) -> None:
    """At most a window more is written until somebody resumes; then all of it is."""
    command, import_id = half_written(site, large(tmp_path))

    paused = site.foxstream("pause", import_id, "--json")
    assert (paused.code, paused.json()["status"]) == (0, "PAUSED")
    hurry(site)
    written = eventually(
        lambda: (now := status(site, import_id)) and sum(counts(now).values()) == published(site)
    )
    assert written
    assert published(site) < ROWS
    assert command.poll() is None
    for words, code in (
        (("retry", import_id), "unfinished-import"),
        (("pause", import_id), "not-possible"),
    ):
        refused = site.foxstream(*words, "--json")
        assert (refused.code, refused.json()["error"]["code"]) == (REFUSED, code)

    assert site.foxstream("resume", import_id).code == 0
    assert command.wait(300) == 3
    whole(site)
    assert site.foxstream("resume", import_id).code == REFUSED
    balanced(site)


def test_a_pause_whose_command_is_dead(site: Site, tmp_path: Path) -> None:
    """The same command waits as well, and goes on where the first one was when it is resumed."""
    path = large(tmp_path)
    command, import_id = half_written(site, path)
    assert site.foxstream("pause", import_id).code == 0
    command.kill()
    command.wait()
    hurry(site)
    again = started(site, path)
    before = published(site)
    assert eventually(lambda: published(site) > before)

    resumed = site.foxstream("resume", import_id)

    assert resumed.code == 0, resumed.stderr
    assert again.wait(300) == 3
    whole(site)
    balanced(site)


def test_a_resume_without_a_command(site: Site, tmp_path: Path) -> None:
    """It says that the file is not read any more, and which command goes on.

    More rows than a window holds are written by then, so that nothing tells of them any more.
    """
    path = large(tmp_path)
    command, import_id = half_written(site, path)
    assert site.foxstream("pause", import_id).code == 0
    command.kill()
    command.wait()
    hurry(site)
    eventually(lambda: sum(counts(status(site, import_id)).values()) == published(site))

    resumed = site.foxstream("resume", import_id)

    assert f"foxstream import {path} --type entreprise" in resumed.stderr
    assert published(site) > WINDOW_ROWS
    assert started(site, path).wait(120) == 3
    whole(site)


@pytest.mark.parametrize("word", ["cancel", "pause", "resume", "retry"])
def test_an_import_that_there_is_not(site: Site, word: str) -> None:
    """It is refused, with the reason."""
    done = site.foxstream(word, "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e", "--json")

    assert (done.code, done.json()["error"]["code"]) == (REFUSED, "unknown-import")
