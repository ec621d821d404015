"""The reference of both nomenclatures in PostgreSQL, without Kafka: loads, decisions, the worksheet."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from processors.database.pool import open_pool
from processors.errors import ConfigurationError, UnreachableError
from processors.jobs.job_run import by_hand
from processors.operator.naf.naf_decisions import decide
from processors.operator.naf.naf_files import Activity, Naf2025, Pair, read_naf2025
from processors.operator.naf.naf_reference import replace
from processors.operator.naf.naf_worksheet import Candidate, candidates, choices, worksheet
from processors.rows.derived.public_pages import resolve_all
from processors.settings import Settings
from tests.fix_stack import AS_DJANGO
from tests.integration.test_row_writer import database

__all__ = ["database"]  # fixtures

REV2 = {
    "62.01Z": Activity("Programmation", "programmation"),
    "62.02A": Activity("Conseil", "conseil"),
    "62.09Z": Activity("Autres", "autre"),
}
NAF2025 = Naf2025(
    {"62.10Y": "Programmation", "62.20Y": "Conseil", "62.90Y": "Nouveau"},
    [
        Pair("62.01Z", "62.10Y", True),
        Pair("62.02A", "62.20Y", False),
        Pair("62.09Z", "62.20Y", False),
    ],
)


class Topic:
    """What was published, instead of a topic; or a Kafka that takes nothing."""

    def __init__(self, *, away: bool = False) -> None:
        self.holds: dict[str, Activity] = {}
        self._away = away

    def send(self, activities: Mapping[str, Activity], removed: Iterable[str]) -> None:
        if self._away:
            raise UnreachableError("away")
        self.holds.update(activities)
        for code in removed:
            del self.holds[code]


class Reference:
    """A database and a topic, and what the commands do with them."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.topic = Topic()

    def load(
        self, activities: Mapping[str, Activity] = REV2, naf2025: Naf2025 = NAF2025
    ) -> tuple[int, int, int]:
        with psycopg.connect(self.database) as connection:
            return replace(connection, self.topic.send, activities, naf2025)

    def decide(self, path: Path, topic: Topic | None = None) -> int:
        with psycopg.connect(self.database) as connection:
            return decide(connection, (topic or self.topic).send, choices(path))

    def candidates(self) -> list[Candidate]:
        with psycopg.connect(self.database) as connection:
            return candidates(connection)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, options=AS_DJANGO) as connection:
            return connection.execute(sql.encode()).fetchall()

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.database, options=AS_DJANGO) as connection:
            connection.execute(sql.encode())

    @property
    def trades(self) -> dict[str, str]:
        """In the table, which holds what the topic does."""
        found = self.query("SELECT code, libelle, sous_categorie FROM ingest.naf")
        assert {code: Activity(*rest) for code, *rest in found} == self.topic.holds
        return {code: slug for code, _, slug in found}

    def arrived(self) -> set[str]:
        """The codes that were noted since the last look."""
        with psycopg.connect(self.database) as connection:
            found = connection.execute("DELETE FROM ingest.pages_due RETURNING key").fetchall()
        return {key for (key,) in found}


@pytest.fixture
def reference(database: str) -> Reference:
    """With REV2 and NAF2025."""
    found = Reference(database)
    found.load()
    return found


def decision(folder: Path, *lines: str) -> Path:
    """A worksheet of `code;slug;choix` each."""
    path = folder / "decided.csv"
    path.write_text("\n".join(["code_2025;sous_categorie;choix", *lines]), "utf-8")
    return path


def test_both_nomenclatures_are_loaded(reference: Reference) -> None:
    """Trades of NAF 2025 are carried over; a code without one is there, and noted as the others."""
    assert reference.trades == {
        **{code: activity.slug for code, activity in REV2.items()},
        "62.10Y": "programmation",
        "62.20Y": "",
        "62.90Y": "",
    }
    assert reference.arrived() == REV2.keys() | NAF2025.labels.keys()
    assert reference.load() == (6, 0, 2)
    assert reference.arrived() == set()


def test_codes_that_change_or_go(reference: Reference) -> None:
    """Also those of NAF 2025 to which another trade of rev. 2 is carried over."""
    reference.arrived()
    other = {**REV2, "62.01Z": Activity("Programmation", "autre")}
    labels = {code: label for code, label in NAF2025.labels.items() if code != "62.90Y"}

    assert reference.load(other, Naf2025(labels, NAF2025.pairs)) == (5, 1, 1)

    assert reference.arrived() == {"62.01Z", "62.10Y", "62.90Y"}
    assert reference.trades["62.10Y"] == "autre"


def test_a_correspondence_replaces_the_other(reference: Reference) -> None:
    """A corrected pair is carried over, and the worksheet shows no pair that is gone."""
    corrected = [*NAF2025.pairs[:2], Pair("62.09Z", "62.90Y", True)]

    reference.load(naf2025=Naf2025(NAF2025.labels, corrected))

    assert reference.trades["62.20Y"] == "conseil"
    assert reference.trades["62.90Y"] == "autre"
    assert reference.query(
        "SELECT code_rev2, code_2025, certain FROM ingest.naf_correspondence ORDER BY 1"
    ) == [tuple(pair) for pair in corrected]
    assert reference.candidates() == []


def test_a_decision_outlives_what_is_loaded(reference: Reference, tmp_path: Path) -> None:
    """It holds until an operator's file says otherwise, and again when that file is gone."""
    reference.arrived()

    assert reference.decide(decision(tmp_path, "62.20Y;conseil;x", "62.20Y;autre;")) == 1

    assert reference.trades["62.20Y"] == "conseil"
    assert reference.arrived() == {"62.20Y"}
    reference.load()
    assert reference.trades["62.20Y"] == "conseil"
    assert reference.arrived() == set()
    reference.load({**REV2, "62.20Y": Activity("Conseil", "autre")})
    assert reference.trades["62.20Y"] == "autre"
    reference.load()
    assert reference.trades["62.20Y"] == "conseil"


def test_a_decision_is_changed(reference: Reference, tmp_path: Path) -> None:
    """And overrides what was carried over; the trade may be one that only the site has."""
    reference.execute(
        "INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)"
        " VALUES (gen_random_uuid(), now(), now(), 'A', 'a');"
        "INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug)"
        " SELECT gen_random_uuid(), now(), now(), id, 'Own', 'own' FROM category_categorie"
    )
    reference.decide(decision(tmp_path, "62.20Y;conseil;x"))
    reference.decide(decision(tmp_path, "62.20Y;own;x", "62.10Y;autre;x"))

    reference.load()

    assert (reference.trades["62.20Y"], reference.trades["62.10Y"]) == ("own", "autre")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("62.80Y;conseil;x", "line 3, column code_2025: 62.80Y is not loaded"),
        ("62.90Y;conseils;x", "line 3, column sous_categorie: 'conseils' is not the slug"),
        ("62.90Y;;x", "line 3, column sous_categorie: write the slug"),
    ],
)
def test_decisions_of_which_one_is_none(
    reference: Reference, tmp_path: Path, line: str, message: str
) -> None:
    """None is stored."""
    with pytest.raises(ConfigurationError, match=message):
        reference.decide(decision(tmp_path, "62.20Y;conseil;x", line))

    assert reference.trades["62.20Y"] == ""
    assert reference.query("SELECT count(*) FROM ingest.naf_decisions") == [(0,)]


def test_a_decision_that_kafka_does_not_take(reference: Reference, tmp_path: Path) -> None:
    """It is not stored either, so that it can be repeated."""
    path = decision(tmp_path, "62.20Y;conseil;x")

    with pytest.raises(UnreachableError):
        reference.decide(path, Topic(away=True))

    assert reference.trades["62.20Y"] == ""
    assert reference.decide(path) == 1


def test_the_worksheet_of_what_is_stored(reference: Reference, tmp_path: Path) -> None:
    """A line for each trade of an old code, the one of most companies first; it can be read back."""
    reference.load(
        {**REV2, "62.03Z": Activity("Gestion", "autre")},
        Naf2025(NAF2025.labels, [*NAF2025.pairs, Pair("62.03Z", "62.20Y", False)]),
    )
    reference.execute(
        "INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, nom, naf_code)"
        " SELECT gen_random_uuid(), now(), now(), n, n, code FROM (VALUES ('1', '62.02A'),"
        " ('2', '62.09Z'), ('3', '62.03Z'), ('4', '62.01Z'), ('5', '62.20Y')) AS given (n, code)"
    )

    found = reference.candidates()

    assert found == [
        Candidate("62.20Y", "Conseil", "autre", "62.03Z / 62.09Z", "Gestion / Autres", 2),
        Candidate("62.20Y", "Conseil", "conseil", "62.02A", "Conseil", 1),
        Candidate("62.90Y", "Nouveau", "", "", "", 0),
    ]
    path = tmp_path / "naf.csv"
    path.write_bytes(worksheet(found).replace(b";1;", b";1;x"))
    assert reference.decide(path) == 1
    assert reference.trades["62.20Y"] == "conseil"
    assert [candidate.code for candidate in reference.candidates()] == ["62.90Y"]


def test_a_worksheet_of_nothing(database: str) -> None:
    """Before anything is loaded, it would be empty, and say that all is decided."""
    with pytest.raises(ConfigurationError, match="reference load"):
        Reference(database).candidates()


def test_a_company_whose_code_is_not_decided(reference: Reference, tmp_path: Path) -> None:
    """It keeps its page and is listed; a decision moves it, and makes the page of a new company."""
    reference.execute(_SITE)
    _resolve(reference)
    assert _pages(reference) == {("1", "programmation", True)}

    reference.execute("UPDATE enterprise_entreprise SET naf_code = '62.20Y'")
    _resolve(reference)
    assert _pages(reference) == {("1", "programmation", True)}
    waiting = reference.query("SELECT reason, naf_code FROM ingest.unresolved_pages")
    assert waiting == [("naf", "62.20Y")] * 2

    reference.decide(decision(tmp_path, "62.20Y;conseil;x"))
    _resolve(reference)
    assert _pages(reference) == {
        ("1", "programmation", False),
        ("1", "conseil", True),
        ("2", "conseil", True),
    }
    assert reference.query("SELECT FROM ingest.unresolved_pages") == []


_SITE = """
INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
VALUES (gen_random_uuid(), now(), now(), 'A', 'a');
INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug)
SELECT gen_random_uuid(), now(), now(), id, trade, trade
FROM category_categorie, (VALUES ('programmation'), ('conseil')) AS given (trade);
INSERT INTO location_ville (
    id, created_at, updated_at, nom, slug, code_postal_principal, codes_postaux, departement, region,
    lat, lng, population
)
VALUES (gen_random_uuid(), now(), now(), 'Rennes', 'rennes', '35000', '[]', '', '', 0, 0, 0);
INSERT INTO enterprise_entreprise (
    id, created_at, updated_at, siren, nom, naf_code, code_postal, ville_nom
)
SELECT gen_random_uuid(), now(), now(), n, n, code, '35000', 'Rennes'
FROM (VALUES ('1', '62.10Y'), ('2', '62.90Y')) AS given (n, code)
"""


def _resolve(reference: Reference) -> None:
    async def resolve() -> None:
        async with open_pool(reference.database, 1) as pool:
            await resolve_all(pool, None)

    asyncio.run(resolve())


def _pages(reference: Reference) -> set[tuple[str, str, bool]]:
    """SIREN, trade and whether it is on the site, of each page."""
    return set(
        reference.query(
            "SELECT e.siren, s.slug, p.is_active FROM enterprise_prolocalisation p"
            " JOIN enterprise_entreprise e ON e.id = p.entreprise_id"
            " JOIN subcategory_souscategorie s ON s.id = p.sous_categorie_id"
        )
    )


def test_sub_categories_of_both_nomenclatures_are_repaired(reference: Reference) -> None:
    """Of two that want one name, one gets its code too; what names two codes is left as it is."""
    reference.execute(
        """
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
        VALUES (gen_random_uuid(), now(), now(), 'A', 'a');
        INSERT INTO subcategory_souscategorie (
            id, created_at, updated_at, categorie_id, nom, slug, description
        )
        SELECT gen_random_uuid(), now(), now(), id, given.nom, given.slug, given.description
        FROM category_categorie, (VALUES
            ('01.12Z', 'x-1', 'NAF 01.12Z : Culture du riz'),
            ('01.12Y', 'x-2', 'NAF 01.12Y : Culture du riz'),
            ('Culture de la canne à sucre', 'x-3', 'NAF 01.14Y : Culture de la canne à sucre'),
            ('01.14Z', 'x-4', 'NAF 01.14Z : Culture de la canne à sucre'),
            ('Du tabac (01.15Z)', 'x-5', 'NAF 01.15Y : Culture du tabac'),
            ('62.10Y', '', 'NAF 62.10Y : ?')
        ) AS given (nom, slug, description)
        """
    )
    settings = Settings(database_url=SecretStr(reference.database))

    repaired = by_hand(settings, "repair-sous-categories", 10_000)

    assert repaired == {"checked": 5, "repaired": 4, "names": 4, "slugs": 1, "descriptions": 1}
    assert dict(reference.query("SELECT slug, nom FROM subcategory_souscategorie")) == {
        "x-1": "Culture du riz",
        "x-2": "Culture du riz (01.12Y)",
        "x-3": "Culture de la canne à sucre",
        "x-4": "Culture de la canne à sucre (01.14Z)",
        "x-5": "Du tabac (01.15Z)",
        "activites-de-programmation-informatique-6210y": "Activités de programmation informatique",
    }
    assert by_hand(settings, "repair-sous-categories", 10_000)["repaired"] == 0


def test_the_shipped_labels_fit_the_table(reference: Reference) -> None:
    labels = read_naf2025().labels

    reference.load(naf2025=read_naf2025())

    assert reference.trades.keys() == REV2.keys() | labels.keys()
    longest = max(labels.values(), key=len)
    assert (longest,) in reference.query("SELECT libelle FROM ingest.naf")
