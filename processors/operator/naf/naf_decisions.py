"""What people decided of the trades of NAF 2025: it holds whatever is loaded afterwards."""

from collections.abc import Sequence, Set
from typing import Any

from psycopg import Connection

from processors.database.connection import connect
from processors.database.queries import load
from processors.operator.naf.naf_files import Activity
from processors.operator.naf.naf_reference import store
from processors.operator.naf.naf_topic import Send, sender
from processors.operator.naf.naf_worksheet import Choice
from processors.settings import Settings
from schemas.runtime.registry import Registry

_SQL = load("processors.operator.naf", "naf_reference.sql")


def publish(settings: Settings, registry: Registry, chosen: Sequence[Choice]) -> int:
    """Stores decisions, here and on the topic; returns how many codes are left without a trade.

    Raises ConfigurationError if a code or a trade is unknown, and UnreachableError.
    """
    send = sender(settings, registry)
    with connect(settings.database_url.get_secret_value()) as connection:
        return decide(connection, send, chosen)


def decide(connection: Connection[Any], send: Send, chosen: Sequence[Choice]) -> int:
    """As `publish`, in the transaction of this connection; the topic first."""
    connection.execute(_SQL["alone"])
    known = {code: Activity(*rest) for code, *rest in connection.execute(_SQL["known"]).fetchall()}
    slugs = {slug for (slug,) in connection.execute(_SQL["sub_categories"]).fetchall()}
    slugs.update(activity.slug for activity in known.values())
    for choice in chosen:
        _check(choice, known.keys(), slugs - {""})
    decided = {choice.code: Activity(known[choice.code].label, choice.slug) for choice in chosen}
    send(decided, ())
    store(connection, decided)
    values = {"codes": list(decided), "slugs": [each.slug for each in decided.values()]}
    connection.execute(_SQL["decide"], values)
    changed = sorted(code for code, each in decided.items() if known[code] != each)
    connection.execute(_SQL["arrived"], {"codes": changed})
    return sum(not activity.slug for activity in {**known, **decided}.values())


def _check(choice: Choice, codes: Set[str], slugs: Set[str]) -> None:
    if choice.code not in codes:
        raise choice.line.fault(
            "code_2025",
            f"{choice.code} is not loaded: correct it, or load it with 'foxstream-worker reference load'",
        )
    if not choice.slug:
        raise choice.line.fault("sous_categorie", "write the slug of the sub-category to choose")
    if choice.slug not in slugs:
        raise choice.line.fault(
            "sous_categorie",
            f"{choice.slug!r} is not the slug of a sub-category of the site or of the reference",
        )
