"""What is sent to the model: fixed rules, and the row as JSON data.

Rows are untrusted: they are part of the user's message only, as values of one JSON object. The hash of
all that is sent is the key under which the answer is kept.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any

from processors.texts.content.answers import Answer, sent_schema
from processors.texts.content.vocabulary import Count
from processors.texts.kinds import KINDS, Kind
from processors.texts.server.dialect import output_tokens

SYSTEM = "system-1"
Input = Mapping[str, Any]


@dataclass(frozen=True)
class Options:
    """What is sent beside the prompt. None: not sent; of `output_tokens`: the number of the kind.

    `extra` are fields that only some providers know.
    """

    effort: str | None = None
    output_tokens: int | None = None
    temperature: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def fields(self, kind: Kind) -> dict[str, Any]:
        """The fields of the body for a text of this kind."""
        given = {"reasoning_effort": self.effort, "temperature": self.temperature}
        return {
            **self.extra,
            **{name: value for name, value in given.items() if value is not None},
            "max_completion_tokens": self.output_tokens or kind.output_tokens,
        }


PLAIN = Options()


@dataclass(frozen=True)
class Prompt:
    """One request to the model. `body` is what the API takes; hashes are hexadecimal SHA-256."""

    kind: Kind
    body: Mapping[str, Any]
    hash: str
    input_hash: str

    @property
    def version(self) -> str:
        return f"{SYSTEM}/{self.kind.prompt}"

    def again(self, rejected: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        """The body that asks again after these answers, each with what is wrong with it. Servers refuse
        an answer of nothing (Mistral), and two messages of the user in a row (templates in vLLM)."""
        messages = list(self.body["messages"])
        for answer, reason in rejected:
            messages += [
                {"role": "assistant", "content": answer.strip() or "{}"},
                {"role": "user", "content": _json({"refuse": reason})},
            ]
        return {**self.body, "messages": messages}


SERVERS_OWN_TOKENS = 384
"""What a server may add: llama.cpp's shows the model the schema once more, indented, with a sentence."""


def most_tokens(body: Mapping[str, Any], count: Count | None = None) -> tuple[int, int]:
    """The most tokens that a call may use for what is sent and for its answer.

    No vocabulary has more tokens than a text has bytes in UTF-8. `count` says how many the texts of the
    messages have; how a server counts the rest is not known. The JSON around the texts is longer than
    the note before a schema in the prompt (processors/texts/server/dialect.py).
    """
    sent = {name: value for name, value in body.items() if name != "model"}
    most = _size(sent) + SERVERS_OWN_TOKENS
    if count is not None:
        texts = [message["content"] for message in body["messages"]]
        most -= sum(_size(text) - count(text) for text in texts)
    return most, output_tokens(body)


TRIAL_TOKENS = 256
"""The longest answer that the probe asks for: a text of the usual length has less."""

TRIAL = {"nom": "Essai de la configuration"}
"""The input of the probe, which is not a row of the site."""


def trial(model: str, options: Options = PLAIN) -> Input:
    """The body of the probe: as that of a text, but with a short limit and a task that exceeds it."""
    body = prompt(KINDS["VILLE"], TRIAL, model, options).body
    messages = [{"role": "system", "content": _file("essai-1")}, *body["messages"][1:]]
    return {**body, "max_completion_tokens": TRIAL_TOKENS, "messages": messages}


def shape(model: str, options: Options = PLAIN) -> str:
    """A hash of what all requests to this model have in common, the probe included."""
    bodies = [prompt(kind, {}, model, options).body for kind in KINDS.values()]
    return _hash(_json([trial(model, options), *bodies]))


def prompt(
    kind: Kind, given: Input, model: str, options: Options = PLAIN, generation: int = 0
) -> Prompt:
    """The request for one text. Of another generation it has another hash, and so another answer."""
    data = _json(_clean(given))
    body = {
        **options.fields(kind),
        "model": model,
        "messages": [
            {"role": "system", "content": f"{_file(SYSTEM)}\n{_file(kind.prompt)}"},
            {"role": "user", "content": data},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": kind.name.lower(),
                "strict": True,
                "schema": _schema(kind.answer),
            },
        },
    }
    key: dict[str, Any] = {"body": body, "versions": [SYSTEM, kind.prompt]}
    if generation:
        key["generation"] = generation
    return Prompt(kind, body, _hash(_json(key)), _hash(data))


def input_hash(given: Input) -> str:
    """The hash of what is said of an entity: equal as long as the same would be asked about it."""
    return _hash(_json(_clean(given)))


@cache
def _file(name: str) -> str:
    return (resources.files("processors.texts.content") / "prompts" / f"{name}.txt").read_text(
        "utf-8"
    )


@cache
def _schema(answer: type[Answer]) -> dict[str, Any]:
    return sent_schema(answer)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _size(value: Any) -> int:
    """Bytes of its JSON."""
    return len(_json(value).encode())


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _clean(value: Any) -> Any:
    """Without what is empty, and with white space and control characters as one space each."""
    if isinstance(value, str):
        kept = (" " if unicodedata.category(c) in ("Cc", "Cf") else c for c in value)
        return " ".join("".join(kept).split())
    if isinstance(value, Mapping):
        cleaned = {name: _clean(item) for name, item in value.items()}
        return {name: item for name, item in cleaned.items() if item not in (None, "", [], 0)}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
