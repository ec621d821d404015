"""The same callers with llama.cpp's own server, and a model of 2 MB that it reads as any other.

It runs in an environment of its own (tests/foreign_servers.py), and is skipped if that cannot be made.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from deploy.local.processes.ports import free_port
from processors.texts.content import prompts
from processors.texts.kinds import KINDS
from processors.texts.model.answer_handling import MOST_ASKS
from processors.texts.server.provider import Provider
from tests.fix_enrichment import Texts, cities
from tests.foreign_servers import FOREIGN, python_of, serving
from tests.integration.test_enrichment_answers import PATIENT, at_once
from tests.model_outcomes import Outcome, Spent, Then, outcome
from tests.openai_server import good

LLAMACPP = FOREIGN / "llamacpp"
CONTEXT = 8192

Served = Callable[..., str]
"""The address of a server whose model says these pieces; with `loop` the last of them for ever."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("llamacpp")
    python = python_of("llamacpp")
    known: dict[str, str] = {}
    with ExitStack() as servers:

        def serve(*pieces: str, loop: bool = False, context: int = CONTEXT) -> str:
            key = repr((pieces, loop, context))
            if key not in known:
                model, port = folder / f"{len(known)}.gguf", free_port()
                words = ["--loop"] if loop else []
                subprocess.run(
                    [python, LLAMACPP / "tiny_model.py", model, *pieces, *words], check=True
                )
                start = (python, LLAMACPP / "serve.py", model, str(port), str(context))
                servers.enter_context(serving(start, port, model.with_suffix(".log")))
                known[key] = f"http://127.0.0.1:{port}/v1"
            return known[key]

        yield serve


def pieces(text: str) -> list[str]:
    """A text in pieces of four words, of which no two are the same."""
    words = text.split(" ")
    found = [" ".join(words[at : at + 4]) + " " for at in range(0, len(words), 4)]
    return [*found[:-1], found[-1].rstrip()]


GOOD = pieces(good("VILLE", {"nom": "Ville 1"}))


async def asked(texts: Texts, address: str) -> None:
    texts.ask(cities(texts.site, 1), "missing")
    texts.provider = Provider(str, address, 60)
    try:
        await at_once(texts, PATIENT)
    finally:
        await texts.provider.close()


def used(texts: Texts) -> list[Any]:
    return texts.site.query("SELECT state, code, tokens, cost FROM ingest.ai_calls ORDER BY id")


def usage(address: str, body: Any) -> dict[str, Any]:
    """What the server itself counts for such a request."""
    said = httpx.post(f"{address}/chat/completions", json=body, timeout=60, trust_env=False)
    found: dict[str, Any] = said.json()["usage"]
    return found


async def test_an_answer(texts: Texts, served: Served) -> None:
    """It is stored word by word, with the tokens that the server counts."""
    await asked(texts, served(*GOOD))

    answer = json.loads("".join(GOOD))
    assert texts.site.query("SELECT texte_description_ia FROM location_ville") == [
        (answer["texte"],)
    ]
    [(state, code, tokens, cost)] = used(texts)
    assert (state, code) == ("answered", None)
    [(tokens_in, tokens_out, kept)] = texts.site.query(
        "SELECT tokens_in, tokens_out, cost FROM ingest.ai_results"
    )
    assert tokens == tokens_in + tokens_out
    assert tokens_out == len(GOOD) + 1  # and the token that ends it
    assert cost == kept == PATIENT.price.cost(tokens_in, tokens_out)


async def test_an_answer_that_does_not_end(texts: Texts, served: Served) -> None:
    """The server keeps to the limit of output; what comes is no text, and is asked again."""
    await asked(texts, served('{"texte": "La page', " la", loop=True))

    limit = KINDS["VILLE"].output_tokens
    rejected = texts.site.query("SELECT tokens_out FROM ingest.ai_rejected")
    assert len(rejected) == MOST_ASKS
    assert all(tokens <= limit for (tokens,) in rejected)
    assert outcome(texts.site, 0).then is Then.ASKED_AGAIN


async def test_words_where_json_is_asked_for(texts: Texts, served: Served) -> None:
    """Its grammar lets no word pass that the schema has no place for: what comes is JSON, or is cut."""
    await asked(texts, served("Voici ", "la ", "réponse."))

    [(answer,)] = texts.site.query("SELECT answer FROM ingest.ai_rejected LIMIT 1")
    assert answer.lstrip().startswith("{")
    assert outcome(texts.site, 0).then is Then.ASKED_AGAIN


async def test_a_prompt_that_is_larger_than_its_context(texts: Texts, served: Served) -> None:
    """Nothing is paid, and the request says how many tokens it has and how many fit."""
    await asked(texts, served(*GOOD, context=512))

    assert outcome(texts.site, 0) == Outcome(Then.JUDGED, "http-400", Spent.NOTHING)
    [(message,)] = texts.site.query("SELECT message FROM ingest.enrichment")
    assert "exceeds the available context size (512 tokens)" in message


async def test_what_is_reserved_is_more_than_it_counts(texts: Texts, served: Served) -> None:
    """Whatever its vocabulary, here single bytes: with words of any script and with emoji."""
    address = served(*GOOD)
    for name in ("Rennes", "雷恩市中心商业街区", "🦊🏳️‍🌈👩‍👩‍👧‍👦" * 20, "ΑΩ " * 40):
        body = prompts.prompt(KINDS["VILLE"], {"nom": name}, "m").body
        counted = usage(address, body)
        most_in, most_out = prompts.most_tokens(body)
        assert counted["prompt_tokens"] <= most_in
        assert counted["completion_tokens"] <= most_out
