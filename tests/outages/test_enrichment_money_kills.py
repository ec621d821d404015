"""Money through kills, with two workers and a provider that answers in every way it can."""

from dataclasses import replace
from decimal import Decimal

from processors.texts.kinds import KINDS
from tests.fix_enrichment import PRICE, ask, cities, configure, states
from tests.fix_stack import Site, eventually
from tests.model_outcomes import Spent, Then
from tests.openai_server import Call, Reply, ScriptedOpenAI
from tests.provider_behaviours import BEHAVIOURS

BUDGET = Decimal("0.012")
PAID = [
    each
    for each in BEHAVIOURS
    if each.reply.status == 200
    and each.outcome.then in (Then.STORED, Then.AGAIN)
    and not (each.reply.stream or each.reply.hang or "x-ratelimit" in str(each.reply.headers))
    and each.outcome.spent is not Spent.NOTHING
    and each.reply.tokens[1] <= KINDS["VILLE"].output_tokens
]
"""The model worked at each of these, whatever came of it, and kept to the limit of its answer."""


def most(call: Call) -> tuple[int, int]:
    """Tokens in and out that no vocabulary and no thoughts can exceed."""
    sent = sum(len(message["content"].encode()) for message in call.body["messages"])
    return sent, int(call.body["max_completion_tokens"])


def test_money_through_two_kills(shop: Site, model: ScriptedOpenAI) -> None:
    """By the server's own records no cent more than the budget is spent, and nothing is asked that
    is stored. Where the provider does not say what it counts, it counts the most that it may."""
    stored: list[str] = []

    def script(call: Call) -> Reply:
        name = call.data["nom"]
        written = "SELECT nom FROM location_ville WHERE nom = %s AND texte_description_ia <> ''"
        stored.extend(nom for (nom,) in shop.query(written, name))
        each = PAID[call.number % len(PAID)]
        if each.outcome.spent is Spent.USED:
            return each.reply
        return replace(each.reply, tokens=most(call))

    model.script = script
    configure(shop, budget_day=BUDGET, concurrency=4, breaker_failures=500, retries=50)
    workers = [shop.worker("enrichment"), shop.worker("enrichment")]
    ask(shop, "VILLE", cities(shop, 80))
    for done in (5, 10):
        eventually(lambda wanted=done: states(shop).get("done", 0) >= wanted)  # type: ignore[misc]
        workers.pop(0).kill()
        workers.append(shop.worker("enrichment"))
    spent = "SELECT spent FROM ingest.ai_budgets WHERE scope LIKE 'day %%'"
    largest = "SELECT max(cost) FROM ingest.ai_calls"
    eventually(lambda: shop.query(spent)[0][0] + shop.query(largest)[0][0] > BUDGET, 240)
    for worker in workers:
        worker.kill()

    charged = sum((PRICE.cost(*tokens) for tokens in model.charged), Decimal(0))
    [(ours,)] = shop.query(spent)
    assert charged <= ours <= BUDGET
    assert charged > BUDGET / 3  # much was asked
    assert stored == []
