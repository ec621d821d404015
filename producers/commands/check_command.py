"""The command that checks a file without publishing anything."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from producers.commands.arguments import (
    Column,
    Delimiter,
    Encoding,
    File,
    Json,
    Policy,
    Sheet,
    Type,
    check_readable,
    import_type_of,
    reading_options,
)
from producers.commands.mapping_commands import recalled_mapping
from producers.terminal.exits import PARTIAL, REFUSED, explained
from schemas.import_types import ImportType
from schemas.outcomes import SKIPPED, WARNINGS
from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producers.reading import Options, Source
    from schemas.records import GatewayMapping, ImportState


_CERTAIN = 0.9
_PATIENCE_SECONDS = 2.0


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
        import_type = import_type_of(type_)
        options = reading_options(import_type, encoding, delimiter, sheet, column)
        check_readable(file)
        preview_file(file, import_type, options, Policy.MERGE, as_json=as_json)


def preview_file(
    path: Path, import_type: ImportType, options: "Options", policy: Policy, *, as_json: bool
) -> NoReturn:
    """Prints what an import of the file would give, and ends the command."""
    from producers.imports.identity import as_understood
    from producers.imports.preview import preview_of
    from producers.mappings.phrases import shown
    from producers.mappings.recall import with_mapping

    mapping, away = _recalled(path, import_type, options)
    options = with_mapping(options, mapping)
    states: dict[str, ImportState] = {}
    opened: list[Source] = []

    def look(source: "Source") -> "Mapping[str, ImportState]":
        opened.append(source)
        states.update({} if away else _states(source))
        return states

    preview = preview_of(path, import_type, options, look)
    found = {**preview, "remembered": shown(mapping)}
    if found["refusal"] is None and states:
        source = as_understood(opened[0], states)
        found["already_imported"] = _already_imported(source, policy, states)
    if as_json:
        say(json.dumps(found, ensure_ascii=False, default=str))
    else:
        say(*_preview_lines(found))
    if found["refusal"] is not None:
        raise typer.Exit(REFUSED)
    raise typer.Exit(PARTIAL if found["rejected_rows"] or found["left_out_rows"] else 0)


def _recalled(
    path: Path, import_type: ImportType, options: "Options"
) -> "tuple[GatewayMapping | None, bool]":
    """The remembered mapping, and whether the servers that know of one are away: a check works without."""
    from producers.kafka.broker import ClusterError
    from schemas.runtime.registry import RegistryUnavailableError

    try:
        found = recalled_mapping(path, import_type, options, timeout_seconds=_PATIENCE_SECONDS)
    except (ClusterError, RegistryUnavailableError):
        return None, True
    return found, False


def _states(source: "Source") -> "dict[str, ImportState]":
    """Those of this file and of the import that it corrects; none if the servers are away."""
    from producers.imports.identity import parent_of
    from producers.kafka.broker import ClusterError
    from producers.kafka.import_log import ImportLog
    from producers.settings import settings
    from schemas.runtime.registry import RegistryUnavailableError

    try:
        with settings().registry() as registry, ImportLog(settings(), registry) as log:
            log.start(timeout_seconds=_PATIENCE_SECONDS)
            return log.read({parent_of(source) or ""}, file_sha256=source.sha256)
    except (ClusterError, RegistryUnavailableError):
        return {}


def _already_imported(
    source: "Source", policy: Policy, states: "dict[str, ImportState]"
) -> dict[str, Any] | None:
    from producers.imports.identity import import_ids, known_import
    from producers.kafka.import_state import document

    state = known_import(states, import_ids(source, policy.value), source, policy.value)
    if state is None:
        return None
    return {name: document(state)[name] for name in ("id", "status", "created_at", "completed_at")}


def _preview_lines(found: dict[str, Any]) -> Iterator[str]:
    if found["refusal"] is not None:
        yield f"Refusé : {found['refusal']['message']}"
        yield from _remembered_lines(found)
        return
    yield (
        f"{found['file_name']} : {found['total_rows']} lignes, {found['valid_rows']} valides, "
        f"{found['rejected_rows']} rejetées, {found['duplicate_rows']} en double, "
        f"{found['blank_lines']} vides"
    )
    if found["skipped_rows"]:
        yield f"  {found['skipped_rows']} {SKIPPED[found['import_type']].phrase}"
    for code, count in found["warnings_by_code"].items():
        words = WARNINGS[code]
        yield f"  {count} {words.label if count == 1 else words.phrase}"
    yield from _reading_lines(found)
    yield from _remembered_lines(found)
    yield from _loss_lines(found)
    for example in found["examples"]:
        yield f"  ligne {example['line']} : {example['message']}"
    yield from _dropped_lines(found)
    if found["already_imported"]:
        yield (
            f"  déjà importé : {found['already_imported']['id']} "
            f"({found['already_imported']['status']})"
        )


def _dropped_lines(found: dict[str, Any]) -> Iterator[str]:
    if untouched := found["untouched_rows"]:
        yield f"  lignes du rapport laissées telles quelles, qui ne changent rien : {untouched}"
    rows = found["dropped_rows"]
    if rows == 1:
        yield "  1 ligne valide dont une valeur au moins ne sera pas enregistrée :"
    elif rows:
        yield f"  {rows} lignes valides dont une valeur au moins ne sera pas enregistrée :"
    for value in found["dropped"]:
        place = f"{value['sheet']}, " if value["sheet"] else ""
        yield f"  {place}ligne {value['line']}, colonne {value['column']} : {value['message']}"


def _remembered_lines(found: dict[str, Any]) -> Iterator[str]:
    from producers.mappings.phrases import phrase

    if remembered := found["remembered"]:
        yield (
            f"  {phrase(remembered)} (« foxstream mapping forget {remembered['id']} » les oublie)"
        )


def _field_of(found: dict[str, Any], column: str) -> str:
    """The field of a column; how certain that is, if its header does not say it."""
    confidence = found["confidence"].get(column, 1.0)
    doubt = f" (sûr à {confidence:.0%})".replace("%", " %") if confidence < _CERTAIN else ""
    return f"{found['mapping'][column]}{doubt}"


def _loss_lines(found: dict[str, Any]) -> Iterator[str]:
    """What of the file, or of the database, would be lost."""
    if lost := found["unknown_columns"]:
        counts = f"{len(lost)} sur {len(lost) + len(found['mapping'])}"
        yield f"  colonnes ignorées, {counts} : {', '.join(lost)}"
    if blank := found["blank_cells"]:
        fields = ", ".join(f"{name} {count}" for name, count in blank.items())
        yield (
            f"  cellules sans valeur : {sum(blank.values())} ({fields}) ; --policy overwrite "
            "effacerait ce que la base contient à leur place"
        )


def _reading_lines(found: dict[str, Any]) -> Iterator[str]:
    from producers.terminal.screen import beside_lines

    read_as = [found["format"], found["compression"], found["encoding"], found["sheet"]]
    yield f"  lu comme : {', '.join(str(word) for word in read_as if word)}"
    if found["delimiter"]:
        sure = f"{found['delimiter_confidence']:.0%}".replace("%", " %")
        yield f"  séparateur : {found['delimiter']!r} (sûr à {sure} ; --delimiter en impose un autre)"
    columns = ", ".join(f"{name} → {_field_of(found, name)}" for name in found["mapping"])
    yield f"  en-tête, ligne {found['header_line']} : {columns}"
    yield from (f"  {line}" for line in beside_lines(found))
    if found["skipped_sheets"]:
        yield f"  feuilles ou fichiers non lus : {', '.join(found['skipped_sheets'])}"
    if found["hidden_rows"] or found["hidden_columns"]:
        yield (
            f"  masquées et lues quand même : {found['hidden_rows']} lignes, "
            f"{found['hidden_columns']} colonnes"
        )
