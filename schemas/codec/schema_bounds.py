"""Schemas of senders whose records would cost a reader more than their bytes.

Anybody who may register a schema decides how the values behind its id are read. In Avro a null, and a
record without fields, take no bytes: an array of a thousand million of them fits into six. A record
that names another twice, which names another twice, and so on, doubles with each step.
"""

from typing import Any

from schemas.codec.schema import Schema

MOST_DEPTH = 64
"""Of types within types, and of JSON within JSON."""

MOST_PARTS = 10_000
"""Of a value that holds no array, map or union, each type counted wherever it is named."""

MOST_PARTS_PER_BYTE = 16
"""Of an item of an array. A record of a hundred optional fields has two."""


def check_json(document: Any) -> None:
    """Before a schema is parsed. Raises ValueError."""
    level, parts = [document], 0
    for _ in range(2 * MOST_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        parts += len(level)
        if parts > 10 * MOST_PARTS:
            raise ValueError(f"it has more than {10 * MOST_PARTS:,} parts")
        if not level:
            return
    raise ValueError(f"it is more than {MOST_DEPTH} levels deep")


def check_types(schema: Any) -> None:
    """Of a schema that fastavro has parsed: its names are full. Raises ValueError."""
    _Costs().of(schema, 0)


class _Costs:
    """Parts of a value, and the bytes that it takes at least."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[int, int] | None] = {}

    def of(self, node: Any, depth: int) -> tuple[int, int]:
        if depth > MOST_DEPTH:
            raise ValueError(f"its types are more than {MOST_DEPTH} levels deep")
        if isinstance(node, str):
            return self._name(node)
        if isinstance(node, list):
            parts = [self.of(each, depth + 1)[0] for each in node]
            return max(parts, default=0) + 1, 1
        return self._type(node, depth)

    def _name(self, name: str) -> tuple[int, int]:
        if name not in self._named:
            return 1, _BYTES.get(name, 1)
        found = self._named[name]
        if found is None:
            raise ValueError(f"{name} contains itself")
        return found

    def _type(self, node: Schema, depth: int) -> tuple[int, int]:
        kind = node["type"]
        if kind in ("record", "error"):
            return self._record(node, depth)
        if kind == "array":
            parts, size = self.of(node["items"], depth + 1)
            if parts > MOST_PARTS_PER_BYTE * size:
                raise ValueError("an item of an array has too little content for its parts")
            return 1, 1
        if kind == "map":
            self.of(node["values"], depth + 1)
            return 1, 1
        if kind in ("enum", "fixed"):
            self._named[node["name"]] = found = 1, int(node.get("size", 1))
            return found
        return self.of(kind, depth + 1)

    def _record(self, node: Schema, depth: int) -> tuple[int, int]:
        self._named[node["name"]] = None
        costs = [self.of(field["type"], depth + 1) for field in node["fields"]]
        parts, size = 1 + sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)
        if parts > MOST_PARTS:
            raise ValueError(f"a value of it has more than {MOST_PARTS:,} parts")
        self._named[node["name"]] = parts, size
        return parts, size


_BYTES = {"null": 0, "float": 4, "double": 8}
"""Of primitive types: of all others one at least."""
