"""Imports that ask for texts. A worker of all kinds is shared by those that need no other."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Producer
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from deploy.local.stack import Stack
from processors.database.queries import load as queries
from schemas.codec.framing import Encoder, load
from schemas.runtime.registry import Registry
from tests.fix_enrichment import cities, configure, empty, fresh, open_shop
from tests.fix_stack import Site, eventually
from tests.openai_server import Reply, ScriptedOpenAI

TELL = queries("processors.texts.requests", "store.sql")["mark_imports"]
SEEN = queries("processors.rows.derived", "text_requests.sql")["clear_moved"]
FACTS = queries("processors.imports", "tracker.sql")["facts"]
VALUES = {"topics": Jsonb({}), "reader_gone": timedelta(seconds=10)}


@pytest.fixture(scope="module")
def opened(stack: Stack) -> Iterator[tuple[Site, ScriptedOpenAI]]:
    with open_shop(stack) as found:
        yield found


@pytest.fixture
def running(opened: tuple[Site, ScriptedOpenAI]) -> Site:
    """A site with a worker that runs, where no text was ever asked for; the model is `its_model`."""
    site, server = opened
    empty(site)
    server.forget()
    return site


@pytest.fixture
def its_model(opened: tuple[Site, ScriptedOpenAI]) -> ScriptedOpenAI:
    return opened[1]


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


def completed(site: Site, import_id: str) -> dict[str, Any]:
    """The import's state once its texts are over, as one reads it."""
    over = "SELECT FROM ingest.imports WHERE id = %s AND ai_completed"
    eventually(lambda: site.query(over, import_id))
    return eventually(lambda: having(site, import_id, "ai_generation_completed", True))


def having(site: Site, import_id: str, name: str, value: object) -> dict[str, Any]:
    """The import's state if it says so, else nothing."""
    found = state(site, import_id)
    return found if found[name] == value else {}


AI = ("ai_requested", "ai_done", "ai_failed", "ai_left")


def ai(found: dict[str, Any]) -> tuple[int, ...]:
    return tuple(found[name] for name in AI)


def towns(*lines: str) -> str:
    """A file of towns, each with its postal code and a population that no other test has."""
    number = fresh()
    return "nom;code_postal;population\n" + "".join(f"{line};{number}\n" for line in lines)


def test_b35_an_import_asks_for_its_own_rows_only(running: Site, tmp_path: Path) -> None:
    """B35: not for what was there, not for what it left as it was; its state tells what came of it."""
    shop = running
    cities(shop, 3)
    plain = tmp_path / "plain.csv"
    plain.write_text(towns("Nantes;44000"), "utf-8")
    assert shop.foxstream("import", plain, "--type", "ville").code == 0
    one = imported(shop, tmp_path, "ville", towns("Lille;59000", "Lyon;69001"))
    one = completed(shop, one["id"])
    two = imported(shop, tmp_path, "ville", towns("Lille;59000") + "Lyon;69001;\n")
    two = completed(shop, two["id"])

    assert (one["status"], ai(one), one["ai_generation_started"]) == ("SUCCESS", (2, 2, 0, 0), True)
    assert ai(two) == (1, 1, 0, 0)
    assert shop.query("SELECT nom FROM location_ville WHERE texte_description_ia <> '' ORDER BY 1") == [
        ("Lille",), ("Lyon",)
    ]  # fmt: skip
    site_log = (
        "SELECT ai_generation_started, ai_generation_completed FROM core_importlog WHERE id = %s"
    )
    assert shop.query(site_log, one["id"]) == [(True, True)]

    # A busy worker may use its permit too late: that is not a call.
    shop.execute(
        "INSERT INTO ingest.ai_calls (model, at, until, state, request_id, prompt_hash, ask, tokens, cost) "
        "SELECT 'gpt-4o-mini', now(), now(), 'void', id, prompt_hash, 0, 0, 0 FROM ingest.enrichment"
    )
    [lille] = json.loads(shop.foxstream_worker("trace", "lille-59000", "--json").stdout)
    told = [(t["import_id"], t["state"], t["calls"], float(t["cost"]) > 0) for t in lille["texts"]]
    assert told == [(two["id"], "done", 1, True), (one["id"], "done", 1, True)]
    assert "1 calls of" in shop.foxstream_worker("trace", "lille-59000").stdout


def test_what_is_done_while_it_is_counted_is_told(texts_site: Site) -> None:
    """A text that is stored while the tracker counts is in the count, or brings about another."""
    shop = texts_site
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
            facts = connection.execute(FACTS, VALUES | {"ids": [of]}).fetchall()
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
    found = imported(shop, tmp_path, "ville", towns("Lille;59000", "Lyon;69001"))
    writer.kill()
    assert shop.query("SELECT state, count(*) FROM ingest.enrichment GROUP BY 1") == [("noted", 2)]
    assert model.calls == []

    shop.worker()

    assert ai(completed(shop, found["id"])) == (2, 2, 0, 0)


def test_b35_b37_every_type_has_its_texts(running: Site, tmp_path: Path) -> None:
    """B35, B37: categories and sub-categories get what they were flagged for, companies their page."""
    shop, number = running, fresh()
    assert shop.foxstream_worker("reference", "load").code == 0
    category = imported(
        shop, tmp_path, "categorie", f"nom,description\nInformatique,Numéro {number}\n"
    )
    trade = imported(
        shop, tmp_path, "sous_categorie",
        f"nom,categorie,description\nDéveloppement web,Informatique,Numéro {number}\n",
    )  # fmt: skip
    imported(shop, tmp_path, "ville", towns("Rennes;35000"))
    company = imported(
        shop, tmp_path, "entreprise",
        "siren;nom;naf_code;code_postal;ville_nom\n"
        f"732829320;Dupont {number};62.01Z;35000;Rennes\n",
    )  # fmt: skip
    for found in (category, trade, company):
        assert ai(completed(shop, found["id"])) == (1, 1, 0, 0)

    assert shop.query("SELECT texte_description_ia <> '' FROM category_categorie") == [(True,)]
    assert shop.query("SELECT texte_description_ia <> '' FROM subcategory_souscategorie") == [
        (True,)
    ]
    assert shop.query(
        "SELECT texte_long_entreprise <> '', zone_description <> '', meta_description <> '', "
        "date_derniere_generation_ia IS NOT NULL FROM enterprise_prolocalisation"
    ) == [(True, True, True, True)]
    assert shop.query("SELECT count(*)::int FROM reviews_avisdecrypte") == [(0,)]


COMMUNES = [f"Commune {n};{10000 + n}" for n in range(30)]


def test_an_import_ends_while_the_model_is_down(
    running: Site, its_model: ScriptedOpenAI, tmp_path: Path
) -> None:
    """Trouble with the model never delays rows: SUCCESS, with the texts pending; later they come."""
    its_model.script = lambda _: Reply(503)
    found = imported(running, tmp_path, "ville", towns(*COMMUNES))

    assert (found["status"], found["inserted"]) == ("SUCCESS", 30)
    pending = eventually(lambda: having(running, found["id"], "ai_requested", 30))
    assert (pending["ai_done"], pending["ai_generation_completed"]) == (0, False)
    its_model.script = lambda _: Reply()
    assert ai(completed(running, found["id"])) == (30, 30, 0, 0)


def test_what_is_left_after_its_time_is_asked_for_again(
    shop: Site, model: ScriptedOpenAI, tmp_path: Path
) -> None:
    """The time of an import ends cleanly: what is left is marked, and only that is asked again."""
    configure(shop, requests_per_minute=1, import_seconds=6)
    worker = shop.worker()
    found = imported(shop, tmp_path, "ville", towns(*COMMUNES))
    over = completed(shop, found["id"])
    assert over["ai_left"] > 0
    assert over["ai_done"] > 0
    assert sum(ai(over)[1:]) == over["ai_requested"] == 30
    worker.stop()
    configure(shop, requests_per_minute=1000, import_seconds=600)
    shop.worker()
    generate(shop, found["id"])

    eventually(lambda: having(shop, found["id"], "ai_done", 30))
    assert ai(state(shop, found["id"])) == (30, 30, 0, 0)
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
    running: Site, its_model: ScriptedOpenAI, tmp_path: Path
) -> None:
    """An import that did not ask costs nothing; asked afterwards, its rows and no others are written of."""
    cities(running, 5)
    path = tmp_path / "v.csv"
    path.write_text(towns("Lille;59000", "Lyon;69001"), "utf-8")
    found: Any = running.foxstream("import", path, "--type", "ville", "--json").json()
    eventually(lambda: not running.query("SELECT 1 FROM ingest.enrichment"))
    generate(running, found["id"])

    told = eventually(lambda: having(running, found["id"], "ai_done", 2))
    assert ai(told) == (2, 2, 0, 0)
    assert told["generate_ai_content"] is True
    assert len(its_model.calls) == 2
