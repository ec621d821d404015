"""The columns of the site's tables that foxstream does not write, and the values that they get.

The site is a Django application. Django fills columns itself: in the database most are NOT NULL
without a default, and a column that a deployment adds is so too. An INSERT of foxstream marks where
their names and values go:

    INSERT INTO location_ville (id, nom /* filled columns */) SELECT id, nom /* filled values */
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import AsyncConnection, Connection, sql

from processors.database.queries import load
from processors.errors import ConfigurationError

_TEXT, _FALSE, _TRUE, _ZERO, _OBJECT, _LIST, _NOW = (
    "''", "false", "true", "0", "'{}'", "'[]'", "now()",
)  # fmt: skip

_DESCRIBED = dict.fromkeys(("description", "texte_description_ia", "meta_description"), _TEXT)

DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "category_categorie": {**_DESCRIBED, "ordre": _ZERO},
    "subcategory_souscategorie": {**_DESCRIBED, "mots_cles": _TEXT, "ordre": _ZERO},
    "location_ville": {**_DESCRIBED, "codes_postaux": _LIST, "population": _ZERO},
    "enterprise_entreprise": {
        **dict.fromkeys(("siren_temporaire", "enrichi_insee", "enrichi_dirigeants"), _FALSE),
        **dict.fromkeys(
            ("stripe_customer_id", "domain", "logo", "main_image", "nom_proprietaire",
             "google_place_id", "original_title"), _TEXT,
        ),
        "contacts": _OBJECT,
        "is_active": _TRUE,
    },
    "enterprise_prolocalisation": {
        **dict.fromkeys(("zone_description", "texte_long_entreprise", "meta_description"), _TEXT),
        **dict.fromkeys(("note_moyenne", "nb_avis", "score_global"), _ZERO),
        "faq": _LIST,
        "is_verified": _FALSE,
        "is_active": _TRUE,
    },
    "reviews_avisdecrypte": {
        **dict.fromkeys(("texte_brut", "job_id"), _TEXT),
        **dict.fromkeys(("has_reviews", "needs_regeneration"), _FALSE),
        "source": "'google'",
        "ai_payload": _OBJECT,
        "avis_decryptes_json": _LIST,
        "confidence_score": _ZERO,
        "date_generation": _NOW,
    },
    "core_importlog": {
        **dict.fromkeys(("file", "file_name", "import_type"), _TEXT),
        **dict.fromkeys(("total_rows", "success_rows", "error_rows"), _ZERO),
        **dict.fromkeys(
            ("generate_ai_content", "ai_generation_started", "ai_generation_completed"), _FALSE
        ),
        "status": "'PENDING'",
        "errors": _LIST,
        "created_at": _NOW,
    },
}  # fmt: skip
"""What the models of the site give a new row, by table and column."""

EMPTY = {
    "text": "''",
    "varchar": "''",
    "bpchar": "''",
    "citext": "''",
    "bool": "false",
    "json": "'{}'",
    "jsonb": "'{}'",
}
"""By PostgreSQL's name of the type."""

_SUGGESTED = {
    "timestamptz": _NOW,
    "timestamp": _NOW,
    "date": "current_date",
    "uuid": "gen_random_uuid()",
}

TABLES = tuple(DEFAULTS)

INSERTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("processors.rows.merge", "entreprise.sql", ("merge",)),
    ("processors.rows.merge", "ville.sql", ("merge",)),
    ("processors.rows.merge", "categorie.sql", ("merge",)),
    ("processors.rows.merge", "sous_categorie.sql", ("merge",)),
    ("processors.rows.derived", "public_pages.sql", ("chosen", "make")),
    ("processors.imports", "tracker.sql", ("site",)),
    ("processors.texts.requests", "store.sql", ("synthesis",)),
)
"""Package, file and names of the statements that insert into the site's tables; the texts of
several names make one statement."""

REQUIRED: LiteralString = """
SELECT r.relname, a.attname, coalesce(b.typname, t.typname)
FROM unnest(%(tables)s::text[]) name
JOIN pg_class r ON r.oid = to_regclass(name)
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type b ON b.oid = t.typbasetype
WHERE a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND t.typdefault IS NULL
ORDER BY r.relname, a.attnum
"""

_INSERT = re.compile(r"INSERT INTO (\w+)(?: AS \w+)? \(([^)]*?)/\* filled columns \*/")


class Column(NamedTuple):
    """A column that is NOT NULL and has no default. `value` is SQL; None if foxstream has none."""

    table: str
    name: str
    type: str
    value: str | None

    @property
    def is_new(self) -> bool:
        """Whether the site has it since a deployment that foxstream does not know."""
        return self.value is not None and self.name not in DEFAULTS[self.table]

    def advice(self) -> str:
        """What is wrong, and the statement that repairs it."""
        default = _SUGGESTED.get(self.type, "0" if self.type[:3] in ("int", "flo", "num") else "…")
        return (
            f"{self.table}.{self.name} ({self.type}) is NOT NULL and has no default: "
            f"ALTER TABLE {self.table} ALTER COLUMN {self.name} SET DEFAULT {default}"
        )


class UnfilledColumnError(ConfigurationError):
    """A column of the site must have a value that foxstream does not know."""


def required(rows: Iterable[tuple[str, str, str]]) -> list[Column]:
    """The columns that the statement of `inspect` found."""
    return [
        Column(table, name, kind, DEFAULTS[table].get(name, EMPTY.get(kind)))
        for table, name, kind in rows
    ]


def inspect(connection: "Connection[Any]") -> list[Column]:
    """All columns that an INSERT has to fill, also those that foxstream writes."""
    return required(connection.execute(REQUIRED, {"tables": list(TABLES)}).fetchall())


def added(rows: Iterable[tuple[str, str, str]]) -> list[Column]:
    """Those that deployments of the site have added, and that foxstream fills."""
    written = dict(filter(None, (inserted(statement) for _, statement in inserts())))
    return [
        column
        for column in required(rows)
        if column.is_new and column.name not in written[column.table]
    ]


def inserts() -> Iterator[tuple[Mapping[str, LiteralString], LiteralString]]:
    """Each statement that inserts into a table of the site, after all the statements of its file."""
    for package, file, names in INSERTS:
        queries = load(package, file)
        statement: LiteralString = ""
        for name in names:
            statement += queries[name]
        yield queries, statement


def inserted(statement: str) -> tuple[str, frozenset[str]] | None:
    """The table of a marked INSERT, and the columns that the statement names; None without one."""
    if found := _INSERT.search(statement):
        return found[1], frozenset(name.strip() for name in found[2].split(","))
    return None


class SiteTables:
    """What the site's tables require, as last looked at; statements are completed with it."""

    def __init__(self) -> None:
        self.is_current = False
        self._columns: dict[str, list[Column]] = {}
        self._completed: dict[str, LiteralString] = {}
        self._named: dict[str, frozenset[str]] = {}
        self._logged: set[tuple[str, str]] = set()

    async def look(self, connection: "AsyncConnection[Any]") -> None:
        """Reads the catalogue. Call it if this is not current: an error may have shown that."""
        cursor = await connection.execute(REQUIRED, {"tables": list(TABLES)})
        self._columns, self._completed, self.is_current = {}, {}, True
        for column in required(await cursor.fetchall()):
            self._columns.setdefault(column.table, []).append(column)

    def complete(self, statement: LiteralString) -> LiteralString:
        """The statement with the columns that it lacks. Raises UnfilledColumnError."""
        known = self._completed.get(statement)
        if known is None:
            known = self._completed[statement] = self._complete(statement)
        return known

    def is_violated(self, error: psycopg.Error) -> bool:
        """Whether NOT NULL is violated by a column that the completed statement does not name.

        No row is at fault then: the site has added the column since `look`.
        """
        table = error.diag.table_name
        return (
            isinstance(error, psycopg.errors.NotNullViolation)
            and table in self._named
            and error.diag.column_name not in self._named[table]
        )

    def _complete(self, statement: LiteralString) -> LiteralString:
        found = inserted(statement)
        if found is None:
            return statement
        table, named = found
        lacking = [column for column in self._columns.get(table, ()) if column.name not in named]
        for column in lacking:
            if column.value is None:
                raise UnfilledColumnError(column.advice())
            if column.is_new and (table, column.name) not in self._logged:
                self._logged.add((table, column.name))
                _log().warning(
                    "a column of the site is filled", action="column_filled",
                    table=table, column=column.name, value=column.value,
                )  # fmt: skip
        self._named[table] = named | {column.name for column in lacking}
        names = "".join(f", {sql.Identifier(column.name).as_string(None)}" for column in lacking)
        values = "".join(f", {column.value}" for column in lacking)
        return statement.replace("/* filled columns */", names).replace(
            "/* filled values */", values
        )


def _log() -> Any:
    import structlog  # commands load this module, and most of them log nothing

    return structlog.get_logger(__name__)
