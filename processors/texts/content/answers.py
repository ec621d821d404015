"""What the model has to answer, by kind of text: the schema that is sent and that is checked."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Annotated, Any, TypeVar
from unicodedata import normalize

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from schemas.values.stored import storable, with_texts

Schema = dict[str, Any]

_LONGEST_META = 160
_Meta = Annotated[str, StringConstraints(min_length=50, max_length=_LONGEST_META)]
_Text = Annotated[str, StringConstraints(min_length=150, max_length=900)]
_Short = Annotated[str, StringConstraints(min_length=50, max_length=500)]


class Answer(BaseModel):
    """An answer; every text in it has passed through `strip`."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Description(Answer):
    """Of a category, a sub-category or a city."""

    texte: _Text
    meta_description: _Meta


class Presentation(Answer):
    """Of a page."""

    presentation: _Short
    zone: Annotated[str, StringConstraints(min_length=50, max_length=300)]
    meta_description: _Meta


class Synthesis(Answer):
    """Of the public reviews of a page."""

    texte: _Short
    points_forts: list[Annotated[str, StringConstraints(min_length=3, max_length=80)]]
    tendance: Annotated[str, StringConstraints(min_length=20, max_length=200)]
    bilan: Annotated[str, StringConstraints(min_length=20, max_length=300)]


_UNSENT = ("title", "description", "minLength", "maxLength", "pattern")


def sent_schema(answer: type[Answer]) -> Schema:
    """The JSON schema as strict structured outputs take it: without the keywords they refuse."""
    schema = answer.model_json_schema()
    properties = {name: _bare(kind) for name, kind in schema["properties"].items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _bare(kind: Schema) -> Schema:
    bare = {name: value for name, value in kind.items() if name not in _UNSENT}
    return {**bare, "items": _bare(bare["items"])} if "items" in bare else bare


Kind = TypeVar("Kind", bound=Answer)
_THOUGHT = re.compile(r"\A(?:\s*<think>)?.*?</think>", re.DOTALL)


def read(text: str, answer: type[Kind]) -> Kind:
    """The answer in a text of the model. Raises ValidationError.

    What can be repaired without changing a word is not paid for again: thoughts before the JSON,
    words, a code fence, quotes or another object around it, a comma or a missing brace at its end,
    line breaks in its strings, characters that PostgreSQL does not store, names in another spelling,
    properties that were not asked for, and a meta description that is too long, which is cut after a
    word and ends with an ellipsis. Of several objects that fit, the last counts: the others were drafts.
    """
    text = _THOUGHT.sub("", text, count=1)
    found = [_repaired(each, answer) for each in _objects(text)]
    repaired = (_repaired(each, answer) for again in _readings(text) for each in _objects(again))
    for each in chain(reversed(found), repaired):
        with suppress(ValidationError):
            return answer.model_validate(each)
    if found:
        return answer.model_validate(max(found, key=len))  # says what is wrong with it
    return answer.model_validate_json(text)


_MOST = 20
_DECODER = json.JSONDecoder(strict=False)


def _objects(text: str) -> Iterator[Schema]:
    """The first JSON objects in a text, with those that are part of another."""
    return islice(_decoded(text), _MOST)


def _decoded(text: str) -> Iterator[Schema]:
    for place in islice(re.finditer("{", text), 5 * _MOST):
        with suppress(ValueError, RecursionError):
            yield _DECODER.raw_decode(text, place.start())[0]


_COMMA = re.compile(r'("(?:[^"\\]|\\.?)*+(?:"|\Z))|,(?=\s*[}\]])', re.DOTALL)
_END = re.compile(r"(?<![\s,`])[\s,`]*\Z")


def _readings(text: str) -> Iterator[str]:
    """What a text says that is almost JSON: JSON within a string, commas before a brace, none at the end."""
    said = text.strip()
    with suppress(ValueError):
        yield str(_DECODER.decode(said if said.startswith('"') else f'"{said}"'))
    tidy = _COMMA.sub(lambda match: match[1] or "", text)
    yield tidy
    yield _END.sub("}", tidy, count=1)


def _repaired(found: Schema, answer: type[Answer]) -> Schema:
    names = {_letters(name): name for name in answer.model_fields}
    spelt = {names[_letters(key)]: value for key, value in found.items() if _letters(key) in names}
    exact = {key: value for key, value in found.items() if key in answer.model_fields}
    found = with_texts({**spelt, **exact}, storable)
    meta = found.get("meta_description")
    return {**found, "meta_description": _cut(meta.strip())} if isinstance(meta, str) else found


def _letters(name: str) -> str:
    """A name without case, accents, blanks and punctuation: métaDescription is meta_description."""
    return re.sub("[^a-z]", "", normalize("NFKD", name).lower())


def _cut(meta: str) -> str:
    if len(meta) <= _LONGEST_META:
        return meta
    whole, _, __ = meta[:_LONGEST_META].rpartition(" ")
    return whole if whole.endswith((".", "!", "?")) else whole.rstrip(" ,;:–—-") + "…"


def explained(error: ValidationError) -> str:
    """The faults of an answer, for the model to correct."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'réponse'} : {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    )
