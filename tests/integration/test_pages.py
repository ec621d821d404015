"""Public pages: made with their companies where trade and city are known, later where they are not."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from processors.database.pool import open_pool
from processors.database.queries import load
from processors.operator.naf.naf_files import read, shipped
from processors.operator.naf.naf_reference import publish
from processors.rows.derived.public_pages import resolve_all, resolve_some
from processors.rows.merge.merge import NESTED_LOOPS
from processors.settings import Settings
from schemas.codec.framing import Decoder
from schemas.runtime.registry import Registry
from schemas.topics import REFERENCE_NAF
from tests.fix_stack import AS_DJANGO, Site, eventually

CITIES = (
    ("Saint-Étienne", "42000", ["42000", "42100"]),
    ("Rennes", "35000", ["35000"]),
    ("Paris 01", "75001", ["75001"]),
    ("Vitry-le-François", "51300", ["51300"]),
    ("Blacy", "51300", ["51300"]),
    ("Rennes", "51300", ["51300"]),
)


@pytest.fixture
def reference(site: Site) -> Site:
    """A site whose NAF reference is loaded."""
    settings = Settings(
        kafka_bootstrap=site.stack.environment["FOX_KAFKA_BOOTSTRAP"],
        schema_registry_url=site.stack.environment["FOX_SCHEMA_REGISTRY_URL"],
        database_url=SecretStr(site.database_url),
        topic_prefix=site.prefix,
    )
    with Registry(settings.schema_registry_url) as registry:
        publish(settings, registry, read(shipped()))
    return site


def cities(site: Site, folder: Path, *wanted: int) -> None:
    """Imports some of CITIES, all where none is named."""
    chosen = [CITIES[at] for at in wanted or range(len(CITIES))]
    lines = [f"{name};{code};{','.join(codes)}" for name, code, codes in chosen]
    path = folder / f"villes{'-'.join(map(str, wanted))}.csv"
    path.write_text("\n".join(["nom;code_postal;codes_postaux", *lines]), "utf-8")
    assert site.foxstream("import", path, "--type", "ville").code == 0


def trades(site: Site, folder: Path) -> None:
    """Imports the category and the sub-category of developers."""
    (folder / "c.csv").write_text("nom\nInformatique\n", "utf-8")
    (folder / "s.csv").write_text("nom,categorie\nDéveloppement web,Informatique\n", "utf-8")
    assert site.foxstream("import", folder / "c.csv", "--type", "categorie").code == 0
    assert site.foxstream("import", folder / "s.csv", "--type", "sous_categorie").code == 0


def companies(site: Site, folder: Path, *lines: str, naf: str = "62.01Z") -> dict[str, Any]:
    """Imports companies, `siren;code postal;ville` each."""
    number = len(list(folder.glob("e*.csv")))
    path = folder / f"e{number}.csv"
    rows = [f"{line.split(';')[0]};Nom;{naf};{line.split(';', 1)[1]}" for line in lines]
    path.write_text("\n".join(["siren;nom;naf_code;code_postal;ville_nom", *rows]), "utf-8")
    done = site.foxstream("import", path, "--type", "entreprise", "--json")
    return done.json()


def pages(site: Site) -> set[tuple[str, str, bool]]:
    """SIREN, city and whether it is on the site, of each page."""
    return set(
        site.query(
            "SELECT e.siren, v.slug, p.is_active FROM enterprise_prolocalisation p"
            " JOIN enterprise_entreprise e ON e.id = p.entreprise_id"
            " JOIN location_ville v ON v.id = p.ville_id"
        )
    )


def unresolved(site: Site) -> dict[str, str]:
    """What pages lack, by SIREN, as the command tells it."""
    found = json.loads(site.foxstream_worker("pages", "--json").stdout)
    return {row["siren"]: row["reason"] for row in found}


def resolve_now(site: Site) -> dict[str, int]:
    done = site.foxstream_worker("job", "resolve-pages", "--json")
    assert done.code == 0, done.stderr
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def test_b52_a_city_is_found_by_code_and_name_and_never_guessed(
    reference: Site, tmp_path: Path
) -> None:
    """Spelling, St and arrondissements do not matter; a name that disagrees leaves the page open."""
    site = reference
    site.worker()
    cities(site, tmp_path)
    trades(site, tmp_path)

    companies(
        site,
        tmp_path,
        "100000001;42000;ST ETIENNE",
        "100000002;42100;Saint Etienne Cedex 2",  # one of its other codes
        "100000003;75001;PARIS 1ER ARRONDISSEMENT",
        "100000004;51300;vitry le francois",
        "100000005;51300;",  # three communes have this code
        "100000006;35000;",  # one has
        "100000007;35000;Brest",  # and is not called so
        "100000008;99999;Rennes",  # a namesake elsewhere is no answer
        "100000009;42100;SAINT-ETIENNE CEDEX02",
    )

    assert pages(site) == {
        ("100000001", "saint-etienne-42000", True),
        ("100000002", "saint-etienne-42000", True),
        ("100000003", "paris-01-75001", True),
        ("100000004", "vitry-le-francois-51300", True),
        ("100000006", "rennes-35000", True),
        ("100000009", "saint-etienne-42000", True),
    }
    assert unresolved(site) == dict.fromkeys(["100000005", "100000007", "100000008"], "ville")
    [(label,)] = site.query("SELECT DISTINCT naf_libelle FROM enterprise_entreprise")
    assert label == "Programmation informatique"


def test_pages_are_made_when_what_they_lack_arrives(reference: Site, tmp_path: Path) -> None:
    """Sub-category and city come after the company; the worker resolves what waited by itself."""
    site = reference
    site.worker()
    companies(site, tmp_path, "100000001;35000;Rennes", "100000002;42000;Saint-Étienne")
    assert unresolved(site) == dict.fromkeys(["100000001", "100000002"], "sous-categorie")

    trades(site, tmp_path)
    eventually(lambda: set(unresolved(site).values()) == {"ville"}, 120)
    cities(site, tmp_path, 0, 1)

    eventually(lambda: len(pages(site)) == 2, 120)
    assert unresolved(site) == {}
    assert site.query("SELECT count(*) FROM ingest.pages_due") == [(0,)]


def test_b53_a_mapping_is_data_and_reaches_running_workers(reference: Site, tmp_path: Path) -> None:
    """An edited file is loaded while a worker runs: companies of a code removed have no page to make."""
    site = reference
    worker = site.worker()
    cities(site, tmp_path)
    trades(site, tmp_path)
    edited = tmp_path / "naf.csv"
    lines = shipped().read_text("utf-8").splitlines()
    edited.write_text("\n".join(line for line in lines if not line.startswith("62.01Z")), "utf-8")

    loaded = site.foxstream_worker("reference", "load", edited)
    assert loaded.stdout.startswith("1478 activities loaded, 1 removed\n")
    companies(site, tmp_path, "100000001;35000;Rennes")
    assert (pages(site), unresolved(site)) == (set(), {"100000001": "naf"})

    worker.stop()  # it would be first, now and then
    assert site.foxstream_worker("reference", "load").code == 0
    assert resolve_now(site)["made"] == 1
    assert pages(site) == {("100000001", "rennes-35000", True)}


def test_two_references_at_once_end_with_one_file(reference: Site, tmp_path: Path) -> None:
    """The later one waits for the earlier before it tells the topic anything."""
    site = reference
    edited = tmp_path / "naf.csv"
    edited.write_text("naf_code,libelle,sous_categorie\n62.01Z,Programmation,autre\n", "utf-8")
    with psycopg.connect(site.database_url) as earlier:
        earlier.execute("LOCK TABLE ingest.naf IN ROW EXCLUSIVE MODE")
        with ThreadPoolExecutor() as later:
            loading = later.submit(site.foxstream_worker, "reference", "load", edited)
            eventually(lambda: site.query(_WAITS) == [(1,)])
            assert site.query("SELECT count(*) FROM ingest.naf") == [(732 + 747,)]
            earlier.rollback()
            assert loading.result().code == 0
    assert site.query(
        "SELECT code, sous_categorie FROM ingest.naf WHERE right(code, 1) BETWEEN 'A' AND 'F'"
        " OR code LIKE '%%Z'"
    ) == [("62.01Z", "autre")]


_WAITS = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE d.datname = current_database() AND NOT l.granted AND l.relation = 'ingest.naf'::regclass
"""


def test_a_reference_counts_for_companies_that_came_before_it(site: Site, tmp_path: Path) -> None:
    """Their pages are made when it is loaded first; a changed trade moves them to a page of its own."""
    worker = site.worker()
    cities(site, tmp_path)
    trades(site, tmp_path)
    companies(site, tmp_path, "100000001;35000;Rennes")
    assert (pages(site), unresolved(site)) == (set(), {})

    assert site.foxstream_worker("reference", "load").code == 0
    eventually(lambda: pages(site) == {("100000001", "rennes-35000", True)}, 120)
    edited = tmp_path / "naf.csv"
    text = shipped().read_text("utf-8")
    edited.write_text(text.replace("informatique,developpement-web", "informatique,infogerance"))
    (tmp_path / "s2.csv").write_text("nom,categorie\nInfogérance,Informatique\n", "utf-8")
    assert site.foxstream("import", tmp_path / "s2.csv", "--type", "sous_categorie").code == 0
    worker.stop()  # it would be first, now and then
    assert site.foxstream_worker("reference", "load", edited).code == 0
    assert resolve_now(site)["retired"] == 1

    trades_of_pages = (
        "SELECT s.slug, p.is_active FROM enterprise_prolocalisation p"
        " JOIN subcategory_souscategorie s ON s.id = p.sous_categorie_id ORDER BY s.slug"
    )
    moved = [("developpement-web", False), ("infogerance", True)]
    assert site.query(trades_of_pages) == moved


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("6201Z,Programmation,developpement-web", "not a NAF code"),
        ("62.01Z,,developpement-web", "no label"),
        ("62.01Z,Programmation,Développement web", "not the slug"),
        ("62.01Z,Programmation", "2 cells"),
        ("62.01M,Programmation,developpement-web", "not a NAF code"),
        ("62.02A,Conseil,conseil\n62.02A,Conseil,conseil", "twice"),
    ],
)
def test_a_reference_with_a_fault_is_refused(
    site: Site, tmp_path: Path, line: str, told: str
) -> None:
    """Whole, with the line that is at fault."""
    path = tmp_path / "naf.csv"
    path.write_text(f"naf_code,libelle,sous_categorie\n01.11Z,Blé,agriculteur\n{line}\n", "utf-8")

    done = site.foxstream_worker("reference", "load", path)

    assert done.code == 2
    assert told in done.stderr
    assert "line 3" in done.stderr or "line 4" in done.stderr
    assert site.query("SELECT count(*) FROM ingest.naf") == [(0,)]


def activities(site: Site) -> dict[str, tuple[str, str]]:
    """Label and trade by code, in the table; the topic holds the same."""
    found = {
        code: (label, slug)
        for code, label, slug in site.query("SELECT code, libelle, sous_categorie FROM ingest.naf")
    }
    with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        decoder = Decoder(str(REFERENCE_NAF.record), registry)
        held = {}
        for message in site.messages(REFERENCE_NAF.name):
            held[message.key().decode()] = message.value() and decoder.decode(message.value())
    assert found == {
        code: (value["libelle"], value["sous_categorie"]) for code, value in held.items() if value
    }
    return found


def test_trades_of_naf_2025_that_a_person_decides(reference: Site, tmp_path: Path) -> None:
    """The worksheet comes back with choices, which reach companies and outlive a load."""
    site = reference
    worker = site.worker()
    cities(site, tmp_path)
    trades(site, tmp_path)
    companies(site, tmp_path, "100000001;35000;Rennes", naf="62.10Y")
    companies(site, tmp_path, "100000002;35000;Rennes", naf="46.89Y")
    assert pages(site) == {("100000001", "rennes-35000", True)}
    assert unresolved(site) == {"100000002": "naf"}
    assert dict(site.query("SELECT siren, naf_libelle FROM enterprise_entreprise")) == {
        "100000001": "Activités de programmation informatique",
        "100000002": "Autre commerce de gros spécialisé n.c.a.",
    }

    path = tmp_path / "naf.csv"
    written = site.foxstream_worker("reference", "worksheet", "--output", path)
    assert written.code == 0, written.stderr
    empty = site.foxstream_worker("reference", "decide", path)
    assert (empty.code, "no x in the column choix" in empty.stderr) == (2, True)
    text = path.read_text("utf-8-sig")
    assert text.count("46.89Y;Autre commerce de gros spécialisé n.c.a.;;;;0;") == 1
    path.write_text(text.replace("n.c.a.;;;;0;", "n.c.a.;developpement-web;;;0;x"), "utf-8")
    decided = site.foxstream_worker("reference", "decide", path)
    assert (decided.code, decided.stderr) == (0, "")
    assert decided.stdout == (
        "1 sub-categories decided\n"
        "44 of NAF 2025 without a sub-category: foxstream-worker reference worksheet\n"
    )

    worker.stop()  # it would be first, now and then
    assert resolve_now(site)["made"] == 1
    assert site.foxstream_worker("reference", "load").code == 0
    found = activities(site)
    assert len(found) == 732 + 747
    assert found["46.89Y"] == ("Autre commerce de gros spécialisé n.c.a.", "developpement-web")
    assert sum(slug == "" for _, slug in found.values()) == 44


def test_corrected_files_of_naf_2025(reference: Site, tmp_path: Path) -> None:
    """Labels and pairs of INSEE's next edition are loaded; what they leave out is removed."""
    site = reference
    (tmp_path / "labels.csv").write_text("naf_code,libelle\n62.10Y,Programmer\n", "utf-8")
    (tmp_path / "pairs.csv").write_text("code_rev2,code_2025,certain\n43.39Z,62.10Y,oui\n", "utf-8")

    done = site.foxstream_worker(
        *("reference", "load", "--labels", tmp_path / "labels.csv"),
        *("--correspondence", tmp_path / "pairs.csv"),
    )

    assert (done.code, done.stdout) == (0, "733 activities loaded, 746 removed\n")
    assert activities(site)["62.10Y"] == ("Programmer", "artisan-renovation")


def test_a_company_that_moves(reference: Site, tmp_path: Path) -> None:
    """Its new page is made, its old one goes unless it has something of its own; back, it returns."""
    site = reference
    site.worker()
    cities(site, tmp_path)
    trades(site, tmp_path)
    companies(site, tmp_path, "100000001;35000;Rennes", "100000002;35000;Rennes")
    site.execute(
        "UPDATE enterprise_prolocalisation SET nb_avis = 12, is_verified = true"
        " WHERE entreprise_id = (SELECT id FROM enterprise_entreprise WHERE siren = '100000002')"
    )

    companies(site, tmp_path, "100000001;75001;Paris", "100000002;75001;Paris")
    moved = pages(site)
    companies(site, tmp_path, "100000001;35000;Rennes")

    assert moved == {
        ("100000001", "rennes-35000", False),
        ("100000001", "paris-01-75001", True),
        ("100000002", "rennes-35000", True),
        ("100000002", "paris-01-75001", True),
    }
    assert {page for page in pages(site) if page[0] == "100000001"} == {
        ("100000001", "rennes-35000", True),
        ("100000001", "paris-01-75001", False),
    }


def test_b54_no_page_twice_and_none_without_its_company(reference: Site, tmp_path: Path) -> None:
    """The same companies again, by force and by two workers of which one dies, leave the same pages."""
    site = reference
    killed = site.worker()
    site.worker()
    cities(site, tmp_path, 1)
    trades(site, tmp_path)
    path = tmp_path / "many.csv"
    lines = [f"{200_000_000 + n};Nom;62.01Z;35000;Rennes" for n in range(5_000)]
    path.write_text("\n".join(["siren;nom;naf_code;code_postal;ville_nom", *lines]), "utf-8")
    command = site.start("import", path, "--type", "entreprise")
    eventually(lambda: site.query("SELECT 1 FROM enterprise_entreprise LIMIT 1"))
    killed.kill()
    assert command.wait(180) == 0
    before = site.query("SELECT id, updated_at FROM enterprise_prolocalisation ORDER BY id")

    assert site.foxstream("import", path, "--type", "entreprise", "--force").code == 0

    assert len(before) == 5_000
    again = site.query("SELECT id, updated_at FROM enterprise_prolocalisation ORDER BY id")
    assert again == before


async def test_what_has_just_arrived_is_looked_at_a_little_later(site: Site) -> None:
    """Not before every transaction that may not have seen it has ended, and by no job that is early."""
    with psycopg.connect(site.database_url) as connection:
        connection.execute("INSERT INTO ingest.pages_due (reason, key) VALUES ('naf', '62.01Z')")
    resolve_now(site)

    async with open_pool(site.database_url, 1) as pool:
        assert await resolve_some(pool) is None
        site.execute("UPDATE ingest.pages_due SET at = at - interval '1 minute'")
        assert await resolve_some(pool) is not None
    assert site.query("SELECT count(*) FROM ingest.pages_due") == [(0,)]


async def test_a_look_waits_for_the_company_that_moves(reference: Site, tmp_path: Path) -> None:
    """It makes the page of where the company is by then, not of where it was."""
    site = reference
    worker = site.worker()
    cities(site, tmp_path)
    trades(site, tmp_path)
    companies(site, tmp_path, "100000001;35000;Rennes")
    worker.kill()
    site.execute("DELETE FROM enterprise_prolocalisation")

    async with open_pool(site.database_url, 1) as pool:
        with psycopg.connect(site.database_url) as moving:
            moving.execute(
                "UPDATE enterprise_entreprise SET code_postal = '75001', ville_nom = 'Paris'"
            )
            look = asyncio.create_task(resolve_all(pool, None))
            await asyncio.sleep(1)
            assert not look.done()
        await look

    assert pages(site) == {("100000001", "paris-01-75001", True)}


def test_the_repair_of_sub_categories(site: Site) -> None:
    """The 732 that stand for NAF codes get the names, slugs and descriptions that they need, once."""
    activities = read(shipped())
    with psycopg.connect(site.database_url, options=AS_DJANGO) as connection:
        connection.execute(
            "INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)"
            " VALUES (gen_random_uuid(), now(), now(), 'A', 'a')"
        )
        for code, activity in activities.items():
            connection.execute(
                "INSERT INTO subcategory_souscategorie"
                " (id, created_at, updated_at, categorie_id, nom, slug, description)"
                " SELECT gen_random_uuid(), now(), now(), id, %s, %s, %s FROM category_categorie",
                (code, f"x-{code}", f"NAF {code} : {activity.label}"),
            )
        connection.execute("UPDATE subcategory_souscategorie SET slug = '' WHERE slug = 'x-62.01Z'")

    def repair() -> dict[str, int]:
        done = site.foxstream_worker("job", "repair-sous-categories", "--json")
        assert done.code == 0, done.stderr
        counts: dict[str, int] = json.loads(done.stdout)
        return counts

    assert repair() == {
        "checked": 732, "repaired": 732, "names": 732, "slugs": 1, "descriptions": 0,
    }  # fmt: skip
    assert repair()["repaired"] == 0
    names = dict(site.query("SELECT left(description, 10), nom FROM subcategory_souscategorie"))
    assert names["NAF 62.01Z"] == "Programmation informatique"
    assert sum(name.endswith(")") and len(name) > 90 for name in names.values()) >= 15
    assert site.query(
        "SELECT slug FROM subcategory_souscategorie WHERE description LIKE 'NAF 62.01Z%%'"
    ) == [("programmation-informatique-6201z",)]


def test_accounts_are_checked(site: Site, tmp_path: Path) -> None:
    """Rows that add up are no drift; one that went missing is, with its import."""
    site.worker()
    done = companies(site, tmp_path, "100000001;35000;Rennes")

    assert site.foxstream_worker("job", "check-accounts").code == 0
    with psycopg.connect(site.database_url) as connection:
        connection.execute("UPDATE ingest.progress SET inserted = inserted - 1")
    drifted = site.foxstream_worker("job", "check-accounts")

    assert drifted.code == 1
    assert f"{done['id']} (1)" in drifted.stderr


def test_a_batch_reads_the_pages_of_its_companies_only(site: Site) -> None:
    """Whatever PostgreSQL knows of the table, here nothing: else each batch would read all pages."""
    site.execute(
        "SET session_replication_role = replica;"  # pages of nothing
        "ALTER TABLE enterprise_prolocalisation ENABLE ALWAYS TRIGGER as_django;"
        "ALTER TABLE enterprise_entreprise ENABLE ALWAYS TRIGGER as_django;"
        "INSERT INTO enterprise_prolocalisation (id, created_at, updated_at, entreprise_id, "
        "sous_categorie_id, ville_id, ingest_made) SELECT gen_random_uuid(), now(), now(), "
        "gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), true FROM generate_series(1, 3000);"
        "INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, nom, naf_code) "
        "SELECT gen_random_uuid(), now(), now(), n, n, '62.01Z' FROM generate_series(1, 12000) n"
    )
    ids = [id_ for (id_,) in site.query("SELECT id FROM enterprise_entreprise LIMIT 1000")]
    queries = load("processors.rows.derived", "public_pages.sql")
    with psycopg.connect(site.database_url) as connection:
        connection.execute(NESTED_LOOPS)
        explain = b"EXPLAIN (FORMAT JSON) " + (queries["chosen"] + queries["make"]).encode()
        [(document,)] = connection.execute(explain, {"ids": ids}).fetchall()

    read = [
        node
        for node in nodes(document[0]["Plan"])
        if "prolocalisation" in node.get("Index Name", node.get("Relation Name", ""))
        and node["Node Type"] != "ModifyTable"
    ]
    assert read
    assert {node["Node Type"] for node in read} <= {
        "Index Scan", "Index Only Scan", "Bitmap Index Scan", "Bitmap Heap Scan",
    }  # fmt: skip


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The plan and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
