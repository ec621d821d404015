"""A file to fill in: the columns of an import type.

No example stands among the rows, for an example that is forgotten would be imported: the form and an
example of each column stand on a second sheet. A template that comes back empty is refused.
"""

import csv
from io import StringIO
from pathlib import Path

from schemas.faults import FORMS
from schemas.import_types import ImportType
from schemas.values.field import Field, Kind

FORMATS = (".csv", ".xlsx")

_DELIMITER = ";"  # what a French Excel opens in columns

_EXAMPLES: dict[Kind, str] = {
    "text": "texte",
    "name": "Boulangerie Martin",
    "siren": "123456782",
    "siret": "12345678200010",
    "postal_code": "35000",
    "postal_codes": "35000,35200",
    "departement": "35",
    "naf": "10.71C",
    "phone": "02 99 00 00 00",
    "email": "contact@exemple.fr",
    "url": "https://www.exemple.fr",
    "boolean": "oui",
    "integer": "1200",
    "latitude": "48.1173",
    "longitude": "-1.6778",
}


def header_line(import_type: ImportType) -> str:
    """The header as a line of CSV."""
    line = StringIO()
    csv.writer(line, delimiter=_DELIMITER, lineterminator="").writerow(_names(import_type))
    return line.getvalue()


def write(path: Path, import_type: ImportType) -> None:
    """Writes a template of one of FORMATS. Raises OSError."""
    if path.suffix.lower() == ".csv":
        path.write_text(f"{header_line(import_type)}\n", encoding="utf-8-sig")
        return
    from openpyxl import Workbook  # a tenth of a second to load

    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = import_type.label
    for at, field in enumerate(import_type.offered, start=1):
        sheet.cell(1, at, field.name)
        letter = sheet.cell(1, at).column_letter
        # Text: a SIREN keeps its zeros.
        sheet.column_dimensions[letter].number_format = "@"
        sheet.column_dimensions[letter].width = max(12, len(field.name) + 2)
    guide = book.create_sheet("Mode d'emploi")
    guide.append(["Une ligne du premier onglet par élément. Ses colonnes :"])
    guide.append(["Colonne", "Présence", "Forme", "Exemple"])
    for field in import_type.offered:
        guide.append(_explained(field))
    book.save(path)


def _names(import_type: ImportType) -> list[str]:
    return [field.name for field in import_type.offered]


def _explained(field: Field) -> list[str]:
    form = FORMS[field.kind]
    if field.max_length:
        form += f", {field.max_length} caractères au plus"
    presence = "obligatoire" if field.required else "facultative"
    return [f"{field.name} :", presence, form, f"par exemple {_EXAMPLES.get(field.kind, 'texte')}"]
