"""Commands that publish rows and follow their import to its end."""

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from producers.commands.arguments import (
    Column,
    Delimiter,
    Encoding,
    File,
    Follow,
    Id,
    Json,
    Original,
    Policy,
    Sheet,
    Type,
    check_readable,
    import_type_of,
    reading_options,
)
from producers.commands.check_command import preview_file
from producers.commands.import_rejects import (
    dropped_rows_of,
    open_rejects,
    print_dropped,
    print_rejects,
)
from producers.commands.import_states import print_state
from producers.commands.mapping_commands import recalled_mapping
from producers.terminal.exits import INTERRUPTED, explained, notify, of_status
from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from producers.imports.connections import Connections
    from producers.imports.order import Order, Reading
    from producers.imports.start import OverwriteUnconfirmedError
    from producers.terminal.follow_view import ReadingView
    from schemas.records import GatewayMapping, ImportState

_PRINTED_REJECTS = 5


def import_(  # noqa: PLR0913, PLR0917 - one parameter an option
    file: File,
    type_: Type = "",
    follow: Follow = True,
    as_json: Json = False,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    sheet: Sheet = None,
    column: Column = None,
    policy: Annotated[
        Policy,
        typer.Option(case_sensitive=False, help="Ce que deviennent les lignes déjà en base."),
    ] = Policy.MERGE,
    generate_ai: Annotated[
        bool, typer.Option("--generate-ai", help="Demander les contenus IA.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Importer à nouveau un fichier déjà importé.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Confirmer d'avance ce que --policy overwrite efface."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Vérifier seulement : comme « check ».")
    ] = False,
) -> None:
    """Publie un fichier et suit son import jusqu'au bout."""
    with explained(as_json=as_json):
        import_type = import_type_of(type_)
        options = reading_options(import_type, encoding, delimiter, sheet, column)
        check_readable(file)
        if dry_run:
            preview_file(file, import_type, options, policy, as_json=as_json)
        from producers.imports.order import Order
        from producers.imports.publication import publish_file
        from producers.imports.start import OverwriteUnconfirmedError
        from producers.mappings.phrases import shown
        from producers.mappings.recall import with_mapping

        order = Order(file, import_type, options, policy.value, generate_ai, force)
        mapping = _recalled(order)
        order = replace(
            order,
            options=with_mapping(options, mapping),
            remembered=shown(mapping),
            overwrite_confirmed=yes,
        )

        def publish(order: Order) -> NoReturn:
            _publish(
                lambda connections, view: publish_file(order, connections, view.watch),
                follow=follow,
                as_json=as_json,
            )

        try:
            publish(order)
        except OverwriteUnconfirmedError as asked:
            if as_json or not sys.stdin.isatty() or not _confirm(asked):
                raise
        publish(replace(order, overwrite_confirmed=True))


def _confirm(asked: "OverwriteUnconfirmedError") -> bool:
    """Whether the person at the terminal wants it; Enter alone is no."""
    question = f"{asked.cells} : effacer ce que la base contient à leur place ? [o/N]"
    answer: str = typer.prompt(question, default="n", show_default=False, err=True)
    return answer.strip().casefold() in ("o", "oui", "y", "yes")


def _recalled(order: "Order") -> "GatewayMapping | None":
    """The remembered mapping. A file that has to be refused is refused even if Kafka is away."""
    from producers.kafka.broker import ANSWER_SECONDS, ClusterError
    from schemas.runtime.registry import RegistryUnavailableError

    try:
        return recalled_mapping(
            order.path, order.import_type, order.options, timeout_seconds=ANSWER_SECONDS
        )
    except (ClusterError, RegistryUnavailableError):
        order.source()
        raise


def retry(
    import_id: Id,
    file: Original = None,
    follow: Follow = True,
    as_json: Json = False,
) -> None:
    """Reprend les lignes rejetées, annulées ou jamais lues d'un import, dans un nouvel import."""
    with explained(as_json=as_json):
        if file is not None:
            check_readable(file)
        from producers.imports.retry import publish_rest

        _publish(
            lambda connections, view: publish_rest(
                import_id, file, connections, view.watch, notify
            ),
            follow=follow,
            as_json=as_json,
        )


def _publish(
    publish: "Callable[[Connections, ReadingView], Reading]", *, follow: bool, as_json: bool
) -> NoReturn:
    from producers.imports.connections import Connections
    from producers.settings import settings
    from producers.terminal.follow_view import ReadingView
    from producers.terminal.follow_view import follow as follow_import
    from producers.terminal.screen import screen, summary
    from schemas.outcomes import TERMINAL

    reading = None
    with screen() as shown:
        view = ReadingView(shown)
        try:
            with Connections(settings(), tick=view.show) as connections:
                view.connections = connections
                reading = publish(connections, view)
                if follow:
                    state = follow_import(connections, reading.import_id, shown)
                else:
                    state = connections.log.follow(reading.import_id, 0.0) or reading.state
        except KeyboardInterrupt:
            shown.say(_interrupted(view.reading, finished=reading is not None))
            raise typer.Exit(INTERRUPTED) from None
    print_state(state, summary(state), as_json=as_json)
    if (state["rejected"] or state["dropped_rows"]) and not as_json:
        _print_first_rejects(state)
    if state["status"] not in TERMINAL:
        notify(f"Suite : foxstream status {state['id']}")
    raise typer.Exit(of_status(state["status"]))


def _interrupted(reading: "Reading | None", *, finished: bool) -> str:
    if finished and reading is not None:
        return (
            "Interrompu : tout le fichier est confié à Kafka, l'import continue sans cette "
            f"commande. Pour le voir : foxstream status {reading.import_id}"
        )
    if reading is not None:
        return (
            "Interrompu pendant la lecture : relancez la même commande, l'import "
            f"{reading.import_id} reprendra sans rien écrire deux fois."
        )
    return "Interrompu avant la première ligne : rien n'est importé."


def _print_first_rejects(state: "ImportState") -> None:
    with open_rejects(state, patience_seconds=2.0) as rejects:
        first = sorted(islice(rejects, 200), key=lambda reject: reject.line or 0)
    print_rejects(first[:_PRINTED_REJECTS])
    print_dropped(dropped_rows_of(state, patience_seconds=2.0), _PRINTED_REJECTS)
    say(f"Suite : foxstream errors {state['id']} --output erreurs.csv")
