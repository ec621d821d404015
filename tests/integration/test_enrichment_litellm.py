"""The same callers with LiteLLM's proxy, which others wrote: mocks of its own, and one before a provider.

It runs in an environment of its own (tests/foreign_servers.py), and is skipped if that cannot be made.
"""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from deploy.local.processes.ports import free_port
from processors.texts.server.provider import Provider
from tests.fix_enrichment import Texts, cities
from tests.foreign_servers import FOREIGN, python_of, serving
from tests.integration.test_enrichment_answers import PATIENT, at_once
from tests.model_outcomes import Outcome, Spent, Then, outcome
from tests.openai_server import Reply, ScriptedOpenAI

MOCKED = 30
"""Tokens that LiteLLM counts for an answer of its own."""


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedOpenAI]:
    """Whom the proxy asks."""
    with ScriptedOpenAI() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(provider: ScriptedOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the proxy."""
    port = free_port()
    words = (
        python_of("litellm"), "-c", "from litellm import run_server; run_server()",
        "--config", FOREIGN / "litellm" / "config.yaml", "--telemetry", "False",
        "--host", "127.0.0.1", "--port", str(port),
    )  # fmt: skip
    log = tmp_path_factory.mktemp("litellm") / "log"
    environment = {
        "FOX_TEST_PROVIDER": provider.url,
        "FOX_TEST_AZURE": provider.url.removesuffix("/v1"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches prices
        "NO_PROXY": "*",
    }
    with serving(words, port, log, **environment):
        yield f"http://127.0.0.1:{port}/v1"


async def asked(texts: Texts, address: str, model: str, key: str = "sk-master") -> str | None:
    """Asks the proxy's model for a city; what is said of a request that is not done."""
    texts.ask(cities(texts.site, 1), "missing")
    texts.provider = Provider(lambda: key, address, 20)
    try:
        terms = replace(PATIENT, asked_model=model)
        await at_once(texts, terms)
    finally:
        await texts.provider.close()
    [(message,)] = texts.site.query("SELECT message FROM ingest.enrichment")
    return str(message) if message else None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nonsense", Outcome(Then.ASKED_AGAIN, "schema", Spent.USED)),
        ("rate", Outcome(Then.WAIT, "rate", Spent.NOTHING)),
        ("context", Outcome(Then.JUDGED, "http-400", Spent.NOTHING)),
        ("internal", Outcome(Then.AGAIN, "http-500", Spent.NOTHING)),
        ("timeout", Outcome(Then.AGAIN, "http-408", Spent.RESERVED)),
        ("unreachable", Outcome(Then.AGAIN, "http-500", Spent.NOTHING)),
        ("no-such-model", Outcome(Then.JUDGED, "http-400", Spent.NOTHING)),
    ],
)
async def test_what_it_says_itself(name: str, expected: Outcome, texts: Texts, proxy: str) -> None:
    """Each error that LiteLLM can play means what it says, with its message."""
    message = await asked(texts, proxy, name)

    assert outcome(texts.site, MOCKED) == expected
    assert message


async def test_a_key_that_it_does_not_know(texts: Texts, proxy: str) -> None:
    """Without a database it answers 400, not 401, and says why."""
    message = await asked(texts, proxy, "nonsense", "sk-other")

    assert outcome(texts.site, MOCKED) == Outcome(Then.JUDGED, "http-400", Spent.NOTHING)
    assert message == "No connected db."


AZURE_FILTER = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
    "management policy. Please modify your prompt and retry.",
    "code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(), Outcome(Then.STORED, None, Spent.USED)),
        (Reply(usage={}), Outcome(Then.STORED, None, Spent.RESERVED)),
        (Reply(refusal="Je refuse."), Outcome(Then.FAILED, "refusal", Spent.USED)),
        (Reply(content="", finish="length"), Outcome(Then.FAILED, "length", Spent.USED)),
        (Reply(raw=b"<html>"), Outcome(Then.AGAIN, "http-500", Spent.NOTHING)),
        (Reply(503), Outcome(Then.AGAIN, "http-503", Spent.NOTHING)),
        (Reply(401, error={"message": "Incorrect API key provided", "code": "invalid_api_key"}),
         Outcome(Then.HALTED, "http-401", Spent.NOTHING)),
        (Reply(404, error={"message": "no such model", "code": "model_not_found"}),
         Outcome(Then.JUDGED, "http-404", Spent.NOTHING)),
        (Reply(402, error={"message": "Insufficient Balance"}),
         Outcome(Then.JUDGED, "http-402", Spent.NOTHING)),
        # Its own words for an empty account are those for a rate.
        (Reply(429, error={"message": "You exceeded your current quota", "code": "insufficient_quota"}),
         Outcome(Then.WAIT, "rate", Spent.NOTHING)),
    ],
)  # fmt: skip
async def test_what_it_says_of_a_provider(
    reply: Reply, expected: Outcome, texts: Texts, proxy: str, provider: ScriptedOpenAI
) -> None:
    """Answers and errors of a provider come through it as what they are."""
    provider.forget()
    provider.script = lambda _: reply
    await asked(texts, proxy, "openai")

    assert outcome(texts.site, sum(reply.tokens)) == expected


async def test_how_long_its_provider_asks_to_wait(
    texts: Texts, proxy: str, provider: ScriptedOpenAI
) -> None:
    """It renames the provider's Retry-After, which is read all the same."""
    provider.forget()
    provider.script = lambda _: Reply(
        429, headers={"Retry-After": "1200"}, error={"message": "slow"}
    )
    await asked(texts, proxy, "openai")

    waits = "SELECT blocked_until > now() + interval '1000 s' FROM ingest.ai_models"
    assert texts.site.query(waits) == [(True,)]


async def test_a_filter_of_azure(texts: Texts, proxy: str, provider: ScriptedOpenAI) -> None:
    """What Azure's filter stops is that prompt's failure, also in LiteLLM's words."""
    provider.forget()
    provider.script = lambda _: Reply(400, error=AZURE_FILTER)
    message = await asked(texts, proxy, "azure")

    assert outcome(texts.site, 0) == Outcome(Then.FAILED, "content-filter", Spent.NOTHING)
    assert message
    assert "management policy" in message


async def test_what_it_counts(texts: Texts, proxy: str) -> None:
    """Tokens are those that the proxy reports; the cost is theirs at our price."""
    body = {"model": "nonsense", "messages": [{"role": "user", "content": "?"}]}
    async with httpx.AsyncClient(trust_env=False) as client:
        said = await client.post(
            f"{proxy}/chat/completions", json=body, headers={"Authorization": "Bearer sk-master"}
        )
    usage = said.json()["usage"]
    await asked(texts, proxy, "nonsense")

    cost = PATIENT.price.cost(usage["prompt_tokens"], usage["completion_tokens"])
    assert texts.site.query("SELECT DISTINCT tokens, cost FROM ingest.ai_calls") == [
        (usage["total_tokens"], cost)
    ]
