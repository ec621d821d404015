"""The types of an office's reference data through real servers: whatever comes first, all of it ends up in place."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fix_stack import Finished, Site, eventually

ROOT = Path(__file__).parents[2]
DATA = next(
    (
        path
        for path in (ROOT.parent / "shared/data", ROOT.parents[1] / "shared/data")
        if path.is_dir()
    ),
    None,
)
OUTCOMES = (
    *("inserted", "updated", "unchanged", "duplicate", "stale", "rejected", "parked", "cancelled"),
    "released",
)

Files = Callable[..., Path]


@pytest.fixture
def file(tmp_path: Path) -> Files:
    """Writes a CSV file of rows under its name."""

    def write(name: str, header: str, rows: Sequence[Sequence[object]]) -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as opened:
            csv.writer(opened).writerows([header.split(","), *rows])
        return path

    return write


def imported(site: Site, kind: str, path: Path, *words: str) -> dict[str, Any]:
    """The state with which an import ends."""
    done: Finished = site.foxstream("import", path, "--type", kind, "--json", *words)
    assert done.code in (0, 3), done.stderr
    return done.json()


def counts(state: Mapping[str, Any]) -> dict[str, int]:
    """The outcomes that a state counts, without those that did not occur."""
    return {name: state[name] for name in OUTCOMES if state[name]}


def state_of(site: Site, import_id: str) -> dict[str, Any]:
    return site.foxstream("status", import_id, "--json").json()


TRADES = [(f"Métier {n}", f"Famille {n % 10}", n) for n in range(200)]
FAMILIES = [(f"Famille {n}",) for n in range(10)]


def test_categories_first(site: Site, file: Files) -> None:
    """Sub-categories find their categories; the same files again change nothing."""
    site.worker()
    families = file("familles.csv", "nom", FAMILIES)
    trades = file("metiers.csv", "nom,categorie,ordre", TRADES)

    first = [imported(site, "categorie", families), imported(site, "sous_categorie", trades)]
    again = [
        imported(site, "categorie", families, "--force"),
        imported(site, "sous_categorie", trades, "--force"),
    ]

    assert [counts(state) for state in first] == [{"inserted": 10}, {"inserted": 200}]
    assert [counts(state) for state in again] == [{"unchanged": 10}, {"unchanged": 200}]
    assert site.query(
        """
        SELECT c.nom, count(*), sum(t.ordre)::integer
        FROM subcategory_souscategorie t JOIN category_categorie c ON c.id = t.categorie_id
        GROUP BY c.nom ORDER BY c.nom
        """
    ) == [(f"Famille {n}", 20, sum(range(n, 200, 10))) for n in range(10)]


def test_sub_categories_first(site: Site, file: Files) -> None:
    """They are parked; files that bring their categories release them, say so, and their import ends well."""
    site.worker()
    trades = imported(site, "sous_categorie", file("metiers.csv", "nom,categorie,ordre", TRADES))
    assert (trades["status"], trades["waiting_for"]) == ("PARTIAL", "parent")
    assert counts(trades) == {"parked": 200}

    some = imported(site, "categorie", file("a.csv", "nom", FAMILIES[:4]))
    assert counts(some) == {"inserted": 4, "released": 80}
    halfway = eventually(lambda: (s := state_of(site, trades["id"]))["parked"] == 120 and s)
    assert (halfway["status"], counts(halfway)) == ("PARTIAL", {"inserted": 80, "parked": 120})

    done = site.foxstream("import", file("b.csv", "nom", FAMILIES), "--type", "categorie")
    assert "120 lignes d'autres imports" in done.stdout.replace("\N{NO-BREAK SPACE}", " ")
    after = eventually(lambda: (s := state_of(site, trades["id"]))["parked"] == 0 and s)
    assert (after["status"], after["waiting_for"], counts(after)) == (
        "SUCCESS",
        None,
        {"inserted": 200},
    )
    assert after["version"] > halfway["version"] > trades["version"]
    assert site.query("SELECT count(*) FROM ingest.parked") == [(0,)]
    assert site.query(
        "SELECT status, success_rows, error_rows FROM core_importlog WHERE id = %s", trades["id"]
    ) == [("SUCCESS", 200, 0)]


def test_a_category_that_the_site_makes(site: Site, file: Files) -> None:
    """Nobody tells of it: the sweep finds it, and the tracker its import."""
    site.worker()
    trades = imported(site, "sous_categorie", file("m.csv", "nom,categorie", [("Gîte", "Hôtels")]))
    assert counts(trades) == {"parked": 1}
    [waits] = json.loads(site.foxstream_worker("parked", trades["id"], "--json").stdout)
    assert (waits["import_id"], waits["line"], waits["parent"]) == (trades["id"], 2, "Hôtels")
    told = site.foxstream("errors", trades["id"])
    assert f"foxstream-worker parked {trades['id']}" in told.stderr

    site.execute(
        """
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
        VALUES (gen_random_uuid(), now(), now(), 'Hôtels', 'ou-dormir')
        """
    )

    eventually(lambda: state_of(site, trades["id"])["status"] == "SUCCESS")
    assert site.query("SELECT nom, slug FROM subcategory_souscategorie") == [("Gîte", "gite")]


@pytest.mark.skipif(DATA is None, reason="shared/data is not beside the checkout")
def test_departements(site: Site) -> None:
    """A type that is one schema, one entry, one statement and one table: the real file has 101 rows."""
    assert DATA is not None
    site.worker()
    path = DATA / "departements_france.xlsx"

    first = imported(site, "departement", path)
    again = imported(site, "departement", path, "--force")

    assert (counts(first), counts(again)) == ({"inserted": 101}, {"unchanged": 101})
    assert site.query(
        "SELECT code, nom FROM location_departement WHERE code IN ('01', '2A', '974') ORDER BY code"
    ) == [("01", "Ain"), ("2A", "Corse-du-Sud"), ("974", "La Réunion")]
    refused = site.foxstream("import", path, "--type", "categorie", "--json")
    assert (refused.code, refused.json()["error"]["code"]) == (4, "wrong-type")
