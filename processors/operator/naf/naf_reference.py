"""The NAF reference: from files, and what people decided, to PostgreSQL and to the workers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from psycopg import Connection

from processors.database.connection import connect
from processors.database.queries import load
from processors.operator.naf.naf_carry_over import carried_over
from processors.operator.naf.naf_files import Activity, Naf2025, read_naf2025
from processors.operator.naf.naf_topic import Send, sender
from processors.settings import Settings
from schemas.runtime.registry import Registry

_SQL = load("processors.operator.naf", "naf_reference.sql")


class Loaded(NamedTuple):
    """How many activities there are now, were removed, and have no trade."""

    activities: int
    removed: int
    undecided: int


def publish(
    settings: Settings,
    registry: Registry,
    activities: Mapping[str, Activity],
    naf2025: Naf2025 | None = None,
) -> Loaded:
    """Makes PostgreSQL and the topic contain exactly these (None: NAF 2025 as shipped).

    Raises UnreachableError.
    """
    send = sender(settings, registry)
    with connect(settings.database_url.get_secret_value()) as connection:
        return replace(connection, send, activities, naf2025 or read_naf2025())


def replace(
    connection: Connection[Any], send: Send, activities: Mapping[str, Activity], naf2025: Naf2025
) -> Loaded:
    """As `publish`, in the transaction of this connection.

    The topic first: an interrupted run has to be repeated. One at a time, so that the topic and the
    table end with the same files.
    """
    connection.execute(_SQL["alone"])
    stored: dict[str, str] = dict(connection.execute(_SQL["stored"]).fetchall())
    decided: dict[str, str] = dict(connection.execute(_SQL["decided"]).fetchall())
    wanted = combined(activities, naf2025, decided)
    removed = stored.keys() - wanted.keys()
    changed = {code for code, each in wanted.items() if stored.get(code) != each.slug}
    send(wanted, removed)
    store(connection, wanted)
    connection.execute(_SQL["remove"], {"codes": list(wanted)})
    rev2, new, certain = zip(*naf2025.pairs, strict=True)
    connection.execute(_SQL["forget_pairs"])
    connection.execute(
        _SQL["store_pairs"], {"rev2": list(rev2), "naf2025": list(new), "certain": list(certain)}
    )
    connection.execute(_SQL["arrived"], {"codes": sorted(changed | removed)})
    undecided = sum(not activity.slug for activity in wanted.values())
    return Loaded(len(wanted), len(removed), undecided)


def combined(
    activities: Mapping[str, Activity], naf2025: Naf2025, decided: Mapping[str, str]
) -> dict[str, Activity]:
    """The activities of both nomenclatures, by code.

    The trade of a code of NAF 2025 is what `activities` says, else what was decided, else what is
    carried over; an empty one in `activities` keeps it from being carried over.
    """
    given = {code: activity.slug for code, activity in activities.items()}
    slugs = {
        **carried_over(given, naf2025.pairs),
        **given,
        **decided,
        **{code: slug for code, slug in given.items() if slug},
    }
    labels = {**naf2025.labels, **{code: each.label for code, each in activities.items()}}
    return {code: Activity(label, slugs.get(code, "")) for code, label in labels.items()}


def store(connection: Connection[Any], activities: Mapping[str, Activity]) -> None:
    """Writes these activities to the table."""
    connection.execute(
        _SQL["store"],
        {
            "codes": list(activities),
            "labels": [activity.label for activity in activities.values()],
            "slugs": [activity.slug for activity in activities.values()],
        },
    )
