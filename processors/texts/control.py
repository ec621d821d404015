"""What operators change while workers run: budgets, and whether the model is asked at all.

PostgreSQL keeps it, and all workers look there before each call.
"""

from decimal import Decimal
from typing import Any

from processors.database.connection import query
from processors.database.queries import load
from processors.settings import Settings
from processors.texts.model.budgets import known_price

_SQL = load("processors.texts", "control.sql")


def pause(settings: Settings, by: str | None, reason: str | None) -> None:
    """No call is made from now on; those that are under way are finished. The first pause counts."""
    query(settings.database_url, dict, _SQL["pause"], {"by": by, "reason": reason})


def resume(settings: Settings) -> None:
    """Ends a pause, and what has halted the stage: whatever it was, it is said to be fixed."""
    query(settings.database_url, dict, _SQL["resume"], {})


def set_budget(settings: Settings, kind: str, amount: Decimal | None) -> None:
    """The most that is spent, in US dollars; None: no limit. Raises ConfigurationError if nobody knows
    the price of the model."""
    if amount is not None:
        known_price(settings)
    query(settings.database_url, dict, _SQL["set_budget"], {"kind": kind, "amount": amount})


def reset_budget(settings: Settings, kind: str) -> None:
    """The setting holds again."""
    query(settings.database_url, dict, _SQL["reset_budget"], {"kind": kind})


def budgets(settings: Settings) -> dict[str, Decimal | None]:
    """US dollars by kind: those set by hand, else the settings'; None: no limit."""
    found: list[dict[str, Any]] = query(settings.database_url, dict, _SQL["budgets"], {})
    return {**settings.ai_budgets(), **{row["kind"]: row["amount"] for row in found}}
