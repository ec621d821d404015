"""The id of an import, and what must be the same when an import of the same file goes on."""

import json
import os
from collections.abc import Iterator, Mapping
from uuid import UUID, uuid5

from producers.imports.order import Order
from producers.reading import READER_VERSION, Correction, Options, Source
from producers.reading.header.stored_header import stored
from schemas.import_types import ImportType
from schemas.records import ImportState

_NAMESPACE = UUID("3f9f7f56-2d3c-5d0a-9a35-6d2f0c1c7b4e")


_FORCED_AT_MOST = 100


def import_ids(source: Source, policy: str) -> list[str]:
    """The ids that an import of this file can have: the first, and those of forced repeats.

    They depend on what the options amount to, not on how they are given: a file that is read
    the same way is the same import.
    """
    mapping = sorted(source.mapping.items())
    requested = [
        source.import_type.name,
        source.sha256,
        source.encoding,
        source.delimiter,
        source.sheet,
    ]
    return [
        str(uuid5(_NAMESPACE, json.dumps([*requested, mapping, policy, number])))
        for number in range(_FORCED_AT_MOST)
    ]


def upload_ids(
    import_type: ImportType, sha256: str, options: Options, policy: str
) -> Iterator[str]:
    """As `import_ids`, before anything is known of a file but its bytes.

    These follow from the options as given.
    """
    requested = [import_type.name, sha256, options.encoding, options.delimiter, options.sheet]
    columns = sorted(options.columns.items())
    for number in range(_FORCED_AT_MOST):
        yield str(uuid5(_NAMESPACE, json.dumps(["upload", *requested, columns, policy, number])))


def earlier(states: dict[str, ImportState], ids: list[str]) -> ImportState | None:
    """The latest import of these ids, None if there is none."""
    return next((states[import_id] for import_id in reversed(ids) if import_id in states), None)


def known_import(
    states: dict[str, ImportState], ids: list[str], source: Source, policy: str
) -> ImportState | None:
    """The latest import that reads this file in the same way: one of `ids`, or an upload to a gateway.

    An upload that failed as a whole does not count: its file may be sent again.
    """
    requested = {**reading_options(source), "policy": policy}
    found = [
        state
        for state in states.values()
        if state["id"] in ids
        or (
            (state["file_sha256"], state["import_type"], state["parent"])
            == (source.sha256, source.import_type.name, parent_of(source))
            and state["error"] is None
            and all(state["options"].get(name) == value for name, value in requested.items())
        )
    ]
    return max(found, key=lambda state: state["created_at"], default=None)


def parent_of(source: Source) -> str | None:
    """The import that the file corrects; None if the file is not a correction."""
    return source.corrects if isinstance(source, Correction) else None


def as_understood(source: Source, states: Mapping[str, ImportState]) -> Source:
    """A correction whose import is among `states`, with its columns as that had them; else the source itself."""
    state = states.get(parent_of(source) or "")
    if not isinstance(source, Correction) or state is None:
        return source
    if state["import_type"] != source.import_type.name:
        return source
    return source.understood_as(state)


def reading_options(source: Source) -> dict[str, str]:
    """How a file is read, among the options of its import."""
    return {
        "encoding": source.encoding or "",
        "delimiter": source.delimiter or "",
        "sheet": source.sheet or "",
        "columns": json.dumps(source.mapping, ensure_ascii=False),
    }


# What must be the same when a file is read again, so that every row gets the number and the
# partition that it had.
PINNED = {
    "reader": "la version du lecteur",
    "partitions": "le nombre de partitions",
    "encoding": "l'encodage",
    "delimiter": "le séparateur",
    "sheet": "la feuille",
    "columns": "les colonnes",
    "policy": "la règle d'écriture",
}


def pinned(source: Source, order: Order, partitions: int) -> dict[str, str]:
    """The options of an import: what must be the same, then what finds and reads its file again."""
    requested = order.options
    return {
        "reader": READER_VERSION,
        "partitions": str(partitions),
        **reading_options(source),
        "policy": order.policy,
        "topic": order.import_type.file_topic.name,
        "understood": json.dumps(stored(source.columns)),
        "assigned": json.dumps(dict(source.columns.assigned), ensure_ascii=False),
        "path": os.fsencode(order.path.resolve()).decode(errors="replace"),
        # The options as the operator gave them: a retry reads the file in the same way.
        "told": json.dumps(
            {**vars(requested), "columns": dict(requested.columns)}, ensure_ascii=False
        ),
        **({"remembered": json.dumps(order.remembered)} if order.remembered else {}),
    }
