"""What texts cost before they are asked for: prices by model, with their date, and an estimate.

Prices are OpenAI's standard ones (developers.openai.com/api/docs/pricing), compared on 2026-11-25 with
what others had read there: LLM price lists of March to September 2026 for the older models, release
notes of September for GPT-6 Luna. They change, and models end: compare with the provider's page, or
give your own (FOX_AI_PRICE_INPUT and FOX_AI_PRICE_OUTPUT). Tokens by kind are generous: a review page sends up to 50 reviews.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens, as the provider's page said on `day`."""

    input: Decimal
    output: Decimal
    day: date

    def cost(self, tokens_in: int, tokens_out: int) -> Decimal:
        """In US dollars."""
        return (self.input * tokens_in + self.output * tokens_out) / MILLION


def _price(given: str, made: str, day: str) -> Price:
    return Price(Decimal(given), Decimal(made), date.fromisoformat(day))


DEFAULT_MODEL = "gpt-4o-mini"

# OpenAI takes the GPT-5 models named here off its API on 2026-12-11, GPT-4o and GPT-4.1 (but nano, of
# which nothing was found) on 2027-01-14, and names gpt-6-luna in their place. It reasons by default:
# its price is given here, its answers were not tried.
PRICES: Mapping[str, Price] = {
    "gpt-4o-mini": _price("0.15", "0.60", "2024-07-18"),
    "gpt-4o": _price("2.50", "10.00", "2024-10-01"),
    "gpt-4.1-nano": _price("0.10", "0.40", "2025-04-14"),
    "gpt-4.1-mini": _price("0.40", "1.60", "2025-04-14"),
    "gpt-5-nano": _price("0.05", "0.40", "2025-08-07"),
    "gpt-5-mini": _price("0.25", "2.00", "2025-08-07"),
    "gpt-6-luna": _price("0.10", "0.50", "2026-09-22"),
}


def price(model: str, given: Decimal | None, made: Decimal | None) -> Price | None:
    """The price of a model: one's own where both halves are given, else the table's; None: unknown."""
    if given is not None and made is not None:
        return Price(given, made, datetime.now(UTC).date())
    return PRICES.get(model)


# By import type: tokens in and out of the text of one row.
_TOKENS = {
    "CATEGORIE": (700, 350),
    "SOUS_CATEGORIE": (750, 350),
    "VILLE": (700, 350),
    "ENTREPRISE": (800, 400),
}


def estimate(
    import_type: str, rows: int, model: str = DEFAULT_MODEL, own: Price | None = None
) -> dict[str, Any] | None:
    """What the texts of so many rows would cost; None: such rows have none.

    At most one text a row: what is unchanged, or has an answer already, costs nothing; reviews come
    on top. `cost` and `priced_on` are None for a model without a known price.
    """
    tokens = _TOKENS.get(import_type)
    if tokens is None:
        return None
    known = own or PRICES.get(model)
    tokens_in, tokens_out = rows * tokens[0], rows * tokens[1]
    return {
        "texts": rows,
        "model": model,
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "cost": float(round(known.cost(tokens_in, tokens_out), 6)) if known else None,
        "currency": "USD",
        "priced_on": known.day.isoformat() if known else None,
    }
