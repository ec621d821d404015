"""Arguments and options that commands of foxstream share, validated."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producers.terminal.exits import USAGE, fail
from schemas.import_types import IMPORT_TYPES, ImportType

if TYPE_CHECKING:
    from producers.reading import Options


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
    typer.Option(
        metavar="COLONNE=CHAMP",
        help="Champ d'une colonne, rien pour ne pas l'importer ; peut être répété.",
    ),
]


def import_type_of(name: str) -> ImportType:
    """The type of this name. Ends the command if there is none."""
    known = IMPORT_TYPES.get(name.strip().upper().replace("-", "_"))
    if known is None:
        wrong = f"--type {name} : ce type n'existe pas" if name else "--type manque"
        fail(USAGE, "usage", f"{wrong} : indiquez {', '.join(IMPORT_TYPES)}.")
    return known


def reading_options(
    import_type: ImportType,
    encoding: str | None,
    delimiter: str | None,
    sheet: str | None,
    columns: list[str] | None,
) -> "Options":
    """How to read a file; each of `columns` is COLUMN=FIELD. Ends the command if one is not."""
    from producers.reading import Options
    from producers.reading.header.columns import LEFT_OUT
    from producers.settings import settings

    chosen = {}
    for column in columns or ():
        source, _, name = column.rpartition("=")
        if not source or name not in {LEFT_OUT, *import_type.field}:
            fail(
                USAGE,
                "usage",
                f"--column {column} : écrivez COLONNE=CHAMP, le champ étant l'un de "
                f"{', '.join(import_type.field)}, ou COLONNE= pour ne pas l'importer.",
            )
        chosen[source] = name
    if delimiter in ("\\t", "tab"):
        delimiter = "\t"
    luhn = settings().import_luhn
    return Options(encoding, delimiter, sheet, chosen, luhn)


def check_readable(path: Path) -> None:
    """Ends the command if the path is not a file that may be read; limits the memory to read it with."""
    if not path.exists():
        fail(USAGE, "missing-file", f"Le fichier {path} n'existe pas.")
    if not path.is_file():
        fail(USAGE, "not-a-file", f"{path} n'est pas un fichier.")
    if not os.access(path, os.R_OK):
        fail(USAGE, "unreadable", f"Le fichier {path} ne peut pas être lu : voyez ses droits.")
    from producers.reading.workbook.memory_limit import limit_memory

    limit_memory()
