"""The budgets that hold: the settings', and in their place what operators set by hand."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from processors.database.pool import Connection
from processors.database.queries import load

_SQL = load("processors.texts", "control.sql")


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
