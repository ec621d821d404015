"""Resolves schema references: one schema with all the types that it names, as fastavro needs it.

Source: Apache Avro 1.12 specification, "Names".
"""

from collections.abc import Iterable
from typing import Any

from schemas.codec.schema import Schema

_NAMED = ("record", "enum", "fixed", "error")


def inlined(schema: Schema, referenced: Iterable[Schema]) -> Schema:
    """`schema` with each type that it only names, at its first mention, as `referenced` has it.

    A name that none of them has stays a name. Raises TypeError or AttributeError if one of them is
    not Avro.
    """
    whole: Schema = _Inlining(referenced).walk(schema, "")
    return whole


class _Inlining:
    def __init__(self, referenced: Iterable[Any]) -> None:
        named = (each for each in referenced if isinstance(each, dict) and "name" in each)
        self._types = {".".join(filter(None, _name(each, ""))): each for each in named}
        self._defined: set[str] = set()

    def walk(self, node: Any, namespace: str) -> Any:
        if isinstance(node, str):
            return self._mention(node, namespace)
        if isinstance(node, list):
            return [self.walk(each, namespace) for each in node]
        if not isinstance(node, dict):
            return node
        node = dict(node)
        if node.get("type") in _NAMED and "name" in node:
            namespace, name = _name(node, namespace)
            self._defined.add(".".join(filter(None, (namespace, name))))
        else:
            node["type"] = self.walk(node.get("type"), namespace)
        for inner in ("items", "values"):
            if inner in node:
                node[inner] = self.walk(node[inner], namespace)
        if isinstance(node.get("fields"), list):
            node["fields"] = [
                {**field, "type": self.walk(field.get("type"), namespace)}
                for field in node["fields"]
            ]
        return node

    def _mention(self, name: str, namespace: str) -> Any:
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        if full in self._defined or full not in self._types:
            return name
        return self.walk(self._types[full], "")


def _name(schema: Schema, enclosing: str) -> tuple[str, str]:
    """The namespace, which may be empty, and the unqualified name of a named type."""
    before, _, name = str(schema["name"]).rpartition(".")
    return before or str(schema.get("namespace", enclosing) or ""), name
