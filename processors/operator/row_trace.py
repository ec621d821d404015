"""Traces one row, from the line of a file or an upstream system to the table."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from processors.database.connection import connect
from processors.database.queries import load
from processors.settings import Settings
from schemas.import_types import IMPORT_TYPES, ImportType
from schemas.values.slugs import slugify

_SQL = load("processors.operator", "row_trace.sql")

_OUTCOMES = {"i": "inserted", "u": "updated", "=": "unchanged"}

# The columns by which users identify a row.
_NAMES: Mapping[str, tuple[LiteralString, ...]] = {
    "ENTREPRISE": ("siren", "siret"),
    "VILLE": ("slug",),
    "CATEGORIE": ("slug", "nom"),
    "SOUS_CATEGORIE": ("slug", "nom"),
    "DEPARTEMENT": ("code",),
}

Trace = dict[str, Any]
"""`type`, `row` (the business columns), `last` (where the row came from that was written last:
outcome, observed_at, topic, partition, offset, line, import), `rejects`, `parked`, `pages`, `texts`
(asked of the language model for the row and its pages, with their calls)."""


def trace(settings: Settings, key: str, import_type: str | None = None) -> list[Trace]:
    """Traces of this SIREN, SIRET, slug, name or code, of one type or of all.

    A key with only rejects or parked rows gives a trace whose `row` is None.
    """
    types = [each for each in IMPORT_TYPES.values() if import_type in (None, each.name)]
    with connect(settings.database_url.get_secret_value(), dict_row) as connection:
        return [
            found
            for each in types
            for found in _of_type(connection, settings.topic_prefix, each, key.strip())
        ]


def _of_type(
    connection: psycopg.Connection[dict[str, Any]], prefix: str, import_type: ImportType, key: str
) -> Iterator[Trace]:
    topics = prefix + import_type.file_topic.name, prefix + import_type.topic.name
    rows = _rows(connection, import_type, key)
    for row in rows:
        pages = _pages(connection, row["id"]) if import_type.name == "ENTREPRISE" else []
        yield {
            "type": import_type.name,
            "row": {name: value for name, value in row.items() if not name.startswith("ingest_")},
            "last": _last(connection, topics, row),
            **_around(
                connection,
                topics,
                _natural_key(row, key),
                (row["ingest_import_id"], row["ingest_line"]),
            ),
            "pages": pages,
            "texts": _texts(connection, [row["id"], *(page["id"] for page in pages)]),
        }
    if not rows and any((around := _around(connection, topics, key)).values()):
        yield {
            "type": import_type.name,
            "row": None,
            "last": None,
            **around,
            "pages": [],
            "texts": [],
        }


def _rows(
    connection: psycopg.Connection[dict[str, Any]], import_type: ImportType, key: str
) -> list[dict[str, Any]]:
    if not _is_there(connection, import_type.table):
        return []
    names = _NAMES[import_type.name]
    query = sql.SQL("SELECT to_jsonb(t) AS row FROM {table} t WHERE {match} LIMIT 20").format(
        table=sql.Identifier(import_type.table),
        match=sql.SQL(" OR ").join(
            sql.SQL("{} = ANY(%(keys)s)").format(sql.Identifier(name)) for name in names
        ),
    )
    # A SIREN or SIRET is often written in groups.
    keys = [key, slugify(key), "".join(key.split())]
    found = connection.execute(query, {"keys": keys}).fetchall()
    return [each["row"] for each in found]


def _natural_key(row: Mapping[str, Any], key: str) -> str:
    for name in ("siren", "ingest_key", "slug", "code"):
        if isinstance(found := row.get(name), str):
            return found
    return key


def _last(
    connection: psycopg.Connection[dict[str, Any]], topics: tuple[str, str], row: Mapping[str, Any]
) -> dict[str, Any] | None:
    if row["ingest_offset"] is None:
        return None  # the site created it, and no row of an import or of upstream has matched it
    found = connection.execute(_SQL["import"], {"id": row["ingest_import_id"]}).fetchone()
    of_files = found is not None and found.pop("has_topic")
    return {
        "outcome": _OUTCOMES.get(row["ingest_outcome"], row["ingest_outcome"]),
        "observed_at": row["ingest_observed_at"],
        "topic": topics[0] if of_files else topics[1],
        "partition": row["ingest_partition"],
        "offset": row["ingest_offset"],
        "line": row["ingest_line"],
        "import": found and _plain(found),
    }


def _around(
    connection: psycopg.Connection[dict[str, Any]],
    topics: tuple[str, str],
    key: str,
    place: tuple[str | None, int | None] = (None, None),
) -> dict[str, list[dict[str, Any]]]:
    """Rejects and parked rows of this key, or of this line of this import."""
    import_id, line = place
    parameters = {
        "topics": list(topics), "key": key.encode(), "import": import_id, "line": line,
    }  # fmt: skip
    rejects = connection.execute(_SQL["rejects"], parameters)
    around = {"rejects": list(map(_plain, rejects.fetchall())), "parked": []}
    if _is_there(connection, "ingest.parked"):
        parked = connection.execute(_SQL["parked"], {"topics": list(topics), "key": slugify(key)})
        around["parked"] = list(map(_plain, parked.fetchall()))
    return around


def _pages(connection: psycopg.Connection[dict[str, Any]], row_id: str) -> list[Any]:
    if not _is_there(connection, "enterprise_prolocalisation"):
        return []
    return [each["page"] for each in connection.execute(_SQL["pages"], {"id": row_id})]


def _texts(connection: psycopg.Connection[dict[str, Any]], ids: list[str]) -> list[dict[str, Any]]:
    if not _is_there(connection, "ingest.ai_calls"):
        return []
    return list(map(_plain, connection.execute(_SQL["texts"], {"ids": ids}).fetchall()))


def _is_there(connection: psycopg.Connection[dict[str, Any]], table: str) -> bool:
    found = connection.execute("SELECT to_regclass(%s) AS it", (table,)).fetchone()
    return found is not None and found["it"] is not None


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON."""
    return {
        name: value
        if value is None or isinstance(value, int | list | dict)
        else value.isoformat()
        if isinstance(value, datetime)
        else str(value)
        for name, value in row.items()
    }


def lines(found: Trace) -> Iterator[str]:
    """A trace for a terminal."""
    yield f"{found['type']}"
    if found["row"] is None:
        yield "  no row of the table has this key"
    else:
        for name, value in found["row"].items():
            yield f"  {name}: {value}"
    if last := found["last"]:
        yield (
            f"  written last from {last['topic']}[{last['partition']}]@{last['offset']}: "
            f"{last['outcome']}, observed {last['observed_at']}"
        )
        if origin := last["import"]:
            yield (
                f"  line {last['line']} of {origin['file_name']} (import {origin['id']}, "
                f"{origin['status']}, {origin['created_at']}, by {origin['uploaded_by'] or 'nobody named'})"
            )
        else:
            yield "  of an upstream system"
    for page in found["pages"]:
        yield f"  page {page['id']} (active: {page['is_active']})"
    yield from map(_text_line, found["texts"])
    for reject in found["rejects"]:
        codes = ", ".join(fault["code"] for fault in reject["faults"])
        yield f"  rejected {reject['rejected_at']}: {codes} (reject {reject['id']})"
    for row in found["parked"]:
        yield f"  waits for {row['parent_name']} ({row['parent_key']}) since {row['parked_at']}"


def _text_line(text: Mapping[str, Any]) -> str:
    why = f" ({text['code']})" if text["code"] else ""
    models = ", ".join(text["models"] or ()) or "no model"
    return (
        f"  text {text['kind']} asked {text['asked_at']} ({text['reason']}): {text['state']}{why}, "
        f"{text['calls']} calls of {models}, {text['tokens']} tokens, {text['cost']} USD"
    )
