"""What the provider's list of models says of ours: whether it has it, and when it ends.

OpenAI writes `shutdown_date`, Mistral `deprecation`, OpenRouter `expiration_date`, LiteLLM
`deprecation_date`, Azure an object of Unix times. Many servers have no list, or one without dates: for those the table of prices may know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import structlog

from processors.database.pool import Pool, transaction
from processors.database.queries import load
from processors.texts.server.failures import CallError
from processors.texts.server.provider import Provider
from schemas.values.text_prices import ENDS

log = structlog.get_logger(__name__)

_SQL = load("processors.texts.server", "model_list.sql")

_ENDS = (
    "shutdown_date", "deprecation", "deprecation_date", "expiration_date", "retirement_date",
    "sunset_date",
)  # fmt: skip


@dataclass(frozen=True)
class Notice:
    """`listed`: whether the provider lists the model; None if it has no list. `ends_on`: its last day."""

    listed: bool | None
    ends_on: date | None


async def note(pool: Pool, provider: Provider, model: str) -> None:
    """Asks the provider, and writes what it says where the report and the overview read it."""
    try:
        models = await provider.models()
    except CallError as error:
        log.info("models are not listed", action="ai_models_unlisted", code=error.code)
        models = None
    found = notice(models, model)
    if found.listed is False:
        log.warning("the provider does not list the model", action="ai_model_unknown", model=model)
    if found.ends_on is not None:
        log.warning("the model ends", action="ai_model_ends", model=model, day=str(found.ends_on))
    async with transaction(pool) as connection:
        values = {"model": model, "listed": found.listed, "ends_on": found.ends_on}
        await connection.execute(_SQL["note"], values)


def notice(models: Sequence[Mapping[str, Any]] | None, model: str) -> Notice:
    """What a list of models says about one of them. `models` is None if the provider has no list."""
    ends_on = ENDS.get(model)
    if not models:
        return Notice(None, ends_on)
    mine = [each for each in models if _is(str(each.get("id")), model)]
    days = [day for each in mine for name in _ENDS if (day := _day(each.get(name)))]
    return Notice(bool(mine), min(days, default=ends_on))


def _is(listed: str, model: str) -> bool:
    """Whether a name of the list is the model: Gemini's begin with models/, Ollama's end in :latest."""
    return listed.removeprefix("models/").removesuffix(":latest") == model.removesuffix(":latest")


def _day(value: object) -> date | None:
    """A day in ISO 8601 or as a Unix time; None if it is neither."""
    try:
        if isinstance(value, Mapping):
            return _day(value.get("inference"))
        if isinstance(value, str):
            return datetime.fromisoformat(value).date()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC).date()
    except (ValueError, OverflowError, OSError):
        return None
    return None
