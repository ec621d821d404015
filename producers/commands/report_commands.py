"""Commands that show or write what is to be corrected, and write files to fill in."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producers.commands.arguments import Id, Original, import_type_of
from producers.commands.import_rejects import (
    dropped_rows_of,
    open_rejects,
    print_dropped,
    print_rejects,
)
from producers.commands.import_states import read_state
from producers.terminal.exits import USAGE, explained, fail, notify
from schemas.import_types import IMPORT_TYPES
from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from producers.kafka.reject_log import Reject
    from schemas.records import ImportState

_PRINTED_REJECTS = 20


def errors(
    import_id: Id,
    output: Annotated[
        Path | None, typer.Option(help="Fichier .csv, .xlsx ou .jsonl à écrire.")
    ] = None,
    file: Original = None,
) -> None:
    """Montre les lignes rejetées d'un import, ou les écrit dans un fichier à corriger.

    Avec elles, celles dont une valeur n'a pas été enregistrée et celles qu'une annulation a laissées de côté.
    """
    from producers.reports.error_report import FORMATS

    with explained():
        if output is not None and output.suffix.lower() not in FORMATS:
            fail(USAGE, "usage", f"--output : un fichier {', '.join(FORMATS)}.")
        state = read_state(import_id)
        dropped = dropped_rows_of(state, patience_seconds=3.0)
        with open_rejects(state, patience_seconds=3.0) as rejects:
            if output is None:
                shown = sorted(islice(rejects, _PRINTED_REJECTS), key=lambda r: r.line or 0)
                print_rejects(shown)
                count = len(shown) + sum(1 for _ in rejects)
                if count > len(shown):
                    say(
                        f"… et {count - len(shown)} autres : "
                        f"foxstream errors {import_id} --output erreurs.csv"
                    )
                print_dropped(dropped, _PRINTED_REJECTS)
            else:
                count = _write_report(output, state, rejects, dropped, file) - len(dropped)
        if state["parked"]:
            notify(
                f"{state['parked']} autres lignes attendent leur ligne parente ; elles seront écrites "
                f"quand elle arrivera. Pour les voir : foxstream-worker parked {import_id}"
            )
        for late, which in (
            (state["rejected"] + state["cancelled"] - count, "lignes rejetées"),
            (state["dropped_rows"] - len(dropped), "lignes dont une valeur manque"),
        ):
            if late > 0:
                notify(f"{late} {which} ne sont pas encore publiées : recommencez dans un instant.")


def template(
    type_: Annotated[
        str, typer.Argument(metavar="TYPE", help=f"Type d'import : {', '.join(IMPORT_TYPES)}.")
    ],
    output: Annotated[Path | None, typer.Option(help="Fichier .csv ou .xlsx à écrire.")] = None,
) -> None:
    """Donne un fichier à remplir : toutes les colonnes d'un type d'import, dans l'ordre."""
    from producers.reports.template_file import FORMATS, header_line, write

    with explained():
        import_type = import_type_of(type_)
        if output is None:
            say(header_line(import_type))
            return
        if output.suffix.lower() not in FORMATS:
            fail(USAGE, "usage", f"--output : un fichier {', '.join(FORMATS)}.")
        write(output, import_type)
        say(f"Modèle écrit dans {output}")


def _write_report(
    path: Path,
    state: "ImportState",
    rejects: "Iterator[Reject]",
    dropped: "Sequence[Reject]",
    file: Path | None,
) -> int:
    from producers.imports.retry import Rest, unread_rows
    from producers.reports.error_report import report, write
    from producers.settings import settings
    from schemas.codec.framing import Decoder

    record = str(IMPORT_TYPES[state["import_type"]].topic.record)
    rest = Rest.of(state, file)
    if rest.trouble:
        notify(rest.trouble)
    with settings().registry() as registry:
        content = report(
            state,
            rejects,
            Decoder(record, registry),
            unread=lambda: unread_rows(rest),
            dropped=dropped,
        )
    count = write(path, content, state["options"].get("delimiter") or ",")
    say(f"{count} lignes à corriger ou à reprendre écrites dans {path}")
    return count
