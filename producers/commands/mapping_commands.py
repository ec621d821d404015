"""Commands for the mappings of columns that are remembered, and what other commands read of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producers.commands.arguments import Json
from producers.terminal.exits import REFUSED, USAGE, explained, fail
from schemas.import_types import ImportType
from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from producers.reading import Options
    from schemas.records import GatewayMapping

mapping = typer.Typer(
    help="Les colonnes retenues pour les fichiers au même en-tête.", no_args_is_help=True
)


def recalled_mapping(
    path: Path, import_type: ImportType, options: "Options", *, timeout_seconds: float
) -> "GatewayMapping | None":
    """The remembered mapping for a file. Raises ClusterError, RegistryUnavailableError and OSError."""
    from producers.kafka.broker import NotReadyError
    from producers.mappings.mapping_topic import remembered_now
    from producers.mappings.recall import recalled
    from producers.settings import settings

    if options.columns:
        return None
    try:
        with settings().registry() as registry:
            known = remembered_now(settings(), registry, timeout_seconds=timeout_seconds)
    except NotReadyError:
        return None  # the topic of an earlier release is not there
    return recalled(path, import_type, options, known)


@mapping.command("list")
def list_(as_json: Json = False) -> None:
    """Liste les correspondances retenues, la plus récente d'abord."""
    from producers.mappings.phrases import owner

    with explained(as_json=as_json):
        known = sorted(_known(), key=lambda each: each["at"], reverse=True)
        if as_json:
            say(json.dumps(known, ensure_ascii=False, default=str))
            return
        for each in known:
            say(
                f"{each['id']}  {each['import_type']:<14}{each['at']:%Y-%m-%d %H:%M}  "
                f"{owner(each['account'])} : {', '.join(_columns(each))}"
            )
        if not known:
            say("Aucune correspondance retenue.")


def _columns(each: "GatewayMapping") -> Iterator[str]:
    for column, field in each["columns"].items():
        yield f"{column} → {field or '(ne pas importer)'}"


@mapping.command()
def forget(
    mapping_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    account: Annotated[str | None, typer.Option(help="Oublie toutes celles de ce compte.")] = None,
) -> None:
    """Oublie une correspondance, ou toutes celles d'un compte."""
    with explained():
        if (mapping_id is None) == (account is None):
            fail(USAGE, "usage", "Indiquez un identifiant, ou un compte avec --account.")
        ids = [
            each["id"]
            for each in _known()
            if each["id"] == mapping_id or (account is not None and each["account"] == account)
        ]
        if not ids:
            fail(
                REFUSED,
                "unknown-mapping",
                "Aucune correspondance de colonnes de ce nom n'est retenue.",
            )
        from producers.imports.connections import Connections
        from producers.settings import settings

        with Connections(settings()) as connections:
            connections.forget(ids)
        say(f"Oubliées : {len(ids)}." if len(ids) > 1 else f"Correspondance {ids[0]} oubliée.")


def _known() -> "list[GatewayMapping]":
    from producers.mappings.mapping_topic import remembered_now
    from producers.settings import settings

    with settings().registry() as registry:
        return remembered_now(settings(), registry)
