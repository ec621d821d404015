"""What a call reserves where the vocabulary of the model is known, and where it is not."""

import subprocess
import sys
from typing import Any

import bpe_openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.settings import Settings
from processors.texts import stage_config
from processors.texts.content import prompts
from processors.texts.content.prompts import SERVERS_OWN_TOKENS
from processors.texts.content.vocabulary import tokens_of
from processors.texts.kinds import KINDS

O200K = bpe_openai.get_encoding("o200k_base")
COUNT = tokens_of("gpt-4o-mini")


def body(name: str) -> Any:
    return prompts.prompt(KINDS["VILLE"], {"nom": name}, "gpt-4o-mini").body


@pytest.mark.parametrize(
    "name",
    [
        "Saint-Étienne " * 40,
        "\U0001f469\u200d\U0001f680" * 100,
        "电脑维修" * 100,
        "<|endoftext|>" * 40,
    ],
    ids=["French", "emoji", "Chinese", "special tokens"],
)
def test_a_known_vocabulary_is_counted(name: str) -> None:
    """No fewer tokens than everything that is sent has, and fewer than its bytes."""
    asked = body(name)
    bound, out = prompts.most_tokens(asked, COUNT)
    by_bytes, _ = prompts.most_tokens(asked)

    assert len(O200K.encode_ordinary(prompts._json(asked))) < bound < by_bytes * 0.7
    assert out == 700


@given(st.text())
def test_no_text_has_more_tokens_than_its_bytes(text: str) -> None:
    """So that an unknown vocabulary has no more, either."""
    assert COUNT is not None
    assert COUNT(text) <= len(text.encode())


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("ft:gpt-4.1-mini:us::7", "o200k_base"),
        ("gpt-5-mini", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-6-luna", None),
        ("gpt-40", None),
        ("openai/gpt-4o", None),
        ("llama3.1:8b", None),
    ],
)
def test_models_whose_vocabulary_is_known(model: str, vocabulary: str | None) -> None:
    """Counted with their own; the others by their bytes."""
    count = tokens_of(model)
    text = "L'électricien 电脑 intervient à Rennes."

    if vocabulary is None:
        assert count is None
    else:
        assert count is not None
        assert count(text) == len(bpe_openai.get_encoding(vocabulary).encode_ordinary(text))


@pytest.mark.parametrize(
    ("url", "counted"),
    [
        (None, True),
        ("https://eu.api.openai.com/v1", True),
        ("http://localhost:1234/v1", False),
        ("https://openrouter.ai/api/v1", False),
    ],
)
def test_other_servers_may_have_another_model_of_that_name(
    url: str | None, counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens are counted for OpenAI alone. A call reserves less then, by the same settings."""
    monkeypatch.setenv("FOX_AI_MODEL", "gpt-4o-mini")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if url is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
    bound, _ = stage_config.terms(Settings()).most_tokens(body("Rennes"))

    assert (bound < prompts.most_tokens(body("Rennes"))[0]) is counted
    assert bound > SERVERS_OWN_TOKENS


def test_only_who_counts_loads_a_vocabulary() -> None:
    """Other models cost neither its memory nor its time."""
    script = (
        "import sys\n"
        "from processors.settings import Settings\n"
        "from processors.texts import stage_config\n"
        "stage_config.terms(Settings())\n"
        "sys.exit('bpe_openai' in sys.modules)"
    )
    environment = {"FOX_AI_MODEL": "gpt-6-luna"}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == 0
