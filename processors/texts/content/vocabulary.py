"""How many tokens a text has, for the models of which OpenAI has published the vocabulary.

A vocabulary takes some hundred megabytes and seconds: it is loaded by the first text that is counted.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import bpe_openai

Count = Callable[[str], int]

_BY_MODEL = (
    (
        "o200k_base",
        re.compile(r"(?:chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|o1|o3|o4-mini)(?:-|$)"),
    ),
    ("cl100k_base", re.compile(r"(?:gpt-4|gpt-3\.5-turbo)(?:-|$)")),
)
"""As in tiktoken. The vocabularies of later models are not published."""


def tokens_of(model: str) -> Count | None:
    """Counts the tokens of a text; None if the vocabulary of this model of OpenAI's is not known."""
    name = model.removeprefix("ft:")
    known = (vocabulary for vocabulary, models in _BY_MODEL if models.match(name))
    vocabulary = next(known, None)
    return None if vocabulary is None else lambda text: _count(vocabulary, text)


def _count(vocabulary: str, text: str) -> int:
    # A name of a special token in a text is a text: encode_ordinary.
    return len(_encoding(vocabulary).encode_ordinary(text))


@cache
def _encoding(vocabulary: str) -> "bpe_openai.Encoding":
    import bpe_openai

    return bpe_openai.get_encoding(vocabulary)
