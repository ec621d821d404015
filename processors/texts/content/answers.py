"""What the model has to answer, by kind of text: the schema that is sent and that is checked."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any, TypeVar

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
    words, a code fence or another object around it, line breaks in its strings, characters that
    PostgreSQL does not store, and a meta description that is too long, which is cut after a word and
    ends with an ellipsis. Of several objects that fit, the last counts: the others were drafts.
    """
    found = [_repaired(each) for each in islice(_objects(_THOUGHT.sub("", text, count=1)), _MOST)]
    for each in reversed(found):
        with suppress(ValidationError):
            return answer.model_validate(each)
    if found:
        return answer.model_validate(max(found, key=len))  # says what is wrong with it
    return answer.model_validate_json(text)


_MOST = 20
_DECODER = json.JSONDecoder(strict=False)


def _objects(text: str) -> Iterator[Schema]:
    """The JSON objects in a text, with those that are part of another."""
    for place in islice(re.finditer("{", text), 5 * _MOST):
        with suppress(ValueError, RecursionError):
            yield _DECODER.raw_decode(text, place.start())[0]


def _repaired(found: Schema) -> Schema:
    found = with_texts(found, storable)
    meta = found.get("meta_description")
    return {**found, "meta_description": _cut(meta.strip())} if isinstance(meta, str) else found


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
