"""What is wrong with a row, in the words that an operator reads.

The vocabulary of codes; docs/errors.md explains each. Names follow Frictionless if it has one.
"""

import re
from typing import NamedTuple

from schemas.values.field import Field
from schemas.values.stored import without_nul


class Fault(NamedTuple):
    """One thing wrong with one row. `column` is None if the whole line is meant."""

    column: str | None
    code: str
    message: str


# 4,43E+08
_ROUNDED = re.compile(r"[0-9](?:[.,][0-9]{1,15})?[eE]\+?[0-9]{1,3}")

FORMS = {
    "siren": "9 chiffres",
    "siret": "14 chiffres",
    "postal_code": "5 chiffres",
    "postal_codes": "des codes de 5 chiffres séparés par des virgules",
    "departement": "un code de département (01, 2A, 971)",
    "naf": "un code comme 62.01Z",
    "commune": "un code de commune de l'INSEE (5 caractères, comme 35238)",
    "legal_category": "4 chiffres",
    "disclosure": "O ou P",
    "source_date": "une date comme 2026-03-18",
    "phone": "un numéro de 20 caractères au plus (chiffres, espaces, points, +)",
    "email": "une adresse comme nom@exemple.fr",
    "url": "une adresse qui commence par http:// ou https://",
    "domain": "un nom de domaine comme exemple.fr",
    "place_id": "un identifiant de lieu Google (lettres, chiffres, - et _)",
    "boolean": "oui ou non",
    "integer": "un nombre entier, positif ou nul",
    "latitude": "un nombre de -90 à 90",
    "longitude": "un nombre de -180 à 180",
    "name": "un nom, pas seulement des tirets ou des points",
    "slugged": "un nom qui contient au moins une lettre latine ou un chiffre",
    "text": "un texte",
}
"""What the value of a field of each kind must be, in French."""


_FIXED = {
    "nul-byte": (
        "La valeur de la colonne {name} contient un caractère nul (NUL) que la base n'accepte pas : "
        "retapez-la."
    ),
    "unreadable-character": (
        "La valeur{shown} de la colonne {name} a perdu une lettre avant d'arriver ici : retapez-la, "
        "ou exportez à nouveau le fichier d'origine."
    ),
    "mismatch": (
        "Le SIRET{shown} n'appartient pas au SIREN de la ligne : ses neuf premiers chiffres doivent "
        "être ce SIREN."
    ),
    "checksum": (
        "Le numéro{shown} de la colonne {name} n'existe pas : sa clé de contrôle est fausse, sans "
        "doute une faute de frappe."
    ),
    "formula-error": (
        "La cellule{shown} de la colonne {name} est une formule en erreur ou jamais calculée : "
        "corrigez-la dans le classeur, puis enregistrez-le."
    ),
}


def fault(field: Field, code: str, column: str | None = None, value: object = None) -> Fault:
    """The fault `code` of a field, with the column as the header of the file spells it."""
    name = column if column is not None else field.name
    quoted = shown(value)
    match code:
        case "missing-value":
            message = _missing(field, name, quoted)
        case "too-long":
            message = (
                f"La valeur{quoted} de la colonne {name} dépasse {field.max_length} caractères : "
                "raccourcissez-la."
            )
        case "malformed":
            message = _malformed(field, name, quoted, rounded=is_rounded(value))
        case _:
            message = _FIXED[code].format(name=name, shown=quoted)
    return Fault(column if column is not None else field.name, code, message)


def shown(value: object) -> str:
    """The beginning of a value as messages quote it: on one line, and without what PostgreSQL does not store."""
    text = _line(value)
    return f" « {text[:60]} »" if text else ""


def is_rounded(value: object) -> bool:
    """Whether a value is a long number as Excel shows it."""
    return _ROUNDED.fullmatch(_line(value)) is not None


def _line(value: object) -> str:
    return "" if value is None else " ".join(without_nul(str(value)).split())


def _missing(field: Field, name: str, quoted: str) -> str:
    form = FORMS[field.kind]
    if not quoted:
        return f"La colonne {name} est obligatoire : indiquez {form}."
    return (
        f"La valeur{quoted} de la colonne obligatoire {name} veut dire « rien » : indiquez {form}. Si "
        "c'est un vrai nom, complétez-le, par exemple par la forme juridique."
    )


def _malformed(field: Field, name: str, quoted: str, *, rounded: bool) -> str:
    if rounded:
        return (
            f"La valeur{quoted} de la colonne {name} est un nombre qu'Excel a arrondi : ses derniers "
            "chiffres sont perdus. Reprenez-la du fichier d'origine, dans une colonne au format Texte."
        )
    return f"La valeur{quoted} de la colonne {name} doit être {FORMS[field.kind]}."
