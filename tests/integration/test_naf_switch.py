"""The job that rewrites the site's activities in the other nomenclature."""

import os
import signal
import subprocess
import sys
from threading import Event

import psycopg
import pytest
from pydantic import SecretStr

from processors.errors import ConfigurationError
from processors.jobs import naf_switch
from processors.jobs.job_run import by_hand, dry_run, run
from processors.jobs.lease import StoppedError
from processors.settings import Settings
from schemas.values.naf import Nomenclature
from tests.fix_stack import Site, eventually
from tests.integration.test_naf_reference import _SITE, Reference, _pages, _resolve, reference
from tests.integration.test_row_writer import database

__all__ = ["database", "reference"]  # fixtures

JOB = "switch-naf"
COMPANIES = """
INSERT INTO enterprise_entreprise (
    id, created_at, updated_at, siren, nom, naf_code, naf_libelle, code_postal, ville_nom
)
SELECT gen_random_uuid(), '2026-01-01', '2026-01-01', siren, siren, naf_code, 'Ancien', '35000', 'Rennes'
FROM (VALUES
    ('000000011', '62.01Z'), ('000000012', '62.01Z'), ('000000013', '62.10Y'), ('000000014', '62.09Z'),
    ('000000015', '62.01Z'), ('000000016', '62.01Z')
) AS given (siren, naf_code);
INSERT INTO ingest.sirene (siren, naf_rev2, naf_2025)
VALUES ('000000011', '62.01Z', '62.10Y'), ('000000012', '62.01Z', NULL), ('000000013', NULL, '62.10Y'),
    ('000000014', '62.09Z', '62.20Y'), ('000000015', NULL, NULL), ('000000099', '62.01Z', '62.10Y');
"""
REV2 = {
    "000000011": ("62.01Z", "Programmation"),
    "000000012": ("62.01Z", "Ancien"),
    "000000013": ("62.10Y", "Ancien"),
    "000000014": ("62.09Z", "Autres"),
    "000000015": ("62.01Z", "Ancien"),
    "000000016": ("62.01Z", "Ancien"),
}
NEW = REV2 | {
    "000000011": ("62.10Y", "Programmation"),
    "000000014": ("62.20Y", "Conseil"),
}


def settings(reference: Reference, primary: Nomenclature) -> Settings:
    return Settings(database_url=SecretStr(reference.database), naf_primary=primary)


def on_the_site(reference: Reference) -> dict[str, tuple[str, str]]:
    found = reference.query("SELECT siren, naf_code, naf_libelle FROM enterprise_entreprise")
    return {siren: (code, label) for siren, code, label in found}


@pytest.fixture(autouse=True)
def small_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naf_switch, "EXAMINED", 3)


@pytest.fixture
def companies(reference: Reference) -> Reference:
    reference.execute(COMPANIES)
    return reference


@pytest.mark.parametrize("batch", [1, 100])
def test_there_and_back(companies: Reference, batch: int) -> None:
    """Only what differs is rewritten, and a dry run counts it before; other companies keep their code."""
    new, old = settings(companies, "2025"), settings(companies, "rev2")
    assert dry_run(old, JOB) == {"companies": 0}

    assert dry_run(new, JOB) == {"companies": 2}
    assert on_the_site(companies)["000000011"] == ("62.01Z", "Ancien")
    assert companies.query("SELECT FROM ingest.job_runs") == []
    assert by_hand(new, JOB, batch) == {"companies": 2}
    assert on_the_site(companies) == NEW
    touched = (
        "SELECT siren FROM enterprise_entreprise WHERE updated_at > '2026-01-01' ORDER BY siren"
    )
    assert companies.query(touched) == [("000000011",), ("000000014",)]

    assert (dry_run(new, JOB), by_hand(new, JOB, batch)) == ({"companies": 0},) * 2
    assert by_hand(old, JOB, batch) == {"companies": 2}
    assert on_the_site(companies) == REV2


def test_a_code_without_a_label(companies: Reference) -> None:
    """It does not keep that of the other code."""
    companies.execute("DELETE FROM ingest.naf WHERE code = '62.20Y'")

    by_hand(settings(companies, "2025"), JOB)

    assert on_the_site(companies)["000000014"] == ("62.20Y", "")


def test_labels_that_are_not_loaded(companies: Reference) -> None:
    """The job says what is to be loaded first, and changes nothing."""
    companies.execute("DELETE FROM ingest.naf")

    for ask in (dry_run, by_hand):
        with pytest.raises(ConfigurationError, match="reference load"):
            ask(settings(companies, "2025"), JOB)
    assert on_the_site(companies)["000000011"] == ("62.01Z", "Ancien")


class StopsAfter(Event):
    """Is set when it has been looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


def test_a_run_that_is_stopped(companies: Reference) -> None:
    """The next one goes on; what was rewritten is not touched again."""
    new = settings(companies, "2025")
    with pytest.raises(StoppedError):
        run(new, JOB, None, StopsAfter(1), batch=1)
    assert dry_run(new, JOB) == {"companies": 1}

    assert by_hand(new, JOB) == {"companies": 1}
    assert on_the_site(companies) == NEW


def test_a_row_that_is_written_meanwhile(companies: Reference) -> None:
    """It wins: the job waits for it, and sees the codes that it brought."""
    writer = psycopg.connect(companies.database)
    writer.execute("UPDATE enterprise_entreprise SET naf_code = '62.20Y' WHERE siren = '000000011'")
    writer.execute("UPDATE ingest.sirene SET naf_2025 = '62.20Y' WHERE siren = '000000011'")
    job = job_process(companies.database)

    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    eventually(lambda: companies.query(waiting))
    writer.commit()
    writer.close()

    assert job.wait(60) == 0
    assert on_the_site(companies)["000000011"] == ("62.20Y", "Ancien")
    assert on_the_site(companies)["000000014"] == NEW["000000014"]


def job_process(database: str, **more: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "processors.worker.commands", "job", JOB, "--batch", "1"],
        env={**os.environ, "FOX_DATABASE_URL": database, "FOX_NAF_PRIMARY": "2025", **more},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_run_that_is_killed(companies: Reference) -> None:
    """In the middle: the next one does the rest, and nothing twice."""
    before = dry_run(settings(companies, "2025"), JOB)["companies"]
    with psycopg.connect(companies.database) as holder:
        holder.execute("SELECT FROM enterprise_entreprise WHERE siren = '000000014' FOR UPDATE")
        job = job_process(companies.database)
        eventually(lambda: on_the_site(companies)["000000011"] == NEW["000000011"])
        job.send_signal(signal.SIGKILL)
        job.wait()
    first = companies.query(
        "SELECT updated_at FROM enterprise_entreprise WHERE siren = '000000011'"
    )
    companies.execute("UPDATE ingest.job_runs SET leased_until = now() - interval '1 second'")

    counted = by_hand(settings(companies, "2025"), JOB)

    assert counted == {"companies": before - 1}
    assert on_the_site(companies) == NEW
    assert companies.query("SELECT outcome FROM ingest.job_runs ORDER BY started_at") == [
        ("died",),
        ("done",),
    ]
    again = companies.query(
        "SELECT updated_at FROM enterprise_entreprise WHERE siren = '000000011'"
    )
    assert again == first


def test_pages_stay(companies: Reference) -> None:
    """The trade of a company does not move because its code does, nor do the numbers of the worksheet."""
    companies.execute(_SITE)
    _resolve(companies)
    pages, candidates = _pages(companies), companies.candidates()
    waiting = companies.query("SELECT entreprise_id, reason FROM ingest.unresolved_pages")
    assert ("000000011", "programmation", True) in pages

    by_hand(settings(companies, "2025"), JOB)
    _resolve(companies)

    assert _pages(companies) == pages
    assert companies.candidates() == candidates
    assert companies.query("SELECT entreprise_id, reason FROM ingest.unresolved_pages") == waiting


def test_the_command(site: Site) -> None:
    """It prints how many companies there are; other jobs have no dry run."""
    assert site.foxstream_worker("reference", "load").code == 0
    site.settings = {**site.settings, "FOX_NAF_PRIMARY": "2025"}

    done = site.foxstream_worker("job", JOB, "--dry-run", "--json")
    assert (done.code, done.json()) == (0, {"companies": 0})
    refused = site.foxstream_worker("job", "clean", "--dry-run")
    assert refused.code == 2
    assert "switch-naf" in refused.stderr
