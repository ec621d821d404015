"""Companies through the change to NAF 2025: SIRENE's files of each month, an upstream stream, the switch.

The codes are those of INSEE's correspondence, and real pairs of SIRENE that it lacks. The right page of a
company is that of its own code under the trades that are carried over: of its code of rev. 2, or of its
code of NAF 2025 if no line of the same activity has the other one.
"""

import csv
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, partial
from itertools import chain, permutations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psycopg
import pytest
from pydantic import SecretStr

from processors.jobs.job_run import by_hand, dry_run
from processors.operator.naf.naf_decisions import decide
from processors.operator.naf.naf_files import Line, read, read_naf2025, shipped
from processors.operator.naf.naf_reference import combined
from processors.operator.naf.naf_reference import replace as load_reference
from processors.operator.naf.naf_worksheet import Choice
from processors.rows.derived.public_pages import resolve_all
from processors.rows.merge.naf_columns import in_order
from processors.rows.merge.targets import TARGETS
from processors.rows.model import Validated
from processors.rows.parking.parked_rows import ChildType
from processors.rows.transaction import RelatedRows
from processors.settings import Settings
from producers.reading import open_source
from schemas.import_types import ENTREPRISE
from tests.integration.test_naf_reference import Topic
from tests.integration.test_row_writer import APPENDED, TOPIC, Partition, database, opened, siren
from tests.integration.test_sirene_files import SEAT, UNIT

__all__ = ["database"]  # fixtures

LEAST = 0.99
"""Share of the companies with the right page, of those whose code has a trade."""

Month = Literal["december", "january", "from 5 January"]
MONTHS: tuple[Month, ...] = ("december", "january", "from 5 January")
DATES = {
    "december": "2026-11-20T10:00:00",
    "january": "2027-01-02T10:00:00",
    "from 5 January": "2027-01-05T10:00:00",
}
# Pairs of SIRENE that are not in INSEE's table.
FOREIGN = [("70.10Z", "66.30Y"), ("64.20Z", "66.30Y"), ("82.11Z", "70.10Y"), ("81.10Z", "94.99Y")]


class Activity(NamedTuple):
    rev2: str | None
    new: str


@dataclass(frozen=True)
class Company:
    """What SIRENE says of it: its activity, which may be another one from a month on, as may its place."""

    siren: str
    activity: Activity
    later: Activity
    moved: bool
    since: Month
    status: str
    natural: bool

    def line(self, month: Month) -> tuple[str, Activity, bool]:
        """The date of its lines in a month's files, the activity, and whether it has moved."""
        changes = self.moved or self.later != self.activity
        if not changes or MONTHS.index(month) < MONTHS.index(self.since):
            return DATES["december"], self.activity, False
        return DATES[self.since], self.later, self.moved

    def own_code(self, months: Iterable[Month]) -> Activity:
        """What is known of its activity after the files of these months; rev. 2 if a line had it."""
        lines = sorted((self.line(month)[:2], month) for month in months)
        (_, latest), _ = lines[-1]
        has_rev2 = any(
            activity == latest and month != "from 5 January" for (_, activity), month in lines
        )
        return latest if has_rev2 else Activity(None, latest.new)

    @property
    def is_shown(self) -> bool:
        return not (self.natural and self.status == "P")


def companies(count: int) -> list[Company]:
    """The same ones every time: 5 % partly disclosed, 3 % that change their activity, 3 % that move."""
    pairs = [Activity(pair.rev2, pair.naf2025) for pair in read_naf2025().pairs]
    pairs += [Activity(*pair) for pair in FOREIGN]
    draw = random.Random(2027)
    found = []
    for number in range(1, count + 1):
        activity = pairs[number % len(pairs)]
        changed = draw.choice([pair for pair in pairs if pair.new != activity.new])
        found.append(
            Company(
                siren(number),
                activity,
                changed if draw.random() < 0.03 else activity,
                draw.random() < 0.03,
                draw.choice(MONTHS[1:]),
                "P" if draw.random() < 0.05 else "O",
                draw.random() < 0.4,
            )
        )
    return found


def files(folder: Path, known: Sequence[Company], month: Month) -> list[Path]:
    """StockUniteLegale and StockEtablissement of a month; from 5 January without the second column."""
    units, seats = folder / f"{month} units.csv", folder / f"{month} seats.csv"
    for path, header, cells in ((units, UNIT, _unit), (seats, SEAT, _seat)):
        columns = header.split(",")
        if month == "from 5 January":
            columns = columns[:-1]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(cells(company, month)[: len(columns)] for company in known)
    return [units, seats]


def _codes(activity: Activity, month: Month) -> tuple[str, str, str]:
    if month == "from 5 January":
        return activity.new, "NAF2025", ""
    return activity.rev2 or "", "NAFRev2", activity.new


def _unit(company: Company, month: Month) -> tuple[str, ...]:
    date, activity, _ = company.line(month)
    masked = company.natural and company.status == "P"
    name = ("[ND]",) * 3 if masked else ("", "", f"ENTREPRISE {company.siren}")
    return (
        company.siren, company.status, "", "", date, "A", *name,
        "1000" if company.natural else "5710", *_codes(activity, month),
    )  # fmt: skip


def _seat(company: Company, month: Month) -> tuple[str, ...]:
    date, activity, moved = company.line(month)
    street = ("2", "RUE", "DE BREST") if moved else ("1", "RUE", "DE RENNES")
    place = ("[ND]",) * 4 if company.status == "P" else (*street, "35000")
    nic = "00022" if moved else "00014"
    return (
        company.siren, company.siren + nic, company.status, date, "true", *place, "RENNES", "35238",
        "A", "", "", *_codes(activity, month),
    )  # fmt: skip


@cache
def trades() -> dict[str, str]:
    """The slug of the sub-category of each code that has one."""
    wanted = combined(read(shipped()), read_naf2025(), {})
    return {code: activity.slug for code, activity in wanted.items() if activity.slug}


def right(company: Company, known: Activity) -> str | None:
    """The trade of its page; None if it has to wait, or is not shown."""
    if not company.is_shown:
        return None
    return trades().get(known.rev2 or known.new)


@pytest.fixture
async def log(database: str) -> AsyncIterator[Partition]:
    """A site with every trade and one city, and the shipped reference."""
    with psycopg.connect(database) as connection:
        load_reference(connection, Topic().send, read(shipped()), read_naf2025())
    async with opened(database) as found:
        await found.execute(_SITE)

        async def validate(batch: Any) -> Validated:
            return found.validated(batch)

        found.related = RelatedRows(children=ChildType(TARGETS[ENTREPRISE.name], [TOPIC], validate))
        yield found


_SITE = """
INSERT INTO category_categorie (id, created_at, updated_at, nom, slug)
VALUES (gen_random_uuid(), now(), now(), 'A', 'a');
INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug)
SELECT gen_random_uuid(), now(), now(), c.id, left(trades.slug, 100), trades.slug
FROM category_categorie c, (SELECT DISTINCT sous_categorie FROM ingest.naf) AS trades (slug)
WHERE trades.slug <> '';
INSERT INTO location_ville (
    id, created_at, updated_at, nom, slug, code_postal_principal, codes_postaux, departement, region,
    lat, lng, population
)
VALUES (
    gen_random_uuid(), now(), now(), 'Rennes', 'rennes-35000', '35000', '[]', '', '', 0, 0, 0
);
INSERT INTO ingest.communes VALUES ('rennes-35000', '35238')
"""


async def bring(log: Partition, rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows in batches of 2,000."""
    start = len(log.records)
    for row in rows:
        log.append(row, APPENDED + timedelta(seconds=len(log.records)))
    while start < len(log.records):
        end = min(start + 2000, len(log.records))
        await log.write(log.batch(start, end))
        start = end


def read_rows(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        for row in chain.from_iterable(open_source(path, ENTREPRISE).chunks()):
            assert not row.faults
            yield row.record


async def emptied(log: Partition) -> None:
    tables = "enterprise_prolocalisation", "enterprise_entreprise", "ingest.sirene", "ingest.parked"
    for table in tables:
        await log.execute(f"DELETE FROM {table}")


async def pages(log: Partition) -> dict[str, str]:
    """The trade of each company that has one page; with two, the test fails."""
    found = await log.query(
        "SELECT e.siren, s.slug FROM enterprise_prolocalisation p"
        " JOIN enterprise_entreprise e ON e.id = p.entreprise_id"
        " JOIN subcategory_souscategorie s ON s.id = p.sous_categorie_id WHERE p.is_active"
    )
    assert len(dict(found)) == len(found)
    return dict(found)


async def waiting(log: Partition) -> set[str]:
    """Companies that are listed as lacking the trade of their code."""
    found = await log.query(
        "SELECT e.siren, u.reason FROM ingest.unresolved_pages u"
        " JOIN enterprise_entreprise e ON e.id = u.entreprise_id"
    )
    assert {reason for _, reason in found} <= {"naf"}
    return {siren for siren, _ in found}


async def check(log: Partition, known: dict[Company, Activity]) -> set[str]:
    """Fails unless nearly all companies have the right page; the companies that wait for a decision.

    They are listed, and are all that have a code of NAF 2025 alone that has no trade.
    """
    found, listed = await pages(log), await waiting(log)
    exceptions = {
        company.siren
        for company, activity in known.items()
        if company.is_shown and right(company, activity) is None
    }
    wrong = {
        company.siren: (activity, found.get(company.siren))
        for company, activity in known.items()
        if company.siren not in exceptions and found.get(company.siren) != right(company, activity)
    }
    assert listed == exceptions
    assert 1 - len(wrong) / (len(known) - len(exceptions)) >= LEAST, wrong
    return exceptions


MANY = companies(2454)  # each pair twice
EACH = MANY[::2]


@pytest.mark.parametrize("month", MONTHS)
async def test_the_files_of_a_month(
    log: Partition, database: str, tmp_path: Path, month: Month
) -> None:
    """New companies get their pages; those with a code alone that has no trade wait for a decision."""
    await bring(log, read_rows(files(tmp_path, EACH, month)))

    exceptions = await check(log, {company: company.own_code([month]) for company in EACH})

    assert bool(exceptions) is (month == "from 5 January")
    await decide_all(log, database)
    assert await waiting(log) == set()
    assert (await pages(log)).keys() == {company.siren for company in EACH if company.is_shown}


async def decide_all(log: Partition, database: str) -> None:
    """A person decides all that is open."""
    codes = [code for code in read_naf2025().labels if code not in trades()]
    line = Line(Path("decided.csv"), 2, {})
    chosen = [Choice(line, code, trades()["62.01Z"]) for code in codes]
    with psycopg.connect(database) as connection:
        decide(connection, Topic().send, chosen)
    after = None
    while True:
        _, after = await resolve_all(log.pool, after)
        if after is None:
            return


async def test_month_after_month(log: Partition, tmp_path: Path) -> None:
    """Companies keep the trade of the code that they had, unless their activity changes."""
    for end, month in enumerate(MONTHS, start=1):
        await bring(log, read_rows(files(tmp_path, MANY, month)))
        known = {company: company.own_code(MONTHS[:end]) for company in MANY}
        assert len(await check(log, known)) <= len(MANY) * (1 - LEAST)


async def test_an_upstream_stream(log: Partition) -> None:
    """Rows carry either code or both, in either column, with a date of their own or without."""
    draw = random.Random(1)
    rows: list[dict[str, Any]] = []
    known: dict[Company, Activity] = {}
    for company in EACH:
        rev2, new = company.activity
        shapes: list[dict[str, str | None]] = draw.sample(
            [
                {"naf_code": rev2, "naf_2025": None},
                {"naf_code": rev2, "naf_2025": new},
                {"naf_code": new, "naf_2025": None},
                {"naf_code": None, "naf_2025": new},
                {"naf_code": new, "naf_2025": new},
            ],
            draw.choice([1, 2, 3]),
        )
        date = draw.choice([None, DATES["december"]])
        place = {"code_postal": "35000", "ville_nom": "Rennes"}
        base: dict[str, Any] = {"siren": company.siren, "nom": "ACME", "source_date": date, **place}
        rows += [base | shape for shape in shapes]
        has_rev2 = any(shape["naf_code"] == rev2 for shape in shapes)
        shown = replace(company, status="O")
        known[shown] = company.activity if has_rev2 else Activity(None, new)
    draw.shuffle(rows)

    await bring(log, rows)

    await check(log, known)


SITE = (
    "siren, nom, siret, adresse, code_postal, ville_nom, naf_code, naf_libelle, nom_commercial,"
    " is_active"
)


async def tables(log: Partition) -> tuple[Any, ...]:
    """What the files say of companies, and who waits."""
    facts = await log.query("SELECT * FROM ingest.sirene ORDER BY siren")
    return await log.stored(SITE), facts, await waiting(log)


async def test_files_in_any_order(log: Partition, tmp_path: Path) -> None:
    """They end in the same tables, and pages but for companies that keep one until somebody decides."""
    few = MANY[::20]
    of_month = {month: files(tmp_path, few, month) for month in MONTHS}
    expected: tuple[Any, ...] | None = None
    for number, order in enumerate(permutations(MONTHS)):
        await emptied(log)
        for month in order:
            # StockUniteLegale first, or StockEtablissement.
            await bring(log, read_rows(of_month[month][:: -1 if number % 2 else 1]))
        found = await tables(log)
        settled = {key: slug for key, slug in (await pages(log)).items() if key not in found[-1]}
        expected = expected or (*found, settled)
        assert (*found, settled) == expected, order


async def test_an_old_file_after_the_switch(log: Partition, database: str, tmp_path: Path) -> None:
    """Nothing changes: neither the companies, nor when they changed, nor their pages."""
    few = MANY[::8]
    for month in MONTHS:
        await bring(log, read_rows(files(tmp_path, few, month)))
    settings = Settings(database_url=SecretStr(database), naf_primary="2025")
    before = await pages(log)
    differing = dry_run(settings, "switch-naf")
    assert differing["companies"] > len(few) * 0.8
    assert by_hand(settings, "switch-naf") == differing
    assert await pages(log) == before
    log.target = replace(log.target, compute=partial(in_order, primary="2025"))
    assert log.related.children is not None
    log.related = RelatedRows(children=replace(log.related.children, target=log.target))
    expected = await tables(log), await log.stored("updated_at"), before

    for month in MONTHS:
        await bring(log, read_rows(files(tmp_path, few, month)))

    assert (await tables(log), await log.stored("updated_at"), await pages(log)) == expected
    assert dry_run(settings, "switch-naf") == {"companies": 0}
