"""The table of categories of the workers: what it spares, and that nothing hangs on it."""

import json
import re
from pathlib import Path
from typing import Any

from tests.fix_companies import shared
from tests.fix_stack import Site, eventually
from tests.integration.test_types import counts, imported, state_of
from tests.pg_proxy import PgProxy

FAMILIES, TRADES = 10, 1000
STATEMENTS = 40
"""Most of one transaction, whatever it writes."""


def families(tmp_path: Path, name: str = "familles.csv") -> Path:
    path = tmp_path / name
    path.write_text("nom\n" + "".join(f"Famille {n}\n" for n in range(FAMILIES)), encoding="utf-8")
    return path


def trades(tmp_path: Path, name: str) -> Path:
    """A thousand trades over ten families, of which no other file has one."""
    path = tmp_path / f"{name}.csv"
    rows = (f"{name} {n},Famille {n % FAMILIES}\n" for n in range(TRADES))
    path.write_text("nom,categorie\n" + "".join(rows), encoding="utf-8")
    return path


def entries(site: Site) -> dict[str, dict[str, str]]:
    """The table as its changelog has it."""
    return {m.key().decode(): json.loads(m.value()) for m in site.messages("categories")}


def look_ups(proxy: PgProxy) -> tuple[int, int]:
    """Statements that look up categories, and sub-categories that were staged without theirs."""
    known = sum(b"AS k (key)" in text for text in proxy.texts)
    lines = [line for text in proxy.texts for line in text.split(b"\n")]
    staged = [line for line in lines if re.search(rb"\tfamille-\d+/", line)]
    assert staged
    return known, sum(line.endswith(rb"\N") for line in staged)


def test_known_categories_are_not_looked_up_b18(site: Site, tmp_path: Path) -> None:
    """B18: 1,000 sub-categories over 10 categories: no look-up, and few statements.

    Where the site made the categories, one look-up of the missing ones together teaches the worker.
    """
    site.worker("imports")
    with PgProxy(site.database_url) as proxy:
        site.settings = {"FOX_DATABASE_URL": proxy.url}
        site.worker("rows")
        assert counts(imported(site, "categorie", families(tmp_path))) == {"inserted": FAMILIES}
        eventually(lambda: len(entries(site)) == FAMILIES)
        proxy.texts.clear()
        statements = proxy.statements
        proxy.largest = 0

        state = imported(site, "sous_categorie", trades(tmp_path, "un"))

        assert counts(state) == {"inserted": TRADES}
        assert look_ups(proxy) == (0, 0)
        assert proxy.largest < STATEMENTS
        assert proxy.statements - statements < TRADES / 5

        site.execute("DELETE FROM subcategory_souscategorie; DELETE FROM category_categorie")
        site.execute(
            """
            INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
            SELECT gen_random_uuid(), now(), now(), 'Famille ' || n, 'famille-' || n
            FROM generate_series(0, 9) n
            """
        )
        stale = imported(site, "sous_categorie", trades(tmp_path, "deux"))
        proxy.texts.clear()
        fresh = imported(site, "sous_categorie", trades(tmp_path, "trois"))

    assert (counts(stale), counts(fresh)) == ({"inserted": TRADES}, {"inserted": TRADES})
    assert look_ups(proxy) == (0, 0)
    ids = {
        slug: str(identifier)
        for slug, identifier in site.query("SELECT slug, id FROM category_categorie")
    }
    assert {key: entry["id"] for key, entry in entries(site).items()} == ids


def test_the_table_outlives_its_workers(site: Site, tmp_path: Path) -> None:
    """Two workers share it, lose each other, die together and come back: nobody has to ask again."""
    first, second = site.worker(), site.worker()
    eventually(lambda: shared(site, 2))
    imported(site, "categorie", families(tmp_path))
    eventually(lambda: len(entries(site)) == FAMILIES)
    assert counts(imported(site, "sous_categorie", trades(tmp_path, "deux"))) == {
        "inserted": TRADES
    }

    first.kill()
    assert counts(imported(site, "sous_categorie", trades(tmp_path, "un"))) == {"inserted": TRADES}
    second.kill()
    site.worker("imports")
    with PgProxy(site.database_url) as proxy:
        site.settings = {"FOX_DATABASE_URL": proxy.url}
        for _ in range(2):
            site.worker("rows")
        eventually(lambda: shared(site, 2))
        written = len(site.messages("categories"))
        state = imported(site, "sous_categorie", trades(tmp_path, "zéro"))

        assert counts(state) == {"inserted": TRADES}
        assert look_ups(proxy)[1] == 0
    # A worker that had not recovered an entry would have written it anew.
    assert len(site.messages("categories")) == written == FAMILIES
    # Its changelog is Faust's to read: no position of ours stands in PostgreSQL.
    assert site.query("SELECT topic FROM ingest.positions WHERE topic LIKE '%%.categories'") == []


def test_rows_that_wait_outlive_their_workers(site: Site, tmp_path: Path) -> None:
    """Killed between the sub-categories and their categories, and while these come: none waits for ever."""
    workers = [site.worker(), site.worker()]
    eventually(lambda: shared(site, 2))
    state = imported(site, "sous_categorie", trades(tmp_path, "un"))
    assert counts(state) == {"parked": TRADES}
    for worker in workers:
        worker.kill()
    workers = [site.worker(), site.worker()]
    eventually(lambda: shared(site, 2))

    path = families(tmp_path)
    command = site.start("import", path, "--type", "categorie")
    eventually(lambda: site.query("SELECT count(*) FROM category_categorie") > [(0,)])
    workers[0].kill()
    try:
        assert command.wait(90) == 0
    finally:
        command.kill()

    after: dict[str, Any] = eventually(
        lambda: (s := state_of(site, state["id"]))["status"] == "SUCCESS" and s
    )
    assert counts(after) == {"inserted": TRADES}
    assert site.query("SELECT count(*) FROM ingest.parked") == [(0,)]
    assert site.query("SELECT sum(released), sum(parked) FROM ingest.progress") == [(TRADES, 0)]
