"""The nightly plan, the order of requests, and how many may wait."""

import json
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.fix_enrichment import Texts, ask, cities, configure, settled, soon, states
from tests.fix_stack import Site, eventually
from tests.openai_server import ScriptedOpenAI


def nightly(site: Site, *words: str) -> Any:
    done = site.foxstream_worker("job", "enrich-nightly", "--json", *words)
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


def trades_of(site: Site, texts: list[str]) -> None:
    """Sub-categories with these texts."""
    site.execute(
        "INSERT INTO category_categorie (id, created_at, updated_at, nom, slug, texte_description_ia) "
        "VALUES (md5('c')::uuid, now(), now(), 'C', 'c', %s)", GOOD_TEXT,
    )  # fmt: skip
    for number, text in enumerate(texts):
        site.execute(
            "INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, "
            "slug, texte_description_ia) "
            "VALUES (gen_random_uuid(), now(), now(), md5('c')::uuid, %s, %s, %s)",
            f"Métier {number}", f"m-{number}", text,
        )  # fmt: skip


GOOD_TEXT = "Ces professionnels réparent et posent des ouvrages de toutes tailles dans la commune."


def test_b33_b39_b41_the_nightly_plan(shop: Site, model: ScriptedOpenAI) -> None:
    """B33, B39, B41: missing, expired and poor texts are all asked for, however small the pages."""
    trades_of(shop, [""] * 7 + [GOOD_TEXT] * 3 + ["todo"] * 2)
    shop.execute(
        "INSERT INTO ingest.enrichment_texts SELECT id, 'SOUS_CATEGORIE', 'h', 'v', 'm', 'i', '{}', "
        "1, 1, 0, now() - interval '91 days', now() - interval '1 day' "
        "FROM subcategory_souscategorie WHERE nom = 'Métier 7'"
    )
    counts = nightly(shop, "--batch", "2")
    assert counts == {"missing": 7, "expired": 1, "low-quality": 2}
    # What waits is not asked for again.
    assert nightly(shop) == {"missing": 0, "expired": 0, "low-quality": 0}
    shop.worker("enrichment")

    assert settled(shop, 10) == {"done": 10}
    assert nightly(shop) == {"missing": 0, "expired": 0, "low-quality": 0}
    assert shop.query(
        "SELECT count(*)::int FROM ingest.enrichment_texts WHERE expires_at < now()"
    ) == [(0,)]
    order = shop.query("SELECT reason FROM ingest.enrichment ORDER BY asked_at")
    assert [reason for (reason,) in order] == ["missing"] * 7 + ["expired"] + ["low-quality"] * 2


def test_the_nightly_plan_keeps_to_the_budget_and_runs_once(shop: Site) -> None:
    """It asks for no more than there is money or room for, says so, and two do not meet."""
    trades_of(shop, [""] * 9)
    configure(shop, nightly_requests=4)
    assert nightly(shop)["missing"] == 4
    # What waits of the last night takes room, and money: there is enough for seven.
    assert nightly(shop)["missing"] == 0
    configure(shop, nightly_requests=100, budget_day="0.0026")
    assert nightly(shop)["missing"] == 3
    assert shop.query(
        "SELECT message FROM ingest.job_runs WHERE job = 'enrich-nightly' ORDER BY started_at"
    ) == [("count",), ("count",), ("budget",)]
    shop.execute(
        "INSERT INTO ingest.job_runs (id, job, leased_until) "
        "VALUES (gen_random_uuid(), 'enrich-nightly', now() + interval '1 hour')"
    )
    busy = shop.foxstream_worker("job", "enrich-nightly")
    assert busy.code == 4
    shop.execute("UPDATE ingest.job_runs SET leased_until = now() - interval '1 second'")
    configure(shop, budget_day="1")
    assert nightly(shop)["missing"] == 2


def test_ten_thousand_requests_use_flat_memory(shop: Site, model: ScriptedOpenAI) -> None:
    """What waits stands in PostgreSQL: a worker grows no more for it."""
    ids = cities(shop, 10_000)
    configure(shop, requests_per_minute=1)
    worker = shop.worker("enrichment")
    ask(shop, "VILLE", ids[:100])
    eventually(lambda: states(shop).get("pending", 0) >= 90)
    tree = psutil.Process(worker.pid)

    def memory() -> int:
        return sum(p.memory_info().rss for p in [tree, *tree.children(recursive=True)])

    before = memory()
    ask(shop, "VILLE", ids[100:])
    eventually(lambda: states(shop).get("pending", 0) >= 9_990)

    assert memory() - before < 40 * 1024 * 1024


async def test_sponsored_pages_go_first(texts: Texts, model: ScriptedOpenAI) -> None:
    """Sponsored pages, then what was asked for, then the night's."""
    ids = cities(texts.site, 3)
    for city, priority in zip(ids, (2, 0, 1), strict=True):
        texts.site.execute(
            "INSERT INTO ingest.enrichment (id, kind, entity_id, reason, priority, state) "
            "VALUES (gen_random_uuid(), 'VILLE', %s, 'asked', %s, 'pending')",
            city,
            priority,
        )
    async with texts.working():
        await soon(lambda: states(texts.site) == {"done": 3})

    names = dict(texts.site.query("SELECT id, nom FROM location_ville"))
    assert [call.data["nom"] for call in model.calls] == [names[ids[at]] for at in (1, 2, 0)]
