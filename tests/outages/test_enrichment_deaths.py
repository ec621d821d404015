"""Texts when workers die and databases are restored: nothing is paid twice that was known."""

import threading

import psycopg

from tests.fix_enrichment import ask, cities, settled, states
from tests.fix_stack import Site, eventually
from tests.openai_server import ScriptedOpenAI


def test_the_same_is_never_paid_twice(shop: Site, model: ScriptedOpenAI) -> None:
    """Asked again, at once by several and after a restart, the answer is known and costs nothing."""
    ids = cities(shop, 5)
    first = shop.worker("enrichment")
    ask(shop, "VILLE", ids * 3)
    assert settled(shop, 15) == {"done": 15}
    first.kill()
    shop.worker("enrichment")
    ask(shop, "VILLE", ids)

    assert settled(shop, 20) == {"done": 20}
    assert len(model.paid) == 5


def test_a_restored_database_reads_its_answers_again(shop: Site, model: ScriptedOpenAI) -> None:
    """What the database lost stands on the topic, and is read before anything is asked."""
    ids = cities(shop, 5)
    worker = shop.worker("enrichment")
    ask(shop, "VILLE", ids)
    settled(shop, 5)
    eventually(lambda: len(shop.messages("enrichment.results")) == 5)
    worker.kill()
    # As a backup from before: no positions, no answers, no requests, no texts.
    shop.execute("DELETE FROM ingest.positions")
    shop.execute("DELETE FROM ingest.ai_results")
    shop.execute("DELETE FROM ingest.enrichment_texts")
    shop.execute("DELETE FROM ingest.enrichment")
    shop.execute("UPDATE location_ville SET texte_description_ia = '', meta_description = ''")
    shop.worker("enrichment")

    # The topic still holds the requests.
    assert settled(shop, 5) == {"done": 5}
    assert len(model.calls) == 5
    assert shop.query(
        "SELECT count(*)::int FROM location_ville WHERE texte_description_ia <> ''"
    ) == [(5,)]


def test_requests_that_come_before_the_answers(shop: Site, model: ScriptedOpenAI) -> None:
    """No answer is claimed while those on the topic are still being read after a restore."""
    worker = shop.worker("enrichment")
    ask(shop, "VILLE", cities(shop, 5))
    settled(shop, 5)
    eventually(lambda: len(shop.messages("enrichment.results")) == 5)
    worker.kill()
    shop.execute("DELETE FROM ingest.positions WHERE topic LIKE '%enrichment'")
    shop.execute("UPDATE ingest.positions SET next_offset = 0 WHERE topic LIKE '%results'")
    for table in ("ai_results", "enrichment_texts", "enrichment"):
        shop.execute(f"DELETE FROM ingest.{table}")
    with psycopg.connect(shop.database_url) as somebody:
        # Nobody can move the positions of the answers.
        somebody.execute("SELECT FROM ingest.positions WHERE topic LIKE '%results' FOR UPDATE")
        shop.worker("enrichment")
        eventually(lambda: states(shop) == {"pending": 5})
        threading.Event().wait(3)  # for what must not come
        assert states(shop) == {"pending": 5}

    assert settled(shop, 5) == {"done": 5}
    assert len(model.calls) == 5
