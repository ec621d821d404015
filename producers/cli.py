"""foxstream: files to Kafka, and how their imports stand.

What takes time to load is loaded where it is used: an import of a small file is over before rich
and openpyxl would be there.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from producers.terminal.exits import (
    INTERRUPTED,
    PARTIAL,
    REFUSED,
    USAGE,
    explained,
    fail,
    notify,
    of_status,
)
from schemas.import_types import IMPORT_TYPES, ImportType
from schemas.runtime.garbage import collect_rarely
from schemas.runtime.login import login_name

if TYPE_CHECKING:
    from producers.imports.connections import Connections
    from producers.imports.order import Order, Reading
    from producers.kafka.reject_log import Reject
    from producers.reading import Options
    from producers.terminal.follow_view import ReadingView
    from schemas.outcomes import ActionName
    from schemas.records import ImportState

_FIRST_REJECTS = 5
_SHOWN_REJECTS = 20
_KAFKA_SECONDS = 8.0
_MOVES_SECONDS = 5.0

collect_rarely()

app = typer.Typer(
    name="foxstream",
    help="Importe des fichiers dans FOX-Reviews par Kafka, et dit où en sont les imports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Policy(StrEnum):
    """What happens to a row that is there already: schemas/avro/import_line.avsc."""

    MERGE = "merge"
    OVERWRITE = "overwrite"
    FILL_MISSING = "fill_missing"
    INSERT_ONLY = "insert_only"


File = Annotated[
    Path,
    typer.Argument(metavar="FICHIER", help="Fichier CSV, Excel ou LibreOffice, compressé ou non."),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Identifiant de l'import.")]
Type = Annotated[
    str,
    typer.Option("--type", help=f"Type d'import, obligatoire : {', '.join(IMPORT_TYPES)}."),
]
Json = Annotated[bool, typer.Option("--json", help="Un document JSON sur la sortie standard.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Attendre la fin de l'import.")]
Original = Annotated[
    Path | None,
    typer.Option("--file", help="Le fichier d'origine, s'il n'est plus là où il a été importé."),
]
Encoding = Annotated[str | None, typer.Option(help="Encodage, s'il est mal reconnu.")]
Delimiter = Annotated[str | None, typer.Option(help="Séparateur de colonnes (\\t : tabulation).")]
Sheet = Annotated[str | None, typer.Option(help="Feuille du classeur.")]
Column = Annotated[
    list[str] | None,
    typer.Option(metavar="COLONNE=CHAMP", help="Champ d'une colonne ; peut être répété."),
]


@app.command("import")
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Vérifier seulement : comme « check ».")
    ] = False,
) -> None:
    """Publie un fichier et suit son import jusqu'au bout."""
    with explained(as_json=as_json):
        import_type = _import_type(type_)
        options = _options(import_type, encoding, delimiter, sheet, column)
        _readable(file)
        if dry_run:
            _check(file, import_type, options, policy, as_json=as_json)
        from producers.imports.order import Order

        order = Order(file, import_type, options, policy.value, generate_ai, force)
        _import(order, follow=follow, as_json=as_json)


@app.command()
def check(
    file: File,
    type_: Type = "",
    as_json: Json = False,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    sheet: Sheet = None,
    column: Column = None,
) -> None:
    """Dit ce que donnerait l'import d'un fichier, sans rien publier."""
    with explained(as_json=as_json):
        import_type = _import_type(type_)
        options = _options(import_type, encoding, delimiter, sheet, column)
        _readable(file)
        _check(file, import_type, options, Policy.MERGE, as_json=as_json)


@app.command()
def status(import_id: Id, as_json: Json = False) -> None:
    """Dit où en est un import."""
    from producers.terminal.screen import summary

    with explained(as_json=as_json):
        state = _state(import_id)
        _show(state, summary(state), as_json=as_json)
        raise typer.Exit(of_status(state["status"]))


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Liste les imports, le plus récent d'abord."""
    from producers.kafka.import_state import document
    from producers.terminal.screen import number

    with explained(as_json=as_json):
        states = sorted(_states(None).values(), key=lambda s: s["created_at"], reverse=True)
        if as_json:
            print(json.dumps([document(state) for state in states], ensure_ascii=False))
            return
        for state in states:
            total = "?" if state["total_rows"] is None else number(state["total_rows"])
            print(
                f"{state['created_at']:%Y-%m-%d %H:%M}  {state['id']}  {state['import_type']:<14}"
                f"{state['status']:<11}{total:>10} lignes  {state['file_name']}{_parent(state)}"
            )
        if not states:
            print("Aucun import.")


@app.command()
def errors(
    import_id: Id,
    output: Annotated[
        Path | None, typer.Option(help="Fichier .csv, .xlsx ou .jsonl à écrire.")
    ] = None,
    file: Original = None,
) -> None:
    """Montre les lignes rejetées d'un import, ou les écrit dans un fichier à corriger.

    Avec elles, celles qu'une annulation a laissées de côté.
    """
    from producers.reports.error_report import FORMATS

    with explained():
        if output is not None and output.suffix.lower() not in FORMATS:
            fail(USAGE, "usage", f"--output : un fichier {', '.join(FORMATS)}.")
        state = _state(import_id)
        with _rejects(state, patience_seconds=3.0) as rejects:
            if output is None:
                shown = sorted(islice(rejects, _SHOWN_REJECTS), key=lambda r: r.line or 0)
                _show_rejects(shown)
                count = len(shown) + sum(1 for _ in rejects)
                if count > len(shown):
                    print(
                        f"… et {count - len(shown)} autres : "
                        f"foxstream errors {import_id} --output erreurs.csv"
                    )
            else:
                count = _write_report(output, state, rejects, file)
        if state["parked"]:
            notify(
                f"{state['parked']} autres lignes attendent leur ligne parente ; elles seront écrites "
                f"quand elle arrivera. Pour les voir : foxstream-worker parked {import_id}"
            )
        late = state["rejected"] + state["cancelled"] - count
        if late > 0:
            notify(
                f"{late} lignes rejetées ne sont pas encore publiées : recommencez dans un instant."
            )


@app.command()
def retry(
    import_id: Id,
    file: Original = None,
    follow: Follow = True,
    as_json: Json = False,
) -> None:
    """Reprend les lignes rejetées, annulées ou jamais lues d'un import, dans un nouvel import."""
    with explained(as_json=as_json):
        if file is not None:
            _readable(file)
        from producers.imports.retry import publish_rest

        _publish(
            lambda connections, view: publish_rest(
                import_id, file, connections, view.watch, notify
            ),
            follow=follow,
            as_json=as_json,
        )


@app.command()
def cancel(import_id: Id, as_json: Json = False) -> None:
    """Annule un import : les lignes qui ne sont pas encore écrites ne le seront pas."""
    _act("cancel", import_id, as_json=as_json)


@app.command()
def pause(import_id: Id, as_json: Json = False) -> None:
    """Suspend un import : la suite de son fichier attend."""
    _act("pause", import_id, as_json=as_json)


@app.command()
def resume(import_id: Id, as_json: Json = False) -> None:
    """Reprend un import suspendu."""
    _act("resume", import_id, as_json=as_json)


@app.command()
def template(
    type_: Annotated[
        str, typer.Argument(metavar="TYPE", help=f"Type d'import : {', '.join(IMPORT_TYPES)}.")
    ],
    output: Annotated[Path | None, typer.Option(help="Fichier .csv ou .xlsx à écrire.")] = None,
) -> None:
    """Donne un fichier à remplir : toutes les colonnes d'un type d'import, dans l'ordre."""
    from producers.reports.template_file import FORMATS, header_line, write

    with explained():
        import_type = _import_type(type_)
        if output is None:
            print(header_line(import_type))
            return
        if output.suffix.lower() not in FORMATS:
            fail(USAGE, "usage", f"--output : un fichier {', '.join(FORMATS)}.")
        write(output, import_type)
        print(f"Modèle écrit dans {output}")


# --- what was asked for


def _import_type(name: str) -> ImportType:
    known = IMPORT_TYPES.get(name.strip().upper().replace("-", "_"))
    if known is None:
        wrong = f"--type {name} : ce type n'existe pas" if name else "--type manque"
        fail(USAGE, "usage", f"{wrong} : indiquez {', '.join(IMPORT_TYPES)}.")
    return known


def _options(
    import_type: ImportType,
    encoding: str | None,
    delimiter: str | None,
    sheet: str | None,
    columns: list[str] | None,
) -> "Options":
    from producers.reading import Options
    from producers.settings import settings

    chosen = {}
    for column in columns or ():
        source, _, name = column.rpartition("=")
        if not source or name not in import_type.field:
            fail(
                USAGE,
                "usage",
                f"--column {column} : écrivez COLONNE=CHAMP, le champ étant l'un de "
                f"{', '.join(import_type.field)}.",
            )
        chosen[source] = name
    if delimiter in ("\\t", "tab"):
        delimiter = "\t"
    luhn = settings().import_luhn
    return Options(encoding, delimiter, sheet, chosen, luhn)


def _readable(path: Path) -> None:
    if not path.exists():
        fail(USAGE, "missing-file", f"Le fichier {path} n'existe pas.")
    if not path.is_file():
        fail(USAGE, "not-a-file", f"{path} n'est pas un fichier.")
    if not os.access(path, os.R_OK):
        fail(USAGE, "unreadable", f"Le fichier {path} ne peut pas être lu : voyez ses droits.")


# --- check


def _check(
    path: Path, import_type: ImportType, options: "Options", policy: Policy, *, as_json: bool
) -> NoReturn:
    from producers.imports.preview import verdict

    found = verdict(path, import_type, options)
    if found["refusal"] is None:
        found["already_imported"] = _already_imported(path, import_type, options, policy)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, default=str))
    else:
        print("\n".join(_verdict_lines(found)))
    if found["refusal"] is not None:
        raise typer.Exit(REFUSED)
    raise typer.Exit(PARTIAL if found["rejected_rows"] else 0)


def _already_imported(
    path: Path, import_type: ImportType, options: "Options", policy: Policy
) -> dict[str, Any] | None:
    from producers.imports.identity import import_ids, known_import
    from producers.kafka.broker import ClusterError
    from producers.kafka.import_log import ImportLog
    from producers.kafka.import_state import document
    from producers.reading import open_source
    from producers.settings import settings
    from schemas.runtime.registry import RegistryUnavailableError

    source = open_source(path, import_type, options)
    ids = import_ids(source, policy.value)
    try:
        with (
            settings().registry() as registry,
            ImportLog(settings(), registry) as log,
        ):
            log.start(timeout_seconds=2.0)
            states = log.read(set(ids), file_sha256=source.sha256)
            state = known_import(states, ids, source, policy.value)
    except (ClusterError, RegistryUnavailableError):
        # A check needs no server; it then cannot say.
        return None
    if state is None:
        return None
    return {name: document(state)[name] for name in ("id", "status", "created_at", "completed_at")}


def _verdict_lines(found: dict[str, Any]) -> Iterator[str]:
    if found["refusal"] is not None:
        yield f"Refusé : {found['refusal']['message']}"
        return
    yield (
        f"{found['file_name']} : {found['total_rows']} lignes, {found['valid_rows']} valides, "
        f"{found['rejected_rows']} rejetées, {found['duplicate_rows']} en double, "
        f"{found['blank_lines']} vides"
    )
    yield from _reading_lines(found)
    if found["unknown_columns"]:
        yield f"  colonnes ignorées : {', '.join(found['unknown_columns'])}"
    for example in found["examples"]:
        yield f"  ligne {example['line']} : {example['message']}"
    if found["already_imported"]:
        yield (
            f"  déjà importé : {found['already_imported']['id']} "
            f"({found['already_imported']['status']})"
        )


def _reading_lines(found: dict[str, Any]) -> Iterator[str]:
    read_as = [found["format"], found["compression"], found["encoding"], found["sheet"]]
    yield f"  lu comme : {', '.join(str(word) for word in read_as if word)}"
    if found["delimiter"]:
        sure = f"{found['delimiter_confidence']:.0%}".replace("%", " %")
        yield f"  séparateur : {found['delimiter']!r} (sûr à {sure} ; --delimiter en impose un autre)"
    columns = ", ".join(f"{name} → {field}" for name, field in found["mapping"].items())
    yield f"  en-tête, ligne {found['header_line']} : {columns}"
    if found["encoding_hint"]:
        yield (
            f"  l'encodage ressemble à {found['encoding_hint']} : si les accents sont faux, "
            f"--encoding {found['encoding_hint']}"
        )
    if found["skipped_sheets"]:
        yield f"  feuilles ignorées : {', '.join(found['skipped_sheets'])}"
    if found["hidden_rows"] or found["hidden_columns"]:
        yield (
            f"  masquées et lues quand même : {found['hidden_rows']} lignes, "
            f"{found['hidden_columns']} colonnes"
        )


# --- import


def _import(order: "Order", *, follow: bool, as_json: bool) -> NoReturn:
    from producers.imports.publication import read_file

    _publish(
        lambda connections, view: read_file(order, connections, view.watch),
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
    _show(state, summary(state), as_json=as_json)
    if state["rejected"] and not as_json:
        _show_first_rejects(state)
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


# --- cancel, pause, resume


def _act(action: "ActionName", import_id: str, *, as_json: bool) -> None:
    from producers.imports.connections import Connections
    from producers.imports.control import ask, is_published_on
    from producers.settings import settings
    from producers.terminal.screen import summary

    with explained(as_json=as_json), Connections(settings()) as connections:
        state = ask(action, import_id, connections, login_name())
        _show(state, summary(state), as_json=as_json)
        if action == "cancel" and state["waiting_for"] == "cancel":
            notify(
                "L'annulation est demandée ; des lignes déjà confiées à Kafka attendent un worker. "
                f"Suite : foxstream status {import_id}"
            )
        if action == "resume" and not is_published_on(connections, state, _MOVES_SECONDS):
            path = state["options"].get("path", state["file_name"])
            notify(
                "Aucune commande ne lit plus le fichier de cet import : relancez « foxstream "
                f"import {path} --type {state['import_type'].lower()} » avec les mêmes options, "
                "l'import continuera où il en était."
            )


# --- states and rejects


def _parent(state: "ImportState") -> str:
    return f"  (reprise de {state['parent']})" if state["parent"] else ""


def _states(wanted: Iterable[str] | None) -> "dict[str, ImportState]":
    from producers.kafka.import_log import ImportLog
    from producers.settings import settings

    with (
        settings().registry() as registry,
        ImportLog(settings(), registry) as log,
    ):
        log.start(timeout_seconds=_KAFKA_SECONDS)
        return log.read(None if wanted is None else set(wanted))


def _state(import_id: str) -> "ImportState":
    state = _states([import_id]).get(import_id)
    if state is None:
        fail(REFUSED, "unknown-import", f"Aucun import n'a l'identifiant {import_id}.")
    return state


@contextmanager
def _rejects(state: "ImportState", *, patience_seconds: float) -> "Iterator[Iterator[Reject]]":
    from producers.kafka.reject_log import RejectLog
    from producers.settings import settings

    with RejectLog(settings()) as log:
        yield log.read(state, patience_seconds)


def _write_report(
    path: Path, state: "ImportState", rejects: "Iterator[Reject]", file: Path | None
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
            state, rejects, Decoder(record, registry), unread=lambda: unread_rows(rest)
        )
    count = write(path, content, state["options"].get("delimiter") or ",")
    print(f"{count} lignes à corriger ou à reprendre écrites dans {path}")
    return count


def _show_first_rejects(state: "ImportState") -> None:
    with _rejects(state, patience_seconds=2.0) as rejects:
        first = sorted(islice(rejects, 200), key=lambda reject: reject.line or 0)
    _show_rejects(first[:_FIRST_REJECTS])
    print(f"Suite : foxstream errors {state['id']} --output erreurs.csv")


def _show_rejects(rejects: "list[Reject]") -> None:
    for reject in rejects:
        where = f"{reject.sheet}, " if reject.sheet else ""
        for error in reject.errors:
            column = f", colonne {error['column']}" if error["column"] else ""
            print(f"  {where}ligne {reject.line}{column} : {error['message']}")


def _show(state: "ImportState", text: str, *, as_json: bool) -> None:
    from producers.kafka.import_state import document

    print(json.dumps(document(state), ensure_ascii=False) if as_json else text)
