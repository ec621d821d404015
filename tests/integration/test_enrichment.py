"""Texts by a language model, one by one: a real worker, Kafka and PostgreSQL, and a server that plays
the model. All tests share the worker."""

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
import pytest

from deploy.local.stack import Stack
from processors.database.migrator import migrate
from tests.fix_enrichment import ask, cities, empty, open_shop, page, report, review, settled
from tests.fix_stack import Site, create_database, eventually
from tests.openai_server import Call, Reply, ScriptedOpenAI, good

_numbers = count(1)


@pytest.fixture(scope="module")
def opened(stack: Stack) -> Iterator[tuple[Site, ScriptedOpenAI]]:
    settings = {"FOX_AI_BREAKER_FAILURES": "50", "FOX_AI_RETRIES": "3"}
    with open_shop(stack, "enrichment", settings=settings) as found:
        yield found


@pytest.fixture
def shop(opened: tuple[Site, ScriptedOpenAI]) -> Site:
    """A site with a worker that runs, where no text was ever asked for."""
    site, model = opened
    empty(site)
    model.forget()
    return site


@pytest.fixture
def model(opened: tuple[Site, ScriptedOpenAI]) -> ScriptedOpenAI:
    """The server that plays the model for `shop`."""
    return opened[1]


def test_b36_b38_a_text_with_all_that_is_known_of_it(shop: Site, model: ScriptedOpenAI) -> None:
    """B36, B38: the text stands in the site's row; model, version, hashes, tokens, cost and expiry beside it."""
    [city] = cities(shop, 1)
    ask(shop, "VILLE", [city])

    assert settled(shop, 1) == {"done": 1}
    [(text, meta, moved)] = shop.query(
        "SELECT texte_description_ia, meta_description, updated_at > created_at FROM location_ville"
    )
    assert "Ville 1" in text
    assert 0 < len(meta) <= 160
    assert moved
    [known] = shop.query(
        "SELECT prompt_version, model, length(input_hash), length(prompt_hash), tokens_in, "
        "tokens_out, cost::float, expires_at - generated_at = '90 days' FROM ingest.enrichment_texts"
    )
    assert known == (
        "system-1/ville-1",
        "gpt-4o-mini",
        64,
        64,
        400,
        100,
        pytest.approx(0.00012),
        True,
    )
    [(prompt,)] = shop.query("SELECT prompt_hash FROM ingest.enrichment_texts")
    eventually(lambda: prompt.encode() in {m.key() for m in shop.messages("enrichment.results")})
    [call] = model.calls
    assert call.authorization == "Bearer sk-test-secret"
    assert call.body["response_format"]["json_schema"]["strict"] is True


def test_upstream_systems_ask_by_natural_key(shop: Site, model: ScriptedOpenAI) -> None:
    """A slug or a SIREN names rows; what names none, and what is no request, is a reject."""
    from confluent_kafka import Producer

    from schemas.codec.framing import Encoder, load
    from schemas.runtime.registry import Registry

    cities(shop, 1)
    proloc = page(shop)
    [(siren,)] = shop.query("SELECT siren FROM enterprise_entreprise")
    with Registry(shop.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        subject = f"{shop.prefix}enrichment-value"
        encoder = Encoder(
            "enrichment_request", registry.schema_id(subject, load("enrichment_request"))
        )
    producer = Producer({"bootstrap.servers": shop.stack.environment["FOX_KAFKA_BOOTSTRAP"]})
    base = {"id": None, "import_id": None, "reason": "upstream", "priority": 1}
    for kind, entity in (
        ("VILLE", "ville-1"), ("PROLOCALISATION", siren), ("VILLE", "nulle-part"), ("CHIEN", "x"),
    ):  # fmt: skip
        value = encoder.encode({**base, "kind": kind, "entity": entity})
        producer.produce(f"{shop.prefix}enrichment", value, entity)
    producer.produce(f"{shop.prefix}enrichment", b"no avro", b"x")
    producer.flush()

    assert settled(shop, 2) == {"done": 2}
    assert shop.query("SELECT texte_long_entreprise <> '' FROM enterprise_prolocalisation") == [
        (True,)
    ]
    assert shop.query("SELECT entity_id FROM ingest.enrichment WHERE kind = 'PROLOCALISATION'") == [
        (proloc,)
    ]
    eventually(lambda: len(shop.query("SELECT id FROM ingest.rejects")) == 3)
    codes = shop.query("SELECT faults -> 0 ->> 'code' FROM ingest.rejects")
    assert {"unknown-entity", "malformed"} < {code for (code,) in codes}


def test_answers_are_asked_again_with_what_is_wrong(shop: Site, model: ScriptedOpenAI) -> None:
    """At most twice; the bad ones are kept apart, their cost counts, and none reaches the site."""
    ids = cities(shop, 2)

    def script(call: Call) -> Reply:
        bad = good("VILLE", call.data).replace("Chacun", "TODO Chacun")
        if call.data["nom"] == "Ville 1" and len(call.body["messages"]) > 2:
            return Reply()
        return Reply(content=bad)

    model.script = script
    ask(shop, "VILLE", ids)

    assert settled(shop, 2) == {"done": 1, "failed": 1}
    assert len(model.calls) == 2 + 3
    again = next(call for call in model.calls if len(call.body["messages"]) == 4)
    assert "TODO" in again.body["messages"][3]["content"]
    assert again.body["messages"][0] == model.calls[0].body["messages"][0]
    assert shop.query("SELECT count(*)::int FROM ingest.ai_rejected") == [(4,)]
    assert shop.query("SELECT nom FROM location_ville WHERE texte_description_ia <> ''") == [
        ("Ville 1",)
    ]
    assert shop.query("SELECT tokens_in FROM ingest.enrichment_texts") == [(800,)]
    [(code, message)] = shop.query(
        "SELECT code, message FROM ingest.enrichment WHERE state = 'failed'"
    )
    assert code == "quality"
    assert "TODO" in message
    [(spent,)] = shop.query("SELECT spent::float FROM ingest.ai_budgets WHERE scope LIKE 'day%%'")
    assert spent == pytest.approx(5 * 0.00012)
    # By night the same would be asked in vain; a person may.
    ask(shop, "VILLE", ids, "missing")
    settled(shop, 4)
    assert len(model.calls) == 5


def test_a_row_that_changes_meanwhile_is_asked_anew(shop: Site, model: ScriptedOpenAI) -> None:
    """No text about what the row was is stored."""
    [city] = cities(shop, 1)

    def script(call: Call) -> Reply:
        if call.number == 0:
            shop.execute("UPDATE location_ville SET nom = 'Autre'")
        return Reply()

    model.script = script
    ask(shop, "VILLE", [city])

    assert settled(shop, 1) == {"done": 1}
    [(text,)] = shop.query("SELECT texte_description_ia FROM location_ville")
    assert "Autre" in text
    assert len(model.paid) == 2


def test_what_people_wrote_stays(shop: Site, model: ScriptedOpenAI) -> None:
    """Only empty columns and texts of the model are filled."""
    [city] = cities(shop, 1)
    shop.execute("UPDATE location_ville SET meta_description = 'De la mairie.'")
    ask(shop, "VILLE", [city])
    settled(shop, 1)

    assert shop.query(
        "SELECT meta_description, texte_description_ia <> '' FROM location_ville"
    ) == [("De la mairie.", True)]


def test_dead_letters_are_listed_and_asked_again(shop: Site, model: ScriptedOpenAI) -> None:
    """A filter and a refusal fail, with their reason, after one call each; a bad request after one more."""
    replies = {
        "Ville 1": Reply(400, error={"message": "bad"}),
        "Ville 2": Reply(400, error={"code": "content_filter", "message": "filtered"}),
        "Ville 3": Reply(refusal="Je refuse."),
        "Ville 4": Reply(500),
    }
    model.script = lambda call: replies.get(call.data["nom"], Reply())
    ask(shop, "VILLE", cities(shop, 5), "missing")
    assert settled(shop, 5) == {"failed": 4, "done": 1}
    calls = Counter(call.data["nom"] for call in model.calls)
    assert calls == {
        "Ville 1": calls["Ville 1"],
        "Ville 2": 1,
        "Ville 3": 1,
        "Ville 4": 4,
        "Ville 5": 1,
    }
    assert 2 <= calls["Ville 1"] <= 3  # once more if nothing was answered meanwhile
    listed: Any = shop.foxstream_worker("enrichment", "failed", "--json").json()
    assert sorted(f["code"] for f in listed) == [
        "content-filter",
        "http-400",
        "http-500",
        "refusal",
    ]
    replies.clear()
    assert shop.foxstream_worker("enrichment", "retry", "--all").stdout == "4 asked again\n"

    assert settled(shop, 5) == {"done": 5}


def test_b34_b45_failures_are_seen(shop: Site, model: ScriptedOpenAI) -> None:
    """B34, B45: what fails is retried, then counted, listed and told; nothing is swallowed."""
    model.script = lambda _: Reply(500)
    ask(shop, "VILLE", cities(shop, 1), "missing")

    assert settled(shop, 1) == {"failed": 1}
    assert len(model.calls) == 4
    told = report(shop)
    assert told["failures"] == [{"code": "http-500", "requests": 1}]
    assert [(c["state"], c["calls"]) for c in told["calls"]] == [("failed", 4)]


def test_b43_no_review_no_synthesis(shop: Site, model: ScriptedOpenAI) -> None:
    """B43: nothing is made up: without public reviews there is no call, no row, no has_reviews."""
    proloc = page(shop)
    review(shop, proloc, 5, "Brouillon", "en_attente")
    ask(shop, "AVIS", [proloc])

    assert settled(shop, 1) == {"failed": 1}
    assert model.calls == []
    assert shop.query("SELECT count(*)::int FROM reviews_avisdecrypte") == [(0,)]


@pytest.fixture
def own_tables(stack: Stack) -> Site:
    """A database with the tables of migration 0001, which have check constraints. Django's have none."""
    url = create_database(stack.environment["FOX_DATABASE_URL"], f"own{next(_numbers)}")
    migrate(url)
    return Site(stack, "", url)


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
def test_b43_the_schema_refuses_a_synthesis_without_reviews(own_tables: Site, lie: str) -> None:
    """B43: a row without source, rating, count and text of real reviews cannot be written at all."""
    proloc = page(own_tables)

    with pytest.raises(psycopg.errors.CheckViolation):
        own_tables.execute(
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
