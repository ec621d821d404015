"""What PostgreSQL holds at the end."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.fix_stack import Site
from tests.soak.plan import Kind

SETTLED = ("inserted", "updated", "unchanged", "duplicate", "stale", "rejected", "parked")
TERMINAL = ("SUCCESS", "PARTIAL", "ERROR", "CANCELLED")
TABLES: Mapping[Kind, str] = {
    "ENTREPRISE": "enterprise_entreprise",
    "VILLE": "location_ville",
    "CATEGORIE": "category_categorie",
    "SOUS_CATEGORIE": "subcategory_souscategorie",
}


@dataclass(frozen=True)
class Import:
    """An import as it stands. `ended` in seconds of the epoch."""

    name: str
    status: str
    total: int | None
    settled: Mapping[str, int]
    texts_asked: int
    texts_over: Mapping[str, int]
    ended: float | None

    @property
    def texts_wait(self) -> int:
        return self.texts_asked - sum(self.texts_over.values())


def imports(site: Site) -> list[Import]:
    """All of them, by their time."""
    columns = ", ".join(SETTLED)
    return [
        Import(name, status, total, dict(zip(SETTLED, counts, strict=True)), asked, over, ended)
        for name, status, total, asked, over, ended, *counts in site.query(
            f"""
            SELECT file_name, status, total_rows, ai_requested,
                jsonb_build_object('done', ai_done, 'failed', ai_failed, 'left', ai_left),
                extract(epoch FROM completed_at)::float, {columns}
            FROM ingest.imports ORDER BY created_at
            """
        )
    ]


def rows_in_tables(site: Site) -> dict[Kind, int]:
    return {kind: site.query(f"SELECT count(*)::int FROM {TABLES[kind]}")[0][0] for kind in TABLES}


def rejects(site: Site) -> int:
    return int(site.query("SELECT count(*) FROM ingest.rejects")[0][0])


def texts(site: Site) -> dict[str, int]:
    """Requests for texts by their state."""
    return dict(site.query("SELECT state, count(*)::int FROM ingest.enrichment GROUP BY state"))


def unsettled(site: Site) -> int:
    """Imports that go on, texts that wait, and rejects and states that are not told yet."""
    [(left,)] = site.query(
        """
        SELECT (SELECT count(*) FROM ingest.imports
                WHERE completed_at IS NULL OR published_version < version OR ai_moved)
            + (SELECT count(*) FROM ingest.enrichment WHERE state NOT IN ('done', 'failed', 'left'))
            + (SELECT count(*) FROM ingest.rejects WHERE published_at IS NULL)
        """
    )
    return int(left)
