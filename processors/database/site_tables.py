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

_TEXT, _FALSE, _TRUE, _ZERO, _OBJECT, _LIST = "''", "false", "true", "0", "'{}'", "'[]'"

DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "category_categorie": {"texte_description_ia": _TEXT},
    "subcategory_souscategorie": {"texte_description_ia": _TEXT},
    "location_ville": dict.fromkeys(("texte_description_ia", "meta_description"), _TEXT),
    "enterprise_entreprise": {
        **dict.fromkeys(("siren_temporaire", "enrichi_insee", "enrichi_dirigeants"), _FALSE),
        **dict.fromkeys(
            ("stripe_customer_id", "domain", "logo", "main_image", "nom_proprietaire",
             "google_place_id", "original_title"), _TEXT,
        ),
        "contacts": _OBJECT,
    },
    "enterprise_prolocalisation": {
        **dict.fromkeys(("zone_description", "texte_long_entreprise", "meta_description"), _TEXT),
        **dict.fromkeys(("note_moyenne", "nb_avis", "score_global"), _ZERO),
        "faq": _LIST,
        "is_verified": _FALSE,
        "is_active": _TRUE,
    },
    "reviews_avisdecrypte": {"confidence_score": _ZERO},
    "core_importlog": {"file": _TEXT},
}  # fmt: skip
"""What the models of the site give a new row, by table: the columns that no statement names."""

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
    "timestamptz": "now()",
    "timestamp": "now()",
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
    ("processors.texts.requests", "writing.sql", ("synthesis",)),
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


class Insert(NamedTuple):
    """A statement that inserts into a table of the site, and the columns that it names."""

    statement: LiteralString
    table: str
    named: frozenset[str]

    def lacking(self, columns: Iterable[Column]) -> list[Column]:
        """Those of `columns` that the table requires and the statement does not name."""
        return [
            each for each in columns if each.table == self.table and each.name not in self.named
        ]


def added(rows: Iterable[tuple[str, str, str]]) -> list[Column]:
    """Those that deployments of the site have added, and that foxstream fills."""
    columns = required(rows)
    return [each for _, insert in inserts() for each in insert.lacking(columns) if each.is_new]


def inserts() -> Iterator[tuple[Mapping[str, LiteralString], Insert]]:
    """Each of INSERTS, after all the statements of its file."""
    for package, file, names in INSERTS:
        queries = load(package, file)
        statement: LiteralString = ""
        for name in names:
            statement += queries[name]
        insert = inserted(statement)
        if insert is None:
            raise ValueError(f"{file} marks no INSERT")
        yield queries, insert


def inserted(statement: LiteralString) -> Insert | None:
    """The marked INSERT of a statement; None without one."""
    if found := _INSERT.search(statement):
        named = frozenset(name.strip() for name in found[2].split(","))
        return Insert(statement, found[1], named)
    return None


class SiteTables:
    """What the site's tables require, as last looked at; statements are completed with it."""

    def __init__(self) -> None:
        self.is_current = False
        self._columns: list[Column] = []
        self._completed: dict[str, LiteralString] = {}
        self._named: dict[str, frozenset[str]] = {}
        self._logged: set[tuple[str, str]] = set()

    async def look(self, connection: "AsyncConnection[Any]") -> None:
        """Reads the catalogue. Call it if this is not current: an error may have shown that."""
        cursor = await connection.execute(REQUIRED, {"tables": list(TABLES)})
        self._columns = required(await cursor.fetchall())
        self._completed, self.is_current = {}, True

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
        insert = inserted(statement)
        if insert is None:
            return statement
        lacking = insert.lacking(self._columns)
        for column in lacking:
            if column.value is None:
                raise UnfilledColumnError(column.advice())
            if column.is_new and column[:2] not in self._logged:
                self._logged.add(column[:2])
                _log().warning(
                    "a column of the site is filled", action="column_filled",
                    table=column.table, column=column.name, value=column.value,
                )  # fmt: skip
        self._named[insert.table] = insert.named | {column.name for column in lacking}
        names = "".join(f", {sql.Identifier(column.name).as_string(None)}" for column in lacking)
        values = "".join(f", {column.value}" for column in lacking)
        return statement.replace("/* filled columns */", names).replace(
            "/* filled values */", values
        )


def _log() -> Any:
    import structlog  # commands load this module, and most of them log nothing

    return structlog.get_logger(__name__)
