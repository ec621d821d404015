"""Counts for the overview: exact of small tables, an estimate of large ones, told when they change."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from faust.types import TP

from processors.database.pool import open_pool
from processors.monitoring import overview_counts
from processors.monitoring.overview_counts import Counting, Topics
from schemas.codec.framing import Decoder, Encoder, Record, load
from schemas.codec.schema import Schema
from schemas.topics import STATS
from tests.fix_gateway import companies
from tests.fix_stack import Site, eventually


class Registered:
    """A registry that holds the schema."""

    def schema(self, schema_id: int) -> Schema:
        return load("stats")


def told(site: Site) -> dict[str, Record]:
    """The newest counts by subject, as the topic holds them."""
    values = [message.value() for message in site.messages(STATS.name)]
    records = [Decoder("stats", Registered()).decode(value) for value in values]
    return {record["name"]: record for record in records}


def fill(site: Site) -> None:
    """10,000 companies, three categories of which two have sub-categories, and a few rejects."""
    site.execute(
        """
        INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, nom, adresse,
            code_postal, ville_nom, naf_code, naf_libelle, is_active)
        SELECT md5(n::text)::uuid, now(), now(), lpad(n::text, 9, '0'), 'Entreprise ' || n,
            '', '', '', '', '', true
        FROM generate_series(1, 10000) n;
        INSERT INTO category_categorie (id, created_at, updated_at, nom, slug, description, meta_description, ordre)
        SELECT md5(n::text)::uuid, now(), now(), 'Catégorie ' || n, 'c' || n, '', '', 0
        FROM generate_series(1, 3) n;
        INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug,
            description, meta_description, mots_cles, ordre)
        SELECT md5('s' || n)::uuid, now(), now(), md5((n % 2 + n / 4 + 1)::text)::uuid, 's' || n,
            's' || n, '', '', '', 0
        FROM generate_series(1, 3) n;
        INSERT INTO ingest.rejects (id, topic, partition, "offset", appended_at, headers, faults, settled_by)
        SELECT md5(n::text)::uuid, 't', 0, n, now(), '[]',
            '[{"column": null, "code": "malformed", "message": "x"}]',
            CASE WHEN n = 5 THEN md5('')::uuid END
        FROM generate_series(1, 5) n;
        INSERT INTO ingest.positions VALUES ('rows', 0, '', '', 2, 40);
        INSERT INTO ingest.ai_budgets VALUES
            ('day ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'), 0.25), ('day 2020-01-01', 9);
        INSERT INTO ingest.ai_models (model, halted, listed, ends_on) VALUES
            ('m', 'clé refusée', true, '2027-03-01'), ('n', NULL, false, NULL), ('o', NULL, true, NULL);
        INSERT INTO ingest.ai_limits (kind, amount) VALUES ('day', 2.5), ('month', NULL), ('import', 1);
        """
    )


async def test_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in PostgreSQL and Kafka; told again only where it has changed, or after a minute."""
    fill(site)
    sent: list[Record] = []

    async def publish(key: bytes, value: bytes) -> None:
        sent.append(Decoder("stats", Registered()).decode(value))
        assert key.decode() == sent[-1]["name"]

    async def ends(*tps: TP) -> Mapping[TP, int]:
        return {tp: 50 + tp.partition for tp in tps}

    async with open_pool(site.database_url, 1) as pool:
        count = Counting(
            pool,
            Topics({"ENTREPRISE": ("rows",)}, {"rows": 2}, ends),
            Encoder("stats", 1),
            publish,
            lambda: True,
            {"day_limit": None, "month_limit": Decimal(9)},
            300,
        )
        await count.look()

        by_name = {record["name"]: record for record in sent}
        assert by_name["site"]["counts"] == {
            "entreprises": 10_000, "villes": 0, "categories": 3, "sous_categories": 3, "pages": 0,
        }  # fmt: skip
        assert by_name["site"]["estimated"] == []
        assert list(by_name["categories"]["counts"].items()) == [
            ("Catégorie 2", 2),
            ("Catégorie 1", 1),
        ]
        assert by_name["rejects"]["counts"] == {"malformed": 4}
        assert by_name["lag"]["counts"] == {"ENTREPRISE": 10 + 51}
        assert by_name["ai"]["counts"] == {
            "waiting": 0, "urgent": 0, "running": 0, "per_hour": 300,
        }  # fmt: skip
        assert by_name["ai"]["amounts"] == {"day": 0.25, "month": 0.0, "day_limit": 2.5}
        assert by_name["ai"]["trouble"] == "m : clé refusée"
        assert by_name["ai"]["notice"] == (
            "m s'arrête le 01/03/2027, le fournisseur ne connaît pas le modèle n"
        )

        monkeypatch.setattr(overview_counts, "SAMPLE_BYTES", 1 << 20)
        sent.clear()
        count._due.clear()
        await count.look()

        [again] = sent
        assert again["name"] == "site"
        assert again["estimated"] == ["entreprises"]
        assert again["counts"]["entreprises"] == pytest.approx(10_000, rel=0.4)


def test_a_worker_tells_the_counts(site: Site, tmp_path: Path) -> None:
    """One of kind imports, by itself, after an import of another's."""
    path = tmp_path / "a.csv"
    path.write_bytes(companies(1, 20, faulty=2))
    site.worker()
    assert site.foxstream("import", path, "--type", "entreprise").code == 3

    def counted() -> dict[str, Record] | None:
        found = told(site)
        if len(found) < 5 or found["site"]["counts"]["entreprises"] < 20:
            return None
        return found if found["lag"]["counts"]["ENTREPRISE"] == 0 else None

    found = eventually(counted)

    assert found is not None
    assert found["rejects"]["counts"] == {"malformed": 2}
    assert {*found} == {"site", "categories", "rejects", "ai", "lag"}
