"""Which model is asked, how often, for how much, and what happens when it does not answer."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from processors.settings import Settings
from processors.texts import stage_config
from processors.texts.content import prompts
from processors.texts.kinds import KINDS
from processors.texts.model import call_limits
from processors.texts.model.answer_handling import AnswerHandling
from processors.texts.model.call_limits import Call, _rates_deny, _Usage
from processors.texts.server.failures import CallError, Trouble
from producers.settings import settings
from tests.effects.case import PRODUCERS, WORKER, Place, Proven, Seen

PRICED = {"FOX_AI_PRICE_INPUT": "1", "FOX_AI_PRICE_OUTPUT": "1"}


def _terms() -> Any:
    return stage_config.terms(Settings())


def _cost(_: Place) -> list[str]:
    """US dollars of a million tokens sent, and of a million answered."""
    price = _terms().price
    return [str(price.cost(1_000_000, 0)), str(price.cost(0, 1_000_000))]


def _estimate(_: Place) -> Any:
    found = settings().ai_estimate("VILLE", 1)
    assert found is not None
    return found["model"], found["cost"]


def _asked(_: Place) -> str:
    """The model that a worker names to the provider."""
    terms = _terms()
    prompt = prompts.prompt(KINDS["VILLE"], {"nom": "Rennes"}, terms.asked_model)
    return str(prompt.body["model"])


def _option(name: str) -> Callable[[Place], Any]:
    """A field of what is sent to the provider; None: it is not sent."""

    def sent(_: Place) -> Any:
        terms = _terms()
        prompt = prompts.prompt(KINDS["VILLE"], {"nom": "Rennes"}, "m", terms.options)
        return prompt.body.get(name)

    return sent


def _denied(running: int = 0, tokens: int = 0, full: float | None = None) -> Any:
    """Why a call of 1,000 tokens has to wait, and for how long, where so much is under way."""
    usage = _Usage(datetime.now(UTC), running, tokens, -1.0 if tokens else None, full)
    call = Call(UUID(int=1), "h", 0, None, 1000, Decimal(0))
    found = _rates_deny(_terms().limits, usage, call)
    return found and (found.why, round(found.seconds, 3))


class _Connection:
    """Answers how a model stands, and keeps what is written of it."""

    def __init__(self, failures: int) -> None:
        self.row = (None, failures, None, None, 0.0, None, None, None, ())
        self.written: list[dict[str, Any]] = []

    async def execute(self, _: object, values: dict[str, Any]) -> "_Connection":
        self.written.append(values)
        return self

    async def fetchone(self) -> tuple[Any, ...]:
        return self.row


def _opened(failures: int) -> Any:
    """For how many seconds the breaker opens with one more failure; None: it stays closed."""
    connection: Any = _Connection(failures)
    error = CallError(Trouble.TRANSIENT, "http-500", "")
    asyncio.run(call_limits.failed(connection, _terms().limits, error))
    return next((v["seconds"] for v in connection.written if "seconds" in v), None)


def _pause(_: Place) -> bool:
    """Whether the first retry may come later than after a second."""
    nothing: Any = None
    handle = AnswerHandling(nothing, _terms())
    return max(handle._pause(1) for _ in range(100)) > 1


def _provider(_: Place) -> str:
    """What a call to the scripted server comes to, and whose key it carries."""

    async def ask() -> str:
        provider = stage_config.provider(Settings())
        if provider is None:
            return "nobody is asked"
        try:
            await provider.ask(prompts.prompt(KINDS["VILLE"], {"nom": "Rennes"}, "m").body)
        except CallError as error:
            return error.code
        finally:
            await provider.close()
        return "answered"

    return asyncio.run(ask())


def _key(place: Place) -> str:
    _provider(place)
    return place.model.calls[-1].authorization


MODEL = {"OPENAI_BASE_URL": "{model}", "NO_PROXY": "*"}
_ENRICHMENT = "tests/integration/test_enrichment.py"
_LIMITS = "tests/integration/test_enrichment_limits.py"
_NIGHTLY = "tests/integration/test_enrichment_nightly.py"
_SOURCES = "tests/integration/test_enrichment_sources.py"
_BATCHES = "tests/integration/test_enrichment_batches.py"
_BUDGETS = f"{_LIMITS}::test_budgets_of_an_import_and_of_the_month"

CASES: list[Seen | Proven] = [
    Seen("FOX_AI_MODEL", WORKER, "gpt-4o", _asked, "gpt-6-luna", "gpt-4o"),
    Seen("FOX_AI_MODEL", PRODUCERS, "llama3", _estimate, ("gpt-6-luna", 0.000245), ("llama3", None)),
    Seen("FOX_AI_PRICE_INPUT", WORKER, "3", _cost, ["1", "1"], ["3", "1"], given=PRICED),
    Seen("FOX_AI_PRICE_OUTPUT", WORKER, "3", _cost, ["1", "1"], ["1", "3"], given=PRICED),
    Seen("FOX_AI_PRICE_INPUT", PRODUCERS, "3", lambda p: _estimate(p)[1], 0.00105, 0.00245, given=PRICED),
    Seen("FOX_AI_PRICE_OUTPUT", PRODUCERS, "3", lambda p: _estimate(p)[1], 0.00105, 0.00175, given=PRICED),
    Seen("FOX_AI_REASONING_EFFORT", WORKER, "low", _option("reasoning_effort"), "none", "low"),
    Seen("FOX_AI_OUTPUT_TOKENS", WORKER, "900", _option("max_completion_tokens"), 700, 900),
    Seen("FOX_AI_TEMPERATURE", WORKER, "0", _option("temperature"), None, 0.0),
    Seen("FOX_AI_EXTRA_BODY", WORKER, '{{"top_k": 20}}', _option("top_k"), None, 20),
    Proven(
        "FOX_AI_REQUESTS_PER_MINUTE", WORKER,
        f"{_LIMITS}::test_the_rate_holds_for_workers_that_start_at_once",
    ),
    Seen(
        "FOX_AI_TOKENS_PER_MINUTE", WORKER, "9999",
        lambda _: _denied(tokens=9000), None, ("tokens", 61.0),
    ),
    Seen(
        "FOX_AI_WINDOW_SECONDS", WORKER, "30",
        lambda _: _denied(full=-1.0), ("rate", 61.0), ("rate", 30.0),
    ),
    Seen(
        "FOX_AI_CONCURRENCY", WORKER, "5",
        lambda _: _denied(running=4), ("concurrency", call_limits.LOOK_SECONDS), None,
    ),
    Seen(
        "FOX_AI_TIMEOUT_SECONDS", WORKER, "0.1", _provider, "answered", "timeout", given=MODEL
    ),
    Seen("FOX_AI_RETRY_SECONDS", WORKER, "0.5", _pause, True, False),
    Proven("FOX_AI_RETRIES", WORKER, f"{_ENRICHMENT}::test_b34_b45_failures_are_seen"),
    Proven(
        "FOX_AI_IMPORT_SECONDS", WORKER,
        f"{_SOURCES}::test_what_is_left_after_its_time_is_asked_for_again",
    ),
    Seen("FOX_AI_BREAKER_FAILURES", WORKER, "3", lambda _: _opened(2), None, 60.0),
    Seen("FOX_AI_BREAKER_SECONDS", WORKER, "7", lambda _: _opened(4), 60.0, 7.0),
    Proven("FOX_AI_BUDGET_IMPORT", WORKER, _BUDGETS),
    Proven("FOX_AI_BUDGET_DAY", WORKER, f"{_LIMITS}::test_the_budget_stops_and_goes_on"),
    Proven("FOX_AI_BUDGET_MONTH", WORKER, _BUDGETS),
    Proven(
        "FOX_AI_NIGHTLY_REQUESTS", WORKER,
        f"{_NIGHTLY}::test_the_nightly_plan_keeps_to_the_budget_and_runs_once",
    ),
    Proven("FOX_AI_BATCH", WORKER, f"{_BATCHES}::test_a_night_in_one_batch"),
    Proven("FOX_AI_BATCH_SECONDS", WORKER, f"{_BATCHES}::test_a_night_in_one_batch"),
    Seen(
        "FOX_AI_KINDS", WORKER, "ville", lambda _: len(_terms().disclosure.kinds), 5, 1
    ),
    Seen(
        "FOX_AI_LEAVE_OUT", WORKER, "ville.region",
        lambda _: _terms().disclosure.sent("VILLE", {"nom": "Rennes", "region": "Bretagne"}),
        {"nom": "Rennes", "region": "Bretagne"}, {"nom": "Rennes"},
    ),
    Seen("OPENAI_API_KEY", WORKER, "sk-other", _key, "Bearer none", "Bearer sk-other", given=MODEL),
    Seen(
        "FOX_AI_CA", WORKER, "{folder}/ca.pem", _provider, "network", "http-501",
        given={"OPENAI_BASE_URL": "{registry}/v1", "NO_PROXY": "*"},
    ),
    Seen(
        "OPENAI_BASE_URL", WORKER, "{model}", _provider, "nobody is asked", "answered",
        given={"NO_PROXY": "*"},
    ),
]  # fmt: skip
