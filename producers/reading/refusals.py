"""Why a file as a whole cannot be imported, in the words that an operator reads.

docs/errors.md explains each code. Names follow Frictionless if it has one.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

SENTENCES = {
    "empty-file": "Le fichier est vide : exportez-le à nouveau ou choisissez-en un autre.",
    "no-rows": (
        "Le fichier ne contient qu'un en-tête, aucune ligne de données : exportez-le à nouveau."
    ),
    "unsupported-format": (
        "Le fichier est {found}, pas un fichier CSV ni un classeur Excel ou LibreOffice : {advice}."
    ),
    "encrypted-workbook": (
        "Le classeur est protégé par un mot de passe : retirez-le dans Excel et enregistrez-le "
        "à nouveau."
    ),
    "broken-workbook": (
        "Le classeur est abîmé et ne peut pas être lu : ouvrez-le dans Excel ou LibreOffice et "
        "enregistrez-le à nouveau au format .xlsx."
    ),
    "broken-archive": (
        "L'archive est abîmée ou incomplète et ne peut pas être lue : refaites-la, ou envoyez le "
        "fichier sans le compresser."
    ),
    "broken-json": (
        "Le fichier JSON est abîmé à partir de la ligne {line} : exportez-le à nouveau, avec un "
        "objet par ligne ou un tableau d'objets."
    ),
    "unsupported-compression": (
        "L'archive est compressée par une méthode qui n'est pas lue ({found}) : refaites-la au "
        "format ZIP ordinaire (« Deflate ») ou gzip, ou envoyez le fichier sans le compresser."
    ),
    "encrypted-archive": (
        "L'archive est protégée par un mot de passe : refaites-la sans mot de passe."
    ),
    "nested-archive": (
        "L'archive contient une autre archive ({found}) : extrayez-la d'abord, une archive ne "
        "peut contenir que des fichiers CSV et des classeurs."
    ),
    "too-large": (
        "Le fichier est trop volumineux une fois ouvert : {found}. Enregistrez-le au format CSV "
        "ou découpez-le."
    ),
    "line-too-long": (
        "Une ligne du fichier dépasse {limit} caractères, ce n'est sans doute pas un fichier CSV : "
        "exportez-le à nouveau."
    ),
    "encoding": (
        "Le fichier ne se lit pas avec l'encodage {encoding} : enregistrez-le au format "
        "« CSV UTF-8 »."
    ),
    "doubtful-encoding": (
        "Le fichier n'est pas entièrement en UTF-8 et peut se lire de deux façons. Ligne {line} : "
        "« {first} » en {one}, « {second} » en {other}. Choisissez la bonne dans le menu "
        "« Encodage », ou ajoutez --encoding {one} ou --encoding {other}."
    ),
    "unknown-encoding": "L'encodage « {encoding} » n'existe pas : indiquez utf-8 ou cp1252.",
    "delimiter": (
        "Le séparateur « {delimiter} » n'est pas accepté : indiquez un seul caractère, "
        "comme « ; » ou « , »."
    ),
    "unknown-sheet": ("Le fichier n'a pas de feuille « {sheet} » : ses feuilles sont {sheets}."),
    "unknown-column": ("Le fichier n'a pas de colonne « {column} » : ses colonnes sont {found}."),
    "unknown-field": (
        "« {field} » n'est pas une colonne des imports {type} : indiquez l'une de {fields}."
    ),
    "unknown-columns": (
        "Aucune colonne du fichier n'est connue pour les imports {type} (trouvé : {found}). "
        "La première ligne doit nommer les colonnes, dont {required} ; l'en-tête est cherché dans "
        "les {within} premières lignes."
    ),
    "missing-label": ("{columns} dans le fichier (colonnes trouvées : {found}). {advice}"),
    "duplicate-label": (
        "Les colonnes {columns} désignent toutes {field} : n'en gardez qu'une ou renommez les "
        "autres."
    ),
    "wrong-type": (
        "Ces colonnes sont celles d'un import {right}, pas d'un import {type} : "
        "choisissez le type {right}."
    ),
}

CODES = frozenset(SENTENCES)

SAVE_AS = "enregistrez-le au format CSV, .xlsx, .xls ou .ods"
"""What can be done with most formats that are not read."""

_SHOWN = 12
_LENGTH = 40


class RefusedError(Exception):
    """The file as a whole cannot be imported: `message` explains in French why and what to do.

    Where its header lacks fields, `mapping` (fields by header) and `unknown_columns` are what it has. `lines` are
    those among which its header was looked for.
    """

    mapping: Mapping[str, str] = MappingProxyType({})
    unknown_columns: Sequence[str] = ()
    lines: Sequence[Sequence[str]] = ()

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def refusal(code: str, **facts: object) -> RefusedError:
    """The refusal `code`, its sentence filled in with the facts that it names."""
    return RefusedError(code, SENTENCES[code].format(**{"advice": SAVE_AS, **facts}))


def quoted(names: list[str]) -> str:
    """Names in French quotes, the first twelve, each of at most 40 printable characters."""
    shown = [
        "".join(c if c.isprintable() else "\ufffd" for c in name[:_LENGTH])
        for name in names[:_SHOWN]
    ]
    more = len(names) - len(shown)
    return ", ".join(f"« {name} »" for name in shown) + (f" et {more} autres" if more else "")


ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
OLE = b"\xd0\xcf\x11\xe0"
GZIP = b"\x1f\x8b"
BZIP2 = b"BZh"
ZSTD = b"\x28\xb5\x2f\xfd"
"""First bytes of files that may hold a table."""
