"""SIRENE's two files: what their rows make of companies, in any order, and what is not disclosed."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from processors.rows.merge.naf_columns import in_order
from processors.rows.merge.targets import TARGETS
from processors.rows.model import Validated
from processors.rows.parking import parked_rows
from processors.rows.parking.parked_rows import ChildType
from processors.rows.transaction import RelatedRows, write_parked
from schemas.import_types import ENTREPRISE
from tests.integration.test_row_writer import (
    APPENDED,
    DETAILS,
    TOPIC,
    Partition,
    database,
    line,
    opened,
    siren,
)

__all__ = ["database"]  # fixtures

A, B, C, D = (f"2026-0{month}-01T00:00:00" for month in range(1, 5))


@pytest.fixture
async def log(database: str) -> AsyncIterator[Partition]:
    """A partition of companies whose rows wait for each other."""
    async with opened(database) as found:

        async def validate(batch: Any) -> Validated:
            return found.validated(batch)

        found.related = RelatedRows(children=ChildType(TARGETS[ENTREPRISE.name], [TOPIC], validate))
        yield found


def unit(number: int = 1, date: str | None = A, /, **more: Any) -> dict[str, Any]:
    """A line of StockUniteLegale, of a legal person whose name is disclosed."""
    return {
        "siren": siren(number),
        "nom": "ACME",
        "categorie_juridique": "5710",
        "statut_diffusion": "O",
        "naf_code": "62.01Z",
        "naf_2025": "62.10Y",
        "is_active": True,
        "source_date": date,
    } | more


def seat(number: int = 1, date: str | None = A, /, **more: Any) -> dict[str, Any]:
    """A line of StockEtablissement, of a head office."""
    return {
        "siren": siren(number),
        "siret": f"{siren(number)}00012",
        "adresse": "1 RUE DE RENNES",
        "code_postal": "35000",
        "ville_nom": "RENNES",
        "naf_code": "62.02A",
        "naf_2025": "62.20G",
        "statut_diffusion": "O",
        "code_commune": "35238",
        "etablissement_siege": True,
        "source_date": date,
    } | more


MASKED_UNIT: dict[str, Any] = {"nom": None, "statut_diffusion": "P", "categorie_juridique": "1000"}
MASKED_SEAT: dict[str, Any] = {"adresse": None, "code_postal": None, "statut_diffusion": "P"}
NATURAL = {"categorie_juridique": "1000"}
NO_PLACE: dict[str, Any] = dict.fromkeys(("code_postal", "ville_nom", "code_commune"))


async def put(log: Partition, *rows: dict[str, Any], at_once: bool = False) -> Counter[str]:
    """Writes rows as one import, each in a batch of its own or all in one; the outcomes."""
    start = len(log.records)
    for number, row in enumerate(rows, start=start + 1):
        log.append(row | line(number), APPENDED + timedelta(seconds=number))
    if at_once:
        await log.write(log.batch(start))
    else:
        for at in range(start, len(log.records)):
            await log.write(log.batch(at, at + 1))
    return await log.progress()


COLUMNS = "siren, nom, siret, adresse, code_postal, ville_nom, naf_code, nom_commercial, is_active"
FACTS = (
    "siren, diffusion_unite, diffusion_siege, categorie_juridique, code_commune, naf_rev2, naf_2025,"
    " unite_at, siege_at, naf_rev2_from, enseigne_from"
)


async def state(log: Partition) -> list[list[tuple[Any, ...]]]:
    """What is stored of the companies."""
    return [
        await log.stored(COLUMNS),
        await log.query(f"SELECT {FACTS} FROM ingest.sirene ORDER BY siren"),
    ]


async def emptied(log: Partition) -> None:
    """As before the first row."""
    for table in ("enterprise_entreprise", "ingest.sirene", "ingest.parked", "ingest.progress"):
        await log.execute(f"DELETE FROM {table}")
    await log.execute("UPDATE ingest.positions SET next_offset = 0")
    log.records.clear()


RENNES = ("1 RUE DE RENNES", "35000", "RENNES")


async def test_a_head_office_that_waits_for_its_company(log: Partition) -> None:
    """It is parked, and written with the company; activity and place are the head office's."""
    assert await put(log, seat()) == Counter(parked=1)
    assert await log.stored() == []

    assert await put(log, unit()) == Counter(updated=1, inserted=1)

    expected = (siren(1), "ACME", siren(1) + "00012", *RENNES, "62.02A", "", True)
    assert await log.stored(COLUMNS) == [expected]
    assert await log.query("SELECT count(*) FROM ingest.parked") == [(0,)]


async def test_more_head_offices_than_may_wait(log: Partition) -> None:
    """Those beyond the limit are rejected with what has to be imported first; nothing is lost."""
    assert log.related.children is not None
    log.related = RelatedRows(children=replace(log.related.children, most_parked=2))

    assert await put(log, seat(1), seat(2)) == Counter(parked=2)
    assert await put(log, seat(3)) == Counter(parked=2, rejected=1)

    [(faults,)] = await log.query("SELECT faults FROM ingest.rejects")
    assert faults[0]["code"] == "unknown-company"
    assert "StockUniteLegale" in faults[0]["message"]


EVENTS: dict[str, list[dict[str, Any]]] = {
    "a company": [unit(), seat(nom_commercial="CHEZ ACME")],
    "a trade name of each": [unit(nom_commercial="SIGLE"), seat(nom_commercial="CHEZ ACME")],
    "a head office that moved": [
        unit(),
        seat(),
        seat(1, B, siret=f"{siren(1)}00020", adresse="2 RUE DE BREST"),
    ],
    "a head office that moved in a file that is older than its company's": [
        unit(1, C),
        seat(),
        seat(1, B, siret=f"{siren(1)}00020", adresse="2 RUE DE BREST"),
    ],
    "a head office that moved on the day on which the other was treated": [
        unit(),
        seat(1, f"{A} 2020-05-01"),
        seat(1, f"{A} 2025-12-24", siret=f"{siren(1)}00020", adresse="2 RUE DE BREST"),
    ],
    "files of both nomenclatures and of the later one": [
        unit(naf_code="62.02A", naf_2025="62.20G"),
        seat(),
        seat(1, B, naf_code="62.20G", naf_2025=None),
        seat(1, C, naf_code="62.20G", naf_2025=None),
    ],
    "an activity that changes between them": [
        unit(),
        seat(),
        seat(1, B, naf_code="47.12H", naf_2025=None),
    ],
    "a status that is as old as the other line, which began later": [
        unit(1, f"{A} 2020-01-01", **NATURAL | {"statut_diffusion": "P", "nom": None}),
        seat(1, f"{A} 2024-01-01"),
    ],
    "a legal person that is partly disclosed": [
        unit(statut_diffusion="P"),
        seat(**MASKED_SEAT),
    ],
    "a natural person that is partly disclosed": [unit(**MASKED_UNIT), seat(**MASKED_SEAT)],
    "a natural person whose name stands in clear": [
        unit(**MASKED_UNIT | {"nom": "ALIX EXEMPLARD"}),
        seat(**MASKED_SEAT),
    ],
    "a head office of January, and the older code of its company": [
        unit(naf_code="62.02A", naf_2025="62.20G"),
        seat(1, B, naf_code="62.20G", naf_2025=None),
    ],
    "a head office of January, its own older code and that of its company": [
        unit(naf_code="62.01Z", naf_2025="62.20G"),
        seat(naf_code="62.02A"),
        seat(1, B, naf_code="62.20G", naf_2025=None),
    ],
    "both files of January, and older ones whose codes of rev. 2 differ": [
        unit(naf_code="62.01Z", naf_2025="62.20G"),
        unit(1, B, naf_code="62.20G", naf_2025=None),
        seat(naf_code="62.02A"),
        seat(1, C, naf_code="62.20G", naf_2025=None),
    ],
    "an activity of rev. 2 that changes within one of NAF 2025": [
        unit(),
        seat(naf_code="62.01Z"),
        seat(1, B, naf_code="62.02A"),
        seat(1, C, naf_code="62.20G", naf_2025=None),
    ],
    "an activity that changes and changes back": [
        unit(),
        seat(),
        seat(1, B, naf_code="47.91A", naf_2025="47.12H"),
        seat(1, C),
    ],
    "an activity of rev. 2 that changes back within one of NAF 2025": [
        seat(naf_code="62.01Z"),
        seat(1, B, naf_code="62.02A"),
        seat(1, C, naf_code="62.01Z"),
        seat(1, D, naf_code="62.20G", naf_2025=None),
        unit(),
    ],
    "trade names that follow each other and end": [
        unit(),
        seat(nom_commercial="CHEZ ACME"),
        seat(1, B, nom_commercial="AU BON COIN"),
        seat(1, C),
    ],
    "codes that only an older line of the head office has": [
        unit(),
        seat(),
        seat(1, B, naf_code=None, naf_2025=None),
    ],
    "both files of January, and older ones of another activity": [
        unit(naf_code="47.91A", naf_2025="47.12H"),
        unit(1, C, naf_code="47.12H", naf_2025=None),
        seat(),
        seat(1, B, naf_code="62.20G", naf_2025=None),
    ],
    "a trade name that ends": [unit(), seat(nom_commercial="CHEZ ACME"), seat(1, B)],
    "a trade name of the company that ends": [
        unit(nom_commercial="SIGLE"),
        unit(1, B),
        seat(nom_commercial="CHEZ ACME"),
        seat(1, C),
    ],
    "a head office that moved abroad": [
        unit(),
        seat(),
        seat(1, B, siret=f"{siren(1)}00020", adresse="DOWNING STREET", **NO_PLACE),
    ],
    "files without dates": [unit(1, None), seat(1, None)],
    "a natural person that becomes a company": [
        unit(**NATURAL),
        unit(1, B),
        seat(**MASKED_SEAT),
        seat(1, B),
    ],
    "a legal person from O to P to O at another place": [
        unit(),
        seat(),
        unit(1, B, statut_diffusion="P"),
        seat(1, B, **MASKED_SEAT),
        unit(1, C),
        seat(1, C, siret=f"{siren(1)}00020", adresse="2 RUE DE BREST"),
    ],
    "a natural person from P to O": [
        unit(**MASKED_UNIT),
        seat(**MASKED_SEAT),
        unit(1, B, **NATURAL),
        seat(1, B),
    ],
    "a natural person from O to P to O": [
        unit(**NATURAL),
        seat(),
        unit(1, B, **MASKED_UNIT),
        seat(1, B, **MASKED_SEAT),
        unit(1, C, **NATURAL),
        seat(1, C),
    ],
}


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("events", EVENTS)
async def test_in_any_order(log: Partition, events: str, *, at_once: bool) -> None:
    """Both files and all their editions end in the same state, whatever came first."""
    await put(log, *EVENTS[events], at_once=at_once)
    expected = await state(log)

    for order in list(permutations(EVENTS[events]))[:60]:
        await emptied(log)
        await put(log, *order, at_once=at_once)
        assert await state(log) == expected, order


@pytest.mark.parametrize(("order", "naf_2025"), [((0, 1, 2), None), ((2, 0, 1), "62.20G")])
async def test_an_activity_that_changes_back_without_one_of_2025(
    log: Partition, order: tuple[int, ...], naf_2025: str | None
) -> None:
    """Its code of 2025 is that of before the change if that line comes last: of what a company had, only
    the last codes are kept."""
    lines = [seat(), seat(1, B, naf_code="47.91A", naf_2025=None), seat(1, C, naf_2025=None)]
    await put(log, unit(naf_code=None, naf_2025=None), *(lines[at] for at in order))

    assert await log.query("SELECT naf_rev2, naf_2025 FROM ingest.sirene") == [("62.02A", naf_2025)]


async def test_a_head_office_of_an_older_file(log: Partition) -> None:
    """It changes nothing, and counts as stale."""
    await put(log, unit(), seat(1, B))

    counted = await put(log, seat(adresse="9 RUE ANCIENNE"))

    assert counted["stale"] == 1
    assert await log.stored("adresse") == [("1 RUE DE RENNES",)]


async def test_a_head_office_that_moves_abroad(log: Partition) -> None:
    """It does not keep the postal code and the city of the other one."""
    await put(log, unit(), seat())

    await put(log, seat(1, B, siret=f"{siren(1)}00020", adresse="DOWNING STREET", **NO_PLACE))

    assert await log.stored("adresse, code_postal, ville_nom") == [("DOWNING STREET", "", "")]
    assert await log.query("SELECT code_commune FROM ingest.sirene") == [(None,)]


async def test_a_secondary_establishment_of_an_upstream_system(log: Partition) -> None:
    """It changes nothing of its company, and creates none."""
    await put(log, unit(), seat())

    await put(
        log,
        seat(etablissement_siege=False, adresse="ELSEWHERE"),
        seat(2, etablissement_siege=False),
    )

    assert await log.stored("siren, adresse") == [(siren(1), "1 RUE DE RENNES")]


async def test_a_row_without_a_name(log: Partition) -> None:
    """Of a company that is not known it is rejected, if it is about no head office."""
    assert await put(log, unit(nom=None)) == Counter(rejected=1)


# Partial disclosure


PERSONAL = "nom, adresse, code_postal, nom_commercial, telephone, email_contact"


@pytest.mark.parametrize("policy", ["merge", "overwrite", "fill_missing", "insert_only"])
async def test_what_is_no_longer_disclosed_is_removed(log: Partition, policy: str) -> None:
    """Whatever the policy, and no row from elsewhere brings it back."""
    await put(
        log,
        unit(**NATURAL, nom_commercial="CHEZ MOI", telephone="0299000000", email_contact="a@b.fr"),
        seat(),
    )
    number = len(log.records) + 1
    log.append(unit(1, B, **MASKED_UNIT) | line(number, policy=policy))
    await log.write(log.batch(number - 1))

    assert await log.stored(PERSONAL) == [("", "", "", "", "", "")]

    await put(
        log,
        {"siren": siren(1), "nom": "JEANNE", "adresse": "1 RUE", "telephone": "0299000000"},
        unit(**NATURAL),
        seat(),
    )
    assert await log.stored(PERSONAL) == [("", "", "", "", "", "")]

    await put(log, unit(1, C, **NATURAL), seat(1, C))
    assert await log.stored(PERSONAL) == [("ACME", *RENNES[:2], "", "", "")]


async def test_from_disclosed_to_not_in_any_order(log: Partition) -> None:
    """Nothing of the person is stored, whether the company was known before or not."""
    events = [
        unit(**NATURAL),
        seat(),
        unit(1, B, **MASKED_UNIT),
        seat(1, B, **MASKED_SEAT),
    ]
    for order in permutations(events):
        await emptied(log)
        await put(log, *order)
        assert await log.stored(PERSONAL) in ([], [("", "", "", "", "", "")]), order


async def test_a_natural_person_that_is_not_known(log: Partition) -> None:
    """No company is created, not by an older file that has the name either."""
    assert await put(log, unit(1, B, **MASKED_UNIT)) == Counter(unchanged=1)

    counted = await put(log, unit(**NATURAL), seat(1, B, **MASKED_SEAT))

    assert await log.stored() == []
    assert counted["parked"] == 0


async def test_a_head_office_that_is_disclosed_again(log: Partition) -> None:
    """It waits for the name, which the next row of its company has; the sweep leaves it alone."""
    await put(log, unit(**MASKED_UNIT), seat(1, B))
    children = log.related.children
    assert children is not None
    async with log.pool.connection() as connection:
        assert await parked_rows.releasable(connection, children, [log.number]) == {}

    await put(log, unit(1, B, **NATURAL))

    assert await log.stored("nom, adresse, code_postal, ville_nom") == [("ACME", *RENNES)]
    assert await log.query("SELECT FROM ingest.parked") == []


async def test_a_legal_person_keeps_its_name(log: Partition) -> None:
    """It loses its address, and has its commune and its activity."""
    await put(log, unit(), seat())

    await put(log, unit(1, B, statut_diffusion="P"))

    expected = (siren(1), "ACME", siren(1) + "00012", "", "", "RENNES", "62.02A", "", True)
    assert await log.stored(COLUMNS) == [expected]


@pytest.mark.parametrize("word", ["[ND]", "[NON-DIFFUSIBLE]"])
async def test_words_of_an_upstream_system(log: Partition, word: str) -> None:
    """They are not texts: no company has such a name or street."""
    await put(log, unit(), seat(adresse=word, nom_commercial=word), unit(2, nom=word))

    assert await log.stored("siren, nom, adresse, nom_commercial") == [(siren(1), "ACME", "", "")]


# Both nomenclatures


async def test_codes_of_both_nomenclatures(log: Partition) -> None:
    """The site's column keeps its nomenclature, whichever column of a row holds the codes."""
    await put(
        log, unit(naf_code="62.01Z", naf_2025=None), unit(1, B, naf_code="62.10Y", naf_2025=None)
    )
    assert await log.stored("naf_code") == [("62.01Z",)]

    await put(
        log, unit(2, naf_code="62.10Y", naf_2025=None), unit(2, B, naf_code="62.10Y", naf_2025=None)
    )
    assert await log.stored("naf_code") == [("62.01Z",), ("62.10Y",)]

    await put(log, unit(2, C, naf_code="62.01Z", naf_2025="62.10Y"))
    assert await log.stored("naf_code") == [("62.01Z",), ("62.01Z",)]
    assert await log.query("SELECT naf_rev2, naf_2025 FROM ingest.sirene ORDER BY siren") == [
        ("62.01Z", "62.10Y"),
        ("62.01Z", "62.10Y"),
    ]


async def test_an_activity_that_changes(log: Partition) -> None:
    """A new code takes the older one of the other nomenclature with it, on the site too."""
    await put(log, unit(), unit(1, B, naf_code="47.12H", naf_2025=None))

    assert await log.query("SELECT naf_rev2, naf_2025 FROM ingest.sirene") == [(None, "47.12H")]
    assert await log.stored("naf_code") == [("47.12H",)]


async def test_a_code_that_later_lines_lack(log: Partition) -> None:
    """An older line brings it, and nothing else; the next time it is stale, as every other one is."""
    later = {"naf_code": "62.20G", "naf_2025": None}
    nothing = {"naf_code": None, "naf_2025": None}
    await put(log, unit(**nothing), unit(2, **nothing), seat(1, B, **later), seat(2, B, **later))
    older = {"adresse": "9 RUE ANCIENNE", "categorie_juridique": "1000", "code_commune": "29019"}

    counted = await put(log, seat(**older), seat(2, naf_2025="47.12H", **older))

    assert (counted["inserted"], counted["updated"], counted["stale"]) == (2, 3, 1)
    assert await log.stored("naf_code, adresse") == [
        ("62.02A", "1 RUE DE RENNES"),
        ("62.20G", "1 RUE DE RENNES"),
    ]
    facts = (
        "SELECT naf_rev2, naf_2025, categorie_juridique, code_commune, siege_at FROM ingest.sirene"
    )
    assert await log.query(f"{facts} ORDER BY siren") == [
        ("62.02A", "62.20G", "5710", "35238", B),
        (None, "62.20G", "5710", "35238", B),
    ]
    assert (await put(log, seat(**older)))["stale"] == 2


async def test_a_row_that_overwrites(log: Partition) -> None:
    """A code of the other nomenclature does not empty the code of the site."""
    await put(log, unit())
    number = len(log.records) + 1
    row = unit(1, B, naf_code="62.10Y", naf_2025=None)

    log.append(row | line(number, policy="overwrite"))
    await log.write(log.batch(number - 1))

    assert await log.stored("naf_code") == [("62.01Z",)]


async def test_a_status_that_is_as_old_as_another(log: Partition) -> None:
    """P holds, whenever what the lines are about began."""
    await put(log, unit(1, f"{A} 2020-01-01", statut_diffusion="P"), seat(1, f"{A} 2024-01-01"))

    assert await log.stored("nom, adresse, code_postal, ville_nom") == [("ACME", "", "", "RENNES")]


# Pages


@pytest.fixture
async def site(log: Partition) -> Partition:
    """The same with a city, and trades: one of a code of NAF rev. 2, another of a code of 2025."""
    await log.execute(
        """
        INSERT INTO ingest.naf VALUES
            ('62.02A', 'Conseil', 'conseil'), ('62.20G', 'Conseil', ''), ('47.12H', 'Vente', 'vente');
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
        VALUES (gen_random_uuid(), now(), now(), 'A', 'a');
        INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug)
        SELECT gen_random_uuid(), now(), now(), c.id, trades.slug, trades.slug
        FROM category_categorie c, (VALUES ('conseil'), ('vente')) AS trades (slug);
        INSERT INTO location_ville (
            id, created_at, updated_at, nom, slug, code_postal_principal, codes_postaux, departement,
            region, lat, lng, population
        )
        VALUES (gen_random_uuid(), now(), now(), 'Rennes', 'rennes', '35000', '[]', '', '', 0, 0, 0)
        """
    )
    return log


PAGES = (
    "SELECT s.slug, p.is_active, p.texte_long_entreprise FROM enterprise_prolocalisation p"
    " JOIN subcategory_souscategorie s ON s.id = p.sous_categorie_id"
)


@pytest.mark.parametrize("first", ["unit", "seat"])
async def test_a_page_that_is_withdrawn(site: Partition, first: str) -> None:
    """With its texts; it comes back without them when the person is disclosed again."""
    await put(site, *([unit(**NATURAL), seat()] if first == "unit" else [seat(), unit(**NATURAL)]))
    assert await site.query(PAGES) == [("conseil", True, "")]
    await site.execute("UPDATE enterprise_prolocalisation SET texte_long_entreprise = 'Alix'")
    await site.execute("UPDATE enterprise_entreprise SET latitude = 48, nom_proprietaire = 'Alix'")

    await put(site, unit(1, B, **MASKED_UNIT))

    assert await site.query(PAGES) == [("conseil", False, "")]
    assert await site.stored("latitude, nom_proprietaire") == [(None, "")]

    await put(site, unit(1, C, **NATURAL), seat(1, C))

    assert await site.query(PAGES) == [("conseil", True, "")]


async def test_details_of_a_person_that_is_not_disclosed(log: Partition) -> None:
    """A file from elsewhere does not bring back whose company it is, and where."""
    await put(log, unit(**NATURAL), unit(1, B, **MASKED_UNIT))

    await put(log, {"siren": siren(1), "nom": "A", **DETAILS})

    hidden = {
        "latitude": None,
        "longitude": None,
        "nom_proprietaire": "",
        "google_place_id": "",
        "original_title": "",
    }
    kept = {name: value for name, value in DETAILS.items() if name not in hidden}
    assert await log.stored(", ".join(hidden)) == [tuple(hidden.values())]
    assert await log.stored(", ".join(kept)) == [tuple(kept.values())]


async def test_a_page_follows_a_code_that_the_site_does_not_show(site: Partition) -> None:
    """The trade is that of the code of rev. 2, although the site shows those of NAF 2025."""
    await site.execute("INSERT INTO ingest.naf VALUES ('62.01Z', 'Vente', 'vente')")
    site.target = replace(site.target, compute=partial(in_order, primary="2025"))
    await put(site, unit(), seat(naf_code="62.01Z"))
    assert await site.query(f"{PAGES} WHERE p.is_active") == [("vente", True, "")]

    await put(site, seat(1, B, naf_code="62.02A"))

    assert await site.stored("naf_code") == [("62.20G",)]
    assert await site.query(f"{PAGES} WHERE p.is_active") == [("conseil", True, "")]


async def test_the_page_of_a_legal_person_stays(site: Partition) -> None:
    """Its name and its commune are public."""
    await put(site, unit(), seat())
    await site.execute("UPDATE enterprise_entreprise SET latitude = 48")

    await put(site, unit(1, B, statut_diffusion="P"), seat(1, B, **MASKED_SEAT))

    assert await site.query(PAGES) == [("conseil", True, "")]
    assert await site.stored("latitude") == [(None,)]


@pytest.mark.parametrize(
    ("codes", "trade"),
    [
        ({"naf_code": "62.02A", "naf_2025": None}, "conseil"),
        ({"naf_code": "62.02A", "naf_2025": "47.12H"}, "conseil"),
        ({"naf_code": "47.12H", "naf_2025": None}, "vente"),
        ({"naf_code": "99.99Z", "naf_2025": "47.12H"}, "vente"),
        ({"naf_code": "62.20G", "naf_2025": None}, None),
    ],
)
async def test_the_trade_of_either_code(
    site: Partition, codes: dict[str, Any], trade: str | None
) -> None:
    """A code of NAF 2025 whose trade nobody has decided yet waits, and is counted."""
    await put(site, unit(), seat(**codes))

    assert [slug for slug, _, _ in await site.query(PAGES)] == ([trade] if trade else [])
    reasons = await site.query("SELECT reason FROM ingest.unresolved_pages")
    assert reasons == ([] if trade else [("naf",)])


@pytest.mark.parametrize("masked", [False, True])
async def test_head_offices_that_only_the_sweep_finds(log: Partition, masked: bool) -> None:
    """Too many rows waited for the transaction of their company; it may be one that is not created."""
    waiting = log.related
    await put(log, seat(**MASKED_SEAT if masked else {}))
    log.related = RelatedRows()  # of which no row waits
    await put(log, unit(1, B, **MASKED_UNIT if masked else {}))
    children = waiting.children
    assert children is not None

    async with log.pool.connection() as connection:
        found = await parked_rows.releasable(connection, children, [log.number])
    assert found == {log.number: [siren(1)]}
    await write_parked(log.pool, children, log.number, found[log.number])

    assert await log.query("SELECT FROM ingest.parked") == []
    assert await log.query("SELECT siret FROM enterprise_entreprise") == (
        [] if masked else [(f"{siren(1)}00012",)]
    )
