"""A value of an optional field that is not stored, although its row is: why, in the words that an operator
reads."""

from typing import Literal, NamedTuple

from schemas.faults import FORMS, is_rounded, shown
from schemas.values.field import Field, Kind

LONGEST_VALUE = 1000
"""Characters of a value that are reported."""


class DroppedValue(NamedTuple):
    """`column` is spelled as the header of the file spells it. `value` is the cell, at most LONGEST_VALUE characters."""

    column: str
    code: str
    message: str
    value: str


_Gender = Literal["il", "elle"]

_NAMES: dict[Kind, tuple[str, _Gender]] = {
    "postal_code": ("Le code postal", "il"),
    "postal_codes": ("La liste de codes postaux", "elle"),
    "departement": ("Le code de département", "il"),
    "naf": ("Le code NAF", "il"),
    "commune": ("Le code de commune", "il"),
    "legal_category": ("La catégorie juridique", "elle"),
    "disclosure": ("Le statut de diffusion", "il"),
    "source_date": ("La date de mise à jour", "elle"),
    "phone": ("Le numéro de téléphone", "il"),
    "email": ("L'adresse e-mail", "elle"),
    "url": ("L'adresse web", "elle"),
    "domain": ("Le nom de domaine", "il"),
    "place_id": ("L'identifiant de lieu de Google", "il"),
    "latitude": ("La latitude", "elle"),
    "longitude": ("La longitude", "elle"),
}
_VALUE: tuple[str, _Gender] = ("La valeur", "elle")

_DONE: dict[_Gender, str] = {
    "il": "il n'a pas été enregistré ; le reste de la ligne l'a été.",
    "elle": "elle n'a pas été enregistrée ; le reste de la ligne l'a été.",
}
_FORESEEN: dict[_Gender, str] = {
    "il": "il ne sera pas enregistré ; le reste de la ligne le sera.",
    "elle": "elle ne sera pas enregistrée ; le reste de la ligne le sera.",
}


def dropped_value(
    field: Field, code: str, value: object, column: str | None = None
) -> DroppedValue:
    """A value of `field` that a rule with this code removes, with the column as the header spells it."""
    name = column if column is not None else field.name
    text = str(value)
    what, gender = _NAMES.get(field.kind, _VALUE)
    where = "" if field.kind in _NAMES else f" de la colonne {name}"
    expected = ""
    match code:
        case "formula-error":
            what, gender, where = "La cellule", "elle", f" de la colonne {name}"
            why = "est une formule en erreur ou jamais calculée"
        case _ if is_rounded(text):
            why = "est un nombre qu'Excel a arrondi"
        case _:
            why = "n'est pas valide"
            expected = "" if field.kind in ("text", "name") else f" Attendu : {FORMS[field.kind]}."
    message = f"{what}{shown(text)}{where} {why} : {_DONE[gender]}{expected}"
    return DroppedValue(name, code, message, text[:LONGEST_VALUE])


def foreseen(message: str) -> str:
    """The message of a dropped value before its file is imported."""
    for gender, done in _DONE.items():
        message = message.replace(done, _FORESEEN[gender])
    return message
