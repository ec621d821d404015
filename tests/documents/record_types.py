"""schemas/records.py: the records of schemas/avro as TypedDicts."""

import json
from collections.abc import Iterator
from keyword import iskeyword
from pathlib import Path
from typing import Any

_AVRO = Path(__file__).parents[2] / "schemas" / "avro"
_TYPES = {"null": "None", "string": "str", "int": "int", "long": "int", "double": "float"}
_TYPES["boolean"] = "bool"
_HEAD = '''"""The records of schemas/avro as types, made of them: `make docs`.

A union of several records is a tuple: the full name of one of them, and that record.
"""

from datetime import datetime
from typing import Literal, TypedDict
'''


def module() -> str:
    """The text of the module."""
    files = sorted(_AVRO.glob("*.avsc"))
    schemas = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    types = _Types({schema["name"]: schema for schema in schemas})
    for schema in schemas:
        types.python(schema)
    return f"{_HEAD}\n" + "\n\n".join(types.definitions.values())


class _Types:
    """The types of a set of schemas, by name; each stands after the types it uses."""

    def __init__(self, records: dict[str, Any]) -> None:
        self._records = records
        self.definitions: dict[str, str] = {}

    def python(self, schema: Any) -> str:
        """The Python type of a schema, whose own types are defined on the way."""
        if isinstance(schema, list):
            return self._union(schema)
        if isinstance(schema, str):
            return _TYPES.get(schema) or self.python(self._records[schema.rpartition(".")[2]])
        if schema["type"] in ("record", "enum"):
            return self._defined(schema)
        if schema["type"] == "array":
            return f"list[{self.python(schema['items'])}]"
        if schema["type"] == "map":
            return f"dict[str, {self.python(schema['values'])}]"
        return {"timestamp-millis": "datetime"}[schema["logicalType"]]

    def _union(self, branches: list[Any]) -> str:
        null = ["None"] if "null" in branches else []
        types = [self.python(branch) for branch in branches if branch != "null"]
        if len(types) > 1:
            each = "\n        | ".join(types)
            return f"tuple[\n        str,\n        {each},\n    ]"
        return " | ".join(types + null)

    def _defined(self, schema: dict[str, Any]) -> str:
        name: str = schema["name"]
        if schema["type"] == "enum":
            symbols = ", ".join(f'"{symbol}"' for symbol in schema["symbols"])
            self.definitions[name] = f"{name} = Literal[{symbols}]\n"
        else:
            fields = {field["name"]: self.python(field["type"]) for field in schema["fields"]}
            self.definitions[name] = "".join(_record(name, fields))
        return name


def _record(name: str, fields: dict[str, str]) -> Iterator[str]:
    if any(map(iskeyword, fields)):
        yield f'{name} = TypedDict(\n    "{name}",\n    {{\n'
        yield from (f'        "{field}": {type_},\n' for field, type_ in fields.items())
        yield "    },\n)\n"
    else:
        yield f"class {name}(TypedDict):\n"
        yield from (f"    {field}: {type_}\n" for field, type_ in fields.items())
