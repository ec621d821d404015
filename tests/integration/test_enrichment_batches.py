"""The night's texts in batches, at half the price, through kills and answers that fail."""

from uuid import UUID

import pytest

from tests.fix_enrichment import ask, cities, configure, settled, states
from tests.fix_stack import Site, eventually
from tests.openai_server import Call, Reply, ScriptedOpenAI, good


@pytest.fixture
def night(shop: Site) -> Site:
    """A site whose workers send the night's requests in batches."""
    configure(shop, batch="true", batch_seconds="0.3")
    return shop


def asked_by_night(site: Site, count: int) -> list[UUID]:
    ids = cities(site, count)
    ask(site, "VILLE", ids, "missing")
    return ids


def written(site: Site) -> int:
    [(count,)] = site.query(
        "SELECT count(*)::int FROM location_ville WHERE texte_description_ia <> ''"
    )
    return int(count)


def test_a_night_in_one_batch(night: Site, model: ScriptedOpenAI) -> None:
    """One file, one batch, half the price; what people ask for is still asked at once."""
    model.batch_status = "in_progress"
    ids = asked_by_night(night, 120)
    ask(night, "VILLE", ids[:1], "missing")  # the very same once more
    night.worker("enrichment")
    eventually(lambda: len(model.batches) == 1)
    night.execute("UPDATE ingest.enrichment SET not_before = now() WHERE state = 'pending'")
    ask(night, "VILLE", ids[:1])
    night.execute(
        "INSERT INTO location_ville SELECT md5('other')::uuid, created_at, updated_at, 'Autre', 'autre', "
        "code_postal_principal, codes_postaux, departement, region, lat, lng, 0 FROM location_ville LIMIT 1"
    )
    [(other,)] = night.query("SELECT id FROM location_ville WHERE slug = 'autre'")
    ask(night, "VILLE", [other])
    eventually(lambda: len(model.paid) == 1)
    assert model.calls[0].data["nom"] == "Autre"
    model.batch_status = "completed"

    eventually(lambda: written(night) == 121, 30)  # far below the default of FOX_AI_BATCH_SECONDS
    night.execute("UPDATE ingest.enrichment SET not_before = now() WHERE state = 'pending'")
    assert settled(night, 123) == {"done": 123}
    assert (len(model.batches), len(model.batched), len(model.calls)) == (1, 120, 1)
    assert night.query(
        "SELECT model, state, sum(cost)::float FROM ingest.ai_calls GROUP BY 1, 2 ORDER BY 1"
    ) == [
        ("gpt-4o-mini", "answered", pytest.approx(0.00012)),
        ("gpt-4o-mini by batch", "answered", pytest.approx(120 * 0.00006)),
    ]
    spent = "SELECT spent::float FROM ingest.ai_budgets WHERE scope LIKE 'day%%'"
    assert night.query(spent) == [(pytest.approx(0.00012 + 120 * 0.00006),)]
    assert night.query("SELECT DISTINCT model FROM ingest.enrichment_texts") == [("gpt-4o-mini",)]
    assert night.query("SELECT count(*)::int FROM ingest.ai_batch_items") == [(0,)]


def test_a_batch_outlives_its_workers(night: Site, model: ScriptedOpenAI) -> None:
    """A kill when it was made and nobody told, one while it is answered: no second batch, nothing twice."""
    model.batch_status = "in_progress"
    # The provider makes the batch, and the answer does not come.
    model.batch_trouble = lambda asked, done: 0 if done and asked == "POST /v1/batches" else None
    asked_by_night(night, 60)
    first = night.worker("enrichment")
    eventually(lambda: model.batches)
    first.kill()
    model.batch_trouble = lambda *_: None
    night.execute("UPDATE ingest.ai_batches SET leased_until = now()")
    second = night.worker("enrichment")
    eventually(lambda: night.query("SELECT FROM ingest.ai_batches WHERE provider_id IS NOT NULL"))
    second.stop()
    model.batch_status = "completed"
    configure(night, batch="false")  # what is open is read all the same
    night.execute("UPDATE ingest.ai_batches SET leased_until = now()")
    night.worker("enrichment")
    night.worker("enrichment")

    assert settled(night, 60) == {"done": 60}
    assert len(model.batches) == 1
    assert not model.repeats()
    assert written(night) == 60


def test_what_a_batch_does_not_answer(night: Site, model: ScriptedOpenAI) -> None:
    """Bad answers are asked again in the next batch, refused prompts fail, the unanswered come again."""

    def script(call: Call) -> Reply:
        replies = {
            "Ville 1": Reply(content=good("VILLE", call.data).replace("Chacun", "TODO Chacun")),
            "Ville 2": Reply(400, error={"code": "content_filter", "message": "filtered"}),
            "Ville 3": Reply(500),
            "Ville 4": Reply(hang=1),
        }
        first = len(call.body["messages"]) == 2 and call.repeated == 0
        return replies.get(call.data["nom"], Reply()) if first else Reply()

    model.script = script
    asked_by_night(night, 5)
    night.worker("enrichment")

    assert settled(night, 5) == {"done": 4, "failed": 1}
    assert night.query("SELECT code FROM ingest.enrichment WHERE state = 'failed'") == [
        ("content-filter",)
    ]
    again = [call for call in model.batched if len(call.body["messages"]) == 4]
    assert [call.data["nom"] for call in again] == ["Ville 1"]
    # Ville 1 twice, Ville 5, and 3 and 4 when they came again: what was refused costs nothing.
    [(cost,)] = night.query("SELECT sum(cost)::float FROM ingest.ai_calls")
    assert cost == pytest.approx(5 * 0.00006)


def test_batches_keep_to_the_budget(night: Site, model: ScriptedOpenAI) -> None:
    """What there is no money for waits; what was reserved and not used is there for the next batch."""
    configure(night, budget_day="0.0015")
    model.batch_status = "in_progress"
    asked_by_night(night, 20)
    night.worker("enrichment")
    eventually(lambda: model.batches)
    eventually(lambda: night.query("SELECT FROM ingest.enrichment WHERE code = 'budget'"))
    spent = "SELECT spent::float FROM ingest.ai_budgets WHERE scope LIKE 'day%%'"
    assert 0 < night.query(spent)[0][0] <= 0.0015
    [(items,)] = night.query("SELECT count(*)::int FROM ingest.ai_batch_items")
    assert 0 < items < 20
    model.batch_status = "completed"

    def all_done() -> bool:
        night.execute("UPDATE ingest.enrichment SET not_before = now() WHERE state = 'pending'")
        return states(night) == {"done": 20}

    eventually(all_done)
    assert night.query(spent) == [(pytest.approx(20 * 0.00006),)]
    assert not model.repeats()
