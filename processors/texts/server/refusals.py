"""Which parameters of a call an error refuses, in the errors of every server that was looked at.

    OpenAI, Azure       {"param": "temperature", "code": "unsupported_value"}, or "Unrecognized request
                        argument supplied: …"
    FastAPI, Mistral    {"detail": [{"loc": ["body", "store"], "type": "extra_forbidden"}]}
    vLLM                the same list as a text
    Groq                "property 'store' is unsupported"
    DeepSeek            "This response_format type is unavailable now"
    LiteLLM             "… does not support parameters: ['reasoning_effort']"
    OpenRouter          one of these in metadata.raw

A name counts if the same part of the error says that it is unknown or not supported. A value that is
only out of range, such as too many tokens, does not mean that the parameter is refused.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from processors.texts.server.dialect import FORMATS, NAMES

_NO = re.compile(
    r"unrecogni[sz]ed|unknown|unexpected|unsupported|unavailable|forbidden|\bextra (?:inputs|fields)"
    r"|value_error\.extra|not (?:\w+ )?(?:supported|permitted|allowed|available|recogni[sz]ed)"
    r"|(?:n't|not) support|not one of the allowed|invalid parameter|enabled only|only the default"
)
_FORMAT = "response_format"
_FORMAT_WORDS = re.compile(
    r"response[ _]format|json[ _]schema|json[ _]object|json mode|structured outputs?"
)
_TYPE = re.compile(r"response_format(?:\.type| type)?['\"`]? must be ")
"""llama.cpp of old and LM Studio: "'response_format.type' must be 'json_schema' or 'text'"."""
_PLAIN = {name for name in NAMES if "_" not in name}
_QUOTED = re.compile(
    r"[`'\"\[({]([a-z_.]+)[`'\"\])}]|(?:supplied|parameters?|arguments?|fields?): ?([a-z_., ]+)"
)
_MOST = 100


def refused(error: object) -> frozenset[str]:
    """The parameters among NAMES that an error refuses; none for an error about anything else."""
    found: set[str] = set()
    for number, (named, said) in enumerate(_parts(error)):
        if number >= _MOST:
            break
        found |= _named(named, said)
    return frozenset(found)


def _parts(error: object) -> Iterator[tuple[list[str], str]]:
    """Each part of an error: the parameters that its fields name, and its words."""
    if isinstance(error, str):
        yield [], error.lower()
    elif isinstance(error, list):
        for each in error[:_MOST]:
            yield from _parts(each)
    elif isinstance(error, Mapping):
        yield _fields(error), _words(error)
        for name in ("error", "errors", "detail", "message", "metadata", "raw"):
            if not isinstance(error.get(name), str) or name == "raw":
                yield from _parts(error.get(name))


def _fields(error: Mapping[str, Any]) -> list[str]:
    loc = error.get("loc")
    places = loc if isinstance(loc, list | tuple) else []
    return [str(place).partition(".")[0] for place in [error.get("param"), *places] if place]


def _words(error: Mapping[str, Any]) -> str:
    said = (error.get(name) for name in ("code", "type", "message", "msg", "detail", "error"))
    return " ".join(text for text in said if isinstance(text, str)).lower()


def _named(named: list[str], said: str) -> set[str]:
    found = {name for name in named if name in NAMES}
    # No value of a response format is out of range: whatever is wrong with it, another one may do.
    kept = found & {_FORMAT} or {_FORMAT for _ in _TYPE.finditer(said)}
    if not _NO.search(said.replace("_", " ")) and not _NO.search(said):
        return kept
    if found:
        return found
    return _in(said)


def _in(said: str) -> set[str]:
    found = {name for name in NAMES - _PLAIN if re.search(rf"\b{name}\b", said)}
    quoted = {
        word
        for match in _QUOTED.finditer(said)
        for word in re.split(r"[ ,]+", match[1] or match[2])
    }
    found |= _PLAIN & quoted
    return found | {_FORMAT} if _FORMAT_WORDS.search(said) else found - {*FORMATS}
