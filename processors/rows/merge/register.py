"""Rows of the SIRENE register: if a batch needs their statement, and why one of them is a reject."""

from collections.abc import Container

from processors.database.pool import Connection
from processors.database.queries import load
from processors.rows.merge.targets import Target
from processors.rows.model import Rows
from schemas.faults import Fault, fault
from schemas.import_types import ENTREPRISE

_FIELDS = [field.name for field in ENTREPRISE.fields if field.register]

NAMELESS = fault(ENTREPRISE.field["nom"], "missing-value")

UNKNOWN_COMPANY = Fault(
    None,
    "unknown-company",
    "Cette entreprise n'est pas encore connue, et trop de lignes de cet import attendent déjà la leur : "
    "importez d'abord StockUniteLegale, puis renvoyez cette ligne.",
)


async def is_needed(
    connection: Connection, target: Target, columns: Container[str], rows: Rows
) -> bool:
    """Whether a row is of the register, or its company is known from there.

    `columns` are those of the staging table that have values.
    """
    if "naf_other" in columns or any(name in columns for name in _FIELDS):
        return True
    if None in rows.values["nom"]:
        return True
    queries = load("processors.rows.merge", str(target.register_sql))
    cursor = await connection.execute(queries["is_known"], {"sirens": " ".join(rows.keys)})
    return await cursor.fetchone() == (True,)
