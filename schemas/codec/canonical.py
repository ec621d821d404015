"""Parts of a schema that decide how its bytes are read.

Source: Apache Avro 1.12 specification, "Transforming into Parsing Canonical Form". Logical types are
kept here, because they decide what a number becomes.
"""

from typing import Any

_KEPT = ("name", "symbols", "size", "logicalType", "precision", "scale")


def reading_form(schema: Any) -> Any:
    """What two schemas have in common whose records are read alike.

    `schema` is one that fastavro has parsed: its names are full. Documentation, aliases, defaults
    and properties of other languages, as Java's `avro.java.string`, are left out.
    """
    if isinstance(schema, list):
        return [reading_form(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    form = {name: schema[name] for name in _KEPT if name in schema}
    for inner in ("items", "values"):
        if inner in schema:
            form[inner] = reading_form(schema[inner])
    if "fields" in schema:
        form["fields"] = [(each["name"], reading_form(each["type"])) for each in schema["fields"]]
    kind = reading_form(schema["type"])
    return {**form, "type": kind} if form else kind
