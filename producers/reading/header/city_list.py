"""The one-column city list: values such as "L Abergement Clemenciat (1400)"."""

import re
from collections.abc import Sequence

from schemas.faults import Fault

_CODE = re.compile(r"\s*[0-9]{4,5}\s*\)\s*")


def has_form(value: str) -> bool:
    """Whether a value is a name and a postal code in brackets."""
    name, _, code = value.rpartition("(")
    return bool(name.strip()) and _CODE.fullmatch(code) is not None


def column(rows: Sequence[Sequence[str]]) -> int | None:
    """The first column of which at least half the given values have the form; None if none has."""
    for at in range(max(map(len, rows), default=0)):
        values = [row[at] for row in rows if at < len(row) and row[at].strip()]
        if values and 2 * sum(map(has_form, values)) >= len(values):
            return at
    return None


def split(value: str) -> tuple[str, str]:
    """Name and postal code of a value that has the form."""
    name, code = value.rsplit("(", 1)
    return name, code.strip().rstrip(") ")


def fault(header: str, value: str) -> Fault:
    """The fault of a value that lacks the form."""
    shown = f" « {value.strip()[:60]} »" if value.strip() else ""
    return Fault(
        header,
        "malformed",
        f"La valeur{shown} de la colonne {header} doit être un nom suivi du code postal entre "
        "parenthèses, comme Rennes (35000).",
    )
