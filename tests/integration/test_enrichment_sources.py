"""Who asks for texts: imports, people, the night; and what no text is made of."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg
import pytest
from confluent_kafka import Producer
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from processors.database.queries import load as queries
from schemas.codec import Encoder, load
from schemas.registry import Registry
from tests.fix_enrichment import ask, cities, configure, page, report, review, settled, states
from tests.fix_stack import Site, eventually
from tests.openai_server import Reply, ScriptedOpenAI

TELL = queries("processors.enrichment", "enrichment.sql")["tell_imports"]
SEEN = queries("processors.writing", "enriching.sql")["seen"]
FACTS = queries("processors", "imports.sql")["facts"]


def imported(site: Site, folder: Path, kind: str, text: str, *words: str) -> dict[str, Any]:
    """Imports a small file that asks for texts."""
    path = folder / f"{kind}-{uuid4()}.csv"
    path.write_text(text, "utf-8")
    done = site.foxstream("import", path, "--type", kind, "--generate-ai", "--json", *words)
    assert done.code in (0, 3), done.stderr
    return done.json()


def state(site: Site, import_id: str) -> dict[str, Any]:
    found: dict[str, Any] = site.foxstream("status", import_id, "--json").json()
    return found


AI = ("ai_requested", "ai_done", "ai_failed", "ai_left")


def ai(found: dict[str, Any]) -> tuple[int, ...]:
    return tuple(found[name] for name in AI)


def test_b35_an_import_asks_for_its_own_rows_only(
    shop: Site, model: ScriptedOpenAI, tmp_path: Path
) -> None:
    """B35: not for what was there, not for what it left as it was; its state tells what came of it."""
    cities(shop, 3)
    shop.worker()
    plain = tmp_path / "plain.csv"
    plain.write_text("nom;code_postal\nNantes;44000\n", "utf-8")
    assert shop.foxstream("import", plain, "--type", "ville").code == 0
    first = imported(shop, tmp_path, "ville", "nom;code_postal\nLille;59000\nLyon;69001\n")
    eventually(lambda: state(shop, first["id"])["ai_generation_completed"])
    second = imported(
        shop, tmp_path, "ville", "nom;code_postal;population\nLille;59000;230000\nLyon;69001;\n"
    )
    eventually(lambda: state(shop, second["id"])["ai_generation_completed"])

    one, two = state(shop, first["id"]), state(shop, second["id"])
    assert (one["status"], ai(one), one["ai_generation_started"]) == ("SUCCESS", (2, 2, 0, 0), True)
    assert ai(two) == (1, 1, 0, 0)
    assert shop.query("SELECT nom FROM location_ville WHERE texte_description_ia <> '' ORDER BY 1") == [
        ("Lille",), ("Lyon",)
    ]  # fmt: skip
    site_log = (
        "SELECT ai_generation_started, ai_generation_completed FROM core_importlog WHERE id = %s"
    )
    assert shop.query(site_log, one["id"]) == [(True, True)]

    [lille] = json.loads(shop.foxstream_worker("trace", "lille-59000", "--json").stdout)
    told = [(t["import_id"], t["state"], t["calls"], float(t["cost"]) > 0) for t in lille["texts"]]
    assert told == [(two["id"], "done", 1, True), (one["id"], "done", 1, True)]
    assert "1 calls of" in shop.foxstream_worker("trace", "lille-59000").stdout


def test_what_is_done_while_it_is_counted_is_told(shop: Site) -> None:
    """A text that is stored while the tracker counts is in the count, or brings about another."""
    of = uuid4()
    shop.execute(
        "INSERT INTO ingest.imports (id, partition, import_type, file_name, file_sha256, header, options, "
        "generate_ai_content, ai_moved, created_at) VALUES "
        "(%s, 0, 'VILLE', 'x', 'x', '[]', '{}', true, true, now())", of,
    )  # fmt: skip
    shop.execute(
        "INSERT INTO ingest.enrichment (id, kind, entity_id, import_id, reason, priority, state) "
        "VALUES (%s, 'VILLE', %s, %s, 'import', 1, 'running')", uuid4(), uuid4(), of,
    )  # fmt: skip
    counted: list[int] = []

    def count() -> None:
        with psycopg.connect(shop.database_url, row_factory=dict_row) as connection:
            connection.execute(SEEN, {"ids": [of]})
            facts = connection.execute(FACTS, {"ids": [of], "topics": Jsonb({})}).fetchall()
            counted.extend(found["now_ai_done"] for found in facts)

    counting = threading.Thread(target=count)
    with psycopg.connect(shop.database_url) as storing:
        storing.execute("UPDATE ingest.enrichment SET state = 'done' WHERE import_id = %s", (of,))
        storing.execute(TELL, {"ids": [of]})
        counting.start()
        counting.join(0.5)
    counting.join()

    told = shop.query("SELECT ai_moved FROM ingest.imports WHERE id = %s", of)
    assert counted == [1] or told == [(True,)]


def test_b16_what_is_asked_is_committed_with_its_rows(
    shop: Site, model: ScriptedOpenAI, tmp_path: Path
) -> None:
    """B16: whoever writes rows and dies has asked for their texts, though nobody was there to hear it."""
    writer = shop.worker("rows", "imports")
    found = imported(shop, tmp_path, "ville", "nom;code_postal\nLille;59000\nLyon;69001\n")
    writer.kill()
    assert shop.query("SELECT state, count(*) FROM ingest.enrichment GROUP BY 1") == [("noted", 2)]
    assert model.calls == []

    shop.worker()

    eventually(lambda: state(shop, found["id"])["ai_generation_completed"])
    assert ai(state(shop, found["id"])) == (2, 2, 0, 0)


def test_b35_b37_every_type_has_its_texts(
    shop: Site, model: ScriptedOpenAI, tmp_path: Path
) -> None:
    """B35, B37: categories and sub-categories get what they were flagged for, companies their page."""
    shop.worker()
    assert shop.foxstream_worker("reference", "load").code == 0
    category = imported(shop, tmp_path, "categorie", "nom\nInformatique\n")
    trade = imported(
        shop, tmp_path, "sous_categorie", "nom,categorie\nDéveloppement web,Informatique\n"
    )
    imported(shop, tmp_path, "ville", "nom;code_postal\nRennes;35000\n")
    company = imported(
        shop, tmp_path, "entreprise",
        "siren;nom;naf_code;code_postal;ville_nom\n732829320;Dupont;62.01Z;35000;Rennes\n",
    )  # fmt: skip
    for found in (category, trade, company):
        eventually(lambda wanted=found: state(shop, wanted["id"])["ai_done"] == 1)  # type: ignore[misc]

    assert shop.query("SELECT texte_description_ia <> '' FROM category_categorie") == [(True,)]
    assert shop.query("SELECT texte_description_ia <> '' FROM subcategory_souscategorie") == [
        (True,)
    ]
    assert shop.query(
        "SELECT texte_long_entreprise <> '', zone_description <> '', meta_description <> '', "
        "date_derniere_generation_ia IS NOT NULL FROM enterprise_prolocalisation"
    ) == [(True, True, True, True)]
    assert shop.query("SELECT count(*)::int FROM reviews_avisdecrypte") == [(0,)]


def test_an_import_ends_while_the_model_is_down(
    shop: Site, model: ScriptedOpenAI, tmp_path: Path
) -> None:
    """Trouble with the model never delays rows: SUCCESS, with the texts pending; later they come."""
    model.script = lambda _: Reply(503)
    shop.worker()
    text = "nom;code_postal\n" + "".join(f"Commune {n};{10000 + n}\n" for n in range(200))
    found = imported(shop, tmp_path, "ville", text)

    assert (found["status"], found["inserted"]) == ("SUCCESS", 200)
    eventually(lambda: state(shop, found["id"])["ai_requested"] == 200)
    pending = state(shop, found["id"])
    assert (pending["ai_done"], pending["ai_generation_completed"]) == (0, False)
    model.script = lambda _: Reply()
    eventually(lambda: ai(state(shop, found["id"])) == (200, 200, 0, 0), 120)


def test_what_is_left_after_its_time_is_asked_for_again(
    shop: Site, model: ScriptedOpenAI, tmp_path: Path
) -> None:
    """The time of an import ends cleanly: what is left is marked, and only that is asked again."""
    configure(shop, requests_per_minute=1, import_seconds=6)
    worker = shop.worker()
    text = "nom;code_postal\n" + "".join(f"Commune {n};{10000 + n}\n" for n in range(30))
    found = imported(shop, tmp_path, "ville", text)
    eventually(lambda: state(shop, found["id"])["ai_generation_completed"])
    over = state(shop, found["id"])
    assert over["ai_left"] > 0
    assert over["ai_done"] > 0
    assert sum(ai(over)[1:]) == over["ai_requested"] == 30
    worker.kill()
    configure(shop, requests_per_minute=1000, import_seconds=600)
    shop.worker()
    generate(shop, found["id"])

    eventually(lambda: ai(state(shop, found["id"])) == (30, 30, 0, 0), 120)
    assert not model.repeats()


def generate(site: Site, import_id: str) -> None:
    """What the gateway sends where somebody asks for the texts of an import."""
    with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        subject = f"{site.prefix}imports.events-value"
        encoder = Encoder("import_event", registry.schema_id(subject, load("import_event")))
    event = ("fr.foxreviews.foxstream.GenerateAi", {"by": "claire"})
    at = datetime.now(UTC)
    value = encoder.encode({"import_id": import_id, "at": at, "event": event})
    producer = Producer(
        {
            "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"],
            "partitioner": "murmur2_random",
        }
    )
    producer.produce(f"{site.prefix}imports.events", value, import_id)
    producer.flush()


def test_texts_may_be_asked_for_afterwards(
    shop: Site, model: ScriptedOpenAI, tmp_path: Path
) -> None:
    """An import that did not ask costs nothing; asked afterwards, its rows and no others are written of."""
    cities(shop, 5)
    shop.worker()
    path = tmp_path / "v.csv"
    path.write_text("nom;code_postal\nLille;59000\nLyon;69001\n", "utf-8")
    found: Any = shop.foxstream("import", path, "--type", "ville", "--json").json()
    eventually(lambda: not shop.query("SELECT 1 FROM ingest.enrichment"))
    generate(shop, found["id"])

    eventually(lambda: ai(state(shop, found["id"])) == (2, 2, 0, 0))
    assert state(shop, found["id"])["generate_ai_content"] is True
    assert len(model.calls) == 2


def test_b43_no_review_no_synthesis(shop: Site, model: ScriptedOpenAI) -> None:
    """B43: nothing is made up: without public reviews there is no call, no row, no has_reviews."""
    proloc = page(shop)
    review(shop, proloc, 5, "Brouillon", "en_attente")
    shop.worker("enrichment")
    ask(shop, "AVIS", [proloc])

    assert settled(shop, 1) == {"failed": 1}
    assert model.calls == []
    assert shop.query("SELECT count(*)::int FROM reviews_avisdecrypte") == [(0,)]


@pytest.mark.parametrize(
    "lie",
    [
        "false, 'google', 4.5, 3, 'Bien'",
        "true, NULL, 4.5, 3, 'Bien'",
        "true, ' ', 4.5, 3, 'Bien'",
        "true, 'google', NULL, 3, 'Bien'",
        "true, 'google', 4.5, 0, 'Bien'",
        "true, 'google', 4.5, 3, ' '",
    ],
)
def test_b43_the_schema_refuses_a_synthesis_without_reviews(site: Site, lie: str) -> None:
    """B43: a row without source, rating, count and text of real reviews cannot be written at all."""
    proloc = page(site)

    with pytest.raises(psycopg.errors.CheckViolation):
        site.execute(
            "INSERT INTO reviews_avisdecrypte (id, created_at, updated_at, entreprise_id, "
            "pro_localisation_id, has_reviews, review_source, review_rating, review_count, texte_brut) "
            f"SELECT gen_random_uuid(), now(), now(), entreprise_id, id, {lie} "
            f"FROM enterprise_prolocalisation WHERE id = '{proloc}'"
        )


def test_b40_b44_a_synthesis_of_real_reviews(shop: Site, model: ScriptedOpenAI) -> None:
    """B40, B44: one row a page however often it is made anew, one expiry, and the rating is saved."""
    proloc = page(shop)
    review(shop, proloc, 5, "Très bon accueil et délais tenus.")
    review(shop, proloc, 4, "Chantier propre.", "valide")
    review(shop, proloc, 1, "Jamais publié.", "rejete")
    shop.worker("enrichment")
    ask(shop, "AVIS", [proloc])
    settled(shop, 1)
    review(shop, proloc, 3, "Un peu cher.")
    ask(shop, "AVIS", [proloc])
    assert settled(shop, 2) == {"done": 2}

    [row] = shop.query(
        "SELECT has_reviews, review_source, review_rating, review_count, needs_regeneration, "
        "date_expiration - date_generation = '90 days', synthese_points_forts, "
        "texte_brut LIKE '%%Jamais%%' FROM reviews_avisdecrypte"
    )
    assert row == (True, "google", 4.0, 3, False, True, "Délais tenus\nChantier propre", False)
    assert shop.query(
        "SELECT note_moyenne, nb_avis, score_global FROM enterprise_prolocalisation"
    ) == [(4.0, 3, pytest.approx(4 / 5 * 50 + 3 / 100 * 30))]
    sent = str([call.body for call in model.calls])
    assert "Claire" not in sent
    assert "example.org" not in sent


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


def test_b34_b45_failures_are_seen(shop: Site, model: ScriptedOpenAI) -> None:
    """B34, B45: what fails is retried, then counted, listed and told; nothing is swallowed."""
    configure(shop, breaker_failures=50, retries=3)
    model.script = lambda _: Reply(500)
    ask(shop, "VILLE", cities(shop, 1), "missing")
    shop.worker("enrichment")

    assert settled(shop, 1) == {"failed": 1}
    assert len(model.calls) == 4
    told = report(shop)
    assert told["failures"] == [{"code": "http-500", "requests": 1}]
    assert [(c["state"], c["calls"]) for c in told["calls"]] == [("failed", 4)]


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
    eventually(lambda: states(shop).get("pending", 0) >= 9_990, 120)

    assert memory() - before < 40 * 1024 * 1024


def test_sponsored_pages_go_first(shop: Site, model: ScriptedOpenAI) -> None:
    """Sponsored pages, then what was asked for, then the night's."""
    configure(shop, concurrency=1)
    ids = cities(shop, 3)
    for city, priority in zip(ids, (2, 0, 1), strict=True):
        shop.execute(
            "INSERT INTO ingest.enrichment (id, kind, entity_id, reason, priority, state) "
            "VALUES (gen_random_uuid(), 'VILLE', %s, 'asked', %s, 'pending')",
            city,
            priority,
        )
    shop.worker("enrichment")
    settled(shop, 3)

    names = dict(shop.query("SELECT id, nom FROM location_ville"))
    assert [call.data["nom"] for call in model.calls] == [names[ids[at]] for at in (1, 2, 0)]
