"""What texts cost before they are asked for: prices by model, with their date, and an estimate.

Prices are OpenAI's standard ones (developers.openai.com/api/docs/pricing), compared in November 2026 with
what others had read there. They change, and models end: compare with the provider's page, or give your
own (FOX_AI_PRICE_INPUT and FOX_AI_PRICE_OUTPUT). Tokens by kind are generous: a review page sends up to
50 reviews.
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


DEFAULT_MODEL = "gpt-6-luna"

# No model that ends within two months of a release (`make release-check`): who still uses one gives its
# price. Last days are those of OpenAI's page on deprecations, as others quoted it in November 2026.
PRICES: Mapping[str, Price] = {
    "gpt-6-luna": _price("0.10", "0.50", "2026-09-22"),
    "gpt-6.1-terra": _price("1.00", "5.00", "2026-10-26"),
}

ENDS: Mapping[str, date] = {
    "gpt-4.1-nano": date(2026, 10, 23),
    "gpt-5-nano": date(2026, 12, 11),
    "gpt-5-mini": date(2026, 12, 11),
    "gpt-5": date(2026, 12, 11),
    "gpt-4o-mini": date(2027, 1, 14),
    "gpt-4o": date(2027, 1, 14),
    "gpt-4.1-mini": date(2027, 1, 14),
    "gpt-4.1": date(2027, 1, 14),
    "gpt-5.1": date(2027, 4, 1),
}
"""The day on which a provider takes a model off its API, as far as it has said so."""

EFFORTS: Mapping[str, str] = {"gpt-6-luna": "none", "gpt-6.1-terra": "none"}
"""How long a model that reasons by default thinks if no setting says: its thoughts are paid for."""


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
