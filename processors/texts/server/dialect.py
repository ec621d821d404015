"""How one server is asked: what it refuses of OpenAI's chat completions is asked in another way.

    max_completion_tokens                        -> max_tokens
    response_format json_schema -> json_object   -> the schema in the prompt alone
    temperature, reasoning_effort, store         -> not sent

A server is known by what it has refused so far, and a process remembers it until it ends.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]

OPTIONAL = ("temperature", "reasoning_effort", "store")
_TOKENS, _FORMAT = "max_completion_tokens", "response_format"
_SCHEMA, _OBJECT = "json_schema", "json_object"
FORMATS = (_SCHEMA, _OBJECT)

NAMES = frozenset({*OPTIONAL, _TOKENS, _FORMAT, *FORMATS})
"""What a server may refuse, and is then asked without."""

NOTE = "\nRéponds par un seul objet JSON, sans un mot de plus, qui suit ce schéma JSON :\n"
"""Precedes the schema in the prompt."""


@dataclass(frozen=True)
class Dialect:
    """What a server has refused: some of NAMES, but for response_format, which is one of FORMATS."""

    refused: frozenset[str] = frozenset()

    def spoken(self, body: Body) -> Body:
        """A body as this server takes it."""
        left = {name: value for name, value in body.items() if name not in self.refused}
        if _TOKENS in self.refused and _TOKENS in body:
            left["max_tokens"] = body[_TOKENS]
        if _SCHEMA in self.refused and _schema(body) is not None:
            left["messages"] = _described(body["messages"], _schema(body))
            if _OBJECT in self.refused:
                del left[_FORMAT]
            else:
                left[_FORMAT] = {"type": _OBJECT}
        return left

    def after(self, named: frozenset[str], sent: Body) -> "Dialect | None":
        """What is known of the server once it has refused these names of a body; None: nothing new."""
        refused = {name for name in named if name in sent and name in NAMES} - {_FORMAT}
        kind = (sent.get(_FORMAT) or {}).get("type")
        if kind in FORMATS and not named.isdisjoint((_FORMAT, kind)):
            refused.add(kind)
        return Dialect(self.refused | refused) if refused else None


def output_tokens(body: Body) -> int:
    """The longest answer that a body allows, in whichever dialect."""
    return int(body.get(_TOKENS) or body["max_tokens"])


def _schema(body: Body) -> Any:
    return (body.get(_FORMAT) or {}).get(_SCHEMA, {}).get("schema")


def _described(messages: Sequence[Body], schema: Any) -> list[Body]:
    """The messages with the schema at the end of the first one, the rules."""
    rules, *others = messages
    text = json.dumps(schema, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return [{**rules, "content": f"{rules['content']}{NOTE}{text}"}, *others]
