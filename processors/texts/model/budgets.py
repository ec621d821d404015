"""The budgets that hold: the settings', and in their place what operators set by hand."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from processors.database.pool import Connection
from processors.database.queries import load
from processors.errors import ConfigurationError
from processors.settings import Settings
from schemas.values.text_prices import Price

_SQL = load("processors.texts", "control.sql")


def has_limit(budgets: Mapping[str, Decimal | None]) -> bool:
    """Whether any of the budgets is limited."""
    return any(limit is not None for limit in budgets.values())


def known_price(settings: Settings) -> Price:
    """The price of the model. Raises ConfigurationError if nobody knows it: no budget could hold."""
    found = settings.ai_price()
    if found is None:
        raise ConfigurationError(
            f"a budget needs the price of {settings.ai_model}: "
            "set FOX_AI_PRICE_INPUT and FOX_AI_PRICE_OUTPUT"
        )
    return found


class Budgets(Mapping[str, Decimal | None]):
    """US dollars by kind; None: no limit. As PostgreSQL had them at the last look."""

    def __init__(self, settings: Mapping[str, Decimal | None]) -> None:
        self._settings = settings
        self._current = settings

    async def look(self, connection: Connection) -> None:
        """Reads what operators have set."""
        cursor = await connection.execute(_SQL["budgets"])
        self._current = {**self._settings, **dict(await cursor.fetchall())}

    def __getitem__(self, kind: str) -> Decimal | None:
        return self._current[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current)

    def __len__(self) -> int:
        return len(self._current)
