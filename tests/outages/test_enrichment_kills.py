"""Texts through kills, in short: `make faults` has a thousand."""

from decimal import Decimal

from tests.faults.texts import through_kills
from tests.fix_enrichment import PRICE, ask, cities, configure, settled, states
from tests.fix_stack import Site, eventually
from tests.openai_server import CUT, Reply, ScriptedOpenAI


def test_requests_through_two_kills(shop: Site, model: ScriptedOpenAI) -> None:
    """Each text is stored once; what is asked twice was in flight at a kill; the rate holds."""
    assert through_kills(shop, model, 240) == []


BUDGET = Decimal("0.005")
CONCURRENCY = 3


def charged(model: ScriptedOpenAI) -> Decimal:
    """What the provider has answered, at its price, in US dollars."""
    return len(model.paid) * PRICE.cost(400, 100) + len(model.probes) * PRICE.cost(*CUT.tokens)


def test_a_budget_through_a_kill(shop: Site, model: ScriptedOpenAI) -> None:
    """By the provider's own records it is not exceeded, and nothing that was stored is paid for again."""
    configure(shop, budget_day=BUDGET, concurrency=CONCURRENCY)
    model.script = lambda _: Reply(hang=0.2)
    ask(shop, "VILLE", cities(shop, 60))
    workers = [shop.worker("enrichment"), shop.worker("enrichment")]
    eventually(lambda: states(shop).get("done", 0) >= 8)
    workers.pop(0).kill()
    workers.append(shop.worker("enrichment"))
    used_up = "SELECT FROM ingest.ai_budgets WHERE scope LIKE 'day%%' AND spent + denied > %s"
    under_way = "SELECT FROM ingest.ai_calls WHERE state = 'started'"
    eventually(lambda: shop.query(used_up, BUDGET) and not shop.query(under_way), 60)
    [(spent,)] = shop.query("SELECT spent FROM ingest.ai_budgets WHERE scope LIKE 'day%%'")
    assert BUDGET / 2 < charged(model) <= spent <= BUDGET
    assert len(model.probes) == 1  # for all workers
    assert states(shop).get("failed", 0) == 0
    for worker in workers:
        worker.stop()
    configure(shop, budget_day=1)
    shop.worker("enrichment")

    assert settled(shop, 60) == {"done": 60}
    assert model.repeats().total() <= CONCURRENCY
    assert max(model.repeats().values(), default=0) <= 1
