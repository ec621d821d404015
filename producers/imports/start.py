"""How an import starts: as a new one, as the rest of an interrupted one, or not at all."""

from collections.abc import Mapping
from datetime import UTC, datetime

from producers.imports.identity import PINNED, earlier
from producers.imports.order import Order, Reading
from producers.kafka.import_state import new_state
from producers.reading import RefusedError, Source
from schemas.import_types import ImportType
from schemas.outcomes import TERMINAL
from schemas.records import ImportState


class AlreadyImportedError(RefusedError):
    """This content was imported before in the same way; `state` is how that ended."""

    def __init__(self, state: ImportState) -> None:
        self.state = state
        super().__init__(
            "already-imported",
            f"Ce fichier a déjà été importé le {state['created_at']:%d/%m/%Y à %H:%M} UTC "
            f"({state['status']}, import {state['id']}). Pour l'importer à nouveau, ajoutez "
            f"--force ; pour reprendre ses seules lignes en erreur : foxstream retry {state['id']}",
        )


class OverwriteUnconfirmedError(RefusedError):
    """Nobody confirmed that `blank_cells`, by field, may clear what the database has in their place.

    `cells` says in French how many they are.
    """

    def __init__(self, blank_cells: Mapping[str, int]) -> None:
        self.blank_cells = blank_cells
        count = sum(blank_cells.values())
        fields = ", ".join(f"{name} : {number}" for name, number in blank_cells.items())
        self.cells = f"{count} cellule{'s' if count > 1 else ''} sans valeur ({fields})"
        super().__init__(
            "overwrite-unconfirmed",
            f"{self.cells} : ce que la base contient à leur place serait effacé. Rien n'est importé : "
            "confirmez-le (--yes, ou confirm_overwrite=true), ou choisissez une autre règle d'écriture.",
        )


def begin(
    known: ImportState | None,
    states: dict[str, ImportState],
    ids: list[str],
    submission: ImportState,
    *,
    force: bool,
) -> Reading:
    """What is to be read, `known` being the latest import of the same. Raises RefusedError."""
    if known is None:
        return Reading({**submission, "id": ids[0]})
    if known["status"] in TERMINAL:
        if not force:
            raise AlreadyImportedError(known)
        last = earlier(states, ids)
        number = 0 if last is None else ids.index(last["id"]) + 1
        if number == len(ids):
            raise RefusedError(
                "already-imported", f"Ce fichier a déjà été importé {number} fois avec --force."
            )
        return Reading({**submission, "id": ids[number]})
    # Its file is read already, or the gateway that accepted it reads it.
    if known["total_rows"] is not None or known["id"] not in ids:
        return Reading(known, known["total_rows"] or 0, finished=True, resumed=True)
    if known["waiting_for"] == "cancel":
        raise RefusedError(
            "being-cancelled",
            f"L'import {known['id']} de ce fichier est en cours d'annulation : attendez un "
            f"instant (foxstream status {known['id']}), puis recommencez.",
        )
    options = submission["options"]
    differing = [name for name in PINNED if options.get(name) != known["options"].get(name)]
    if differing:
        raise RefusedError(
            "changed-since",
            f"L'import {known['id']} de ce fichier a été interrompu et ne peut pas reprendre : "
            f"{', '.join(PINNED[name] for name in differing)} ne sont plus les mêmes. "
            f"Annulez-le (foxstream cancel {known['id']}), puis importez avec --force.",
        )
    return Reading(known, resumed=True)


def check_parent(parent: ImportState | None, corrects: str, import_type: ImportType) -> None:
    """Raises RefusedError unless `parent` is an import of this type that has ended.

    `corrects` is its id, as a correction names it.
    """
    if parent is None:
        raise RefusedError(
            "unknown-import",
            f"Ce fichier corrige l'import {corrects}, que le journal des imports ne connaît pas : "
            "reprenez le fichier que « foxstream errors » a écrit.",
        )
    if parent["import_type"] != import_type.name:
        raise RefusedError(
            "wrong-type",
            f"Ce fichier corrige un import {parent['import_type']} : choisissez ce type.",
        )
    if parent["status"] not in TERMINAL:
        raise RefusedError(
            "unfinished-import",
            f"L'import {corrects} que ce fichier corrige n'est pas terminé : attendez sa fin "
            f"(foxstream status {corrects}).",
        )


def submission_of(
    order: Order, source: Source, options: dict[str, str], parent: str | None
) -> ImportState:
    """The state of an import that is about to be submitted, still without its id."""
    return new_state(
        parent=parent,
        import_type=order.import_type.name,
        file_name=order.file_name or source.file_name,
        file_sha256=source.sha256,
        uploaded_by=order.uploaded_by,
        generate_ai_content=order.generate_ai_content,
        header=source.header,
        options=options,
        created_at=datetime.now(UTC),
    )
