"""Headers as people spell them, and the fields that they name."""

import re
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cache

from schemas.import_types import ImportType

OURS = ("_line", "_column", "_code", "_message", "_dropped", "_sheet", "_columns", "_import")
"""What error reports add to the columns of the file."""


def fold(name: str) -> str:
    """A header without case, accents, spaces and punctuation: "Code_Postal" is "codepostal".

    Without the columns that our reports add: "_code" is not a code.
    """
    if name in OURS:
        return ""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name.casefold())))


@cache
def fields_by_label(import_type: ImportType) -> dict[str, str]:
    """The fields of a type by all folded headers that name them.

    A header that is the name of one field and a usual header of another names the first.
    """
    fields: dict[str, str] = {}
    headers = [((field.name,), field.aliases, field.usual) for field in import_type.fields]
    for rank in zip(*headers, strict=True):
        for field, names in zip(import_type.fields, rank, strict=True):
            for name in names:
                fields.setdefault(fold(name), field.name)
    return fields


# What forms say of a column beside its name.
_NOTE = re.compile(
    r"(?:obligatoires?|requise?s?|required|mandatory|facultati(?:f|ve)s?|optionn?el(?:le)?s?|optional|"
    r"[0-9]{1,3}(?:chiffres?|caracteres?|carac|car|chars?|characters?|digits?|positions?)"
    r"(?:max(?:imum)?|minimum|min|numeriques?)?|(?:max(?:imum)?|minimum|min)[0-9]{1,3}"
    r"(?:chiffres?|caracteres?|car)?|sansespaces?|formattexte|texte?|numerique)$"
)
_EXAMPLE = re.compile(
    r"[(\[] ?(?:ex|par ex|exemple|p\. ?ex|e\.g|format|voir|cf)\b[^)\]]{0,100}[)\]]", re.IGNORECASE
)
_NUMBERED = re.compile(r"^ ?[0-9]{1,2} ?[.)] ")
_LONGEST = 200


def label(fields: Container[str], name: str) -> str:
    """The folded header, without notes such as "* (9 chiffres)" if it is one of `fields` then."""
    folded = fold(name)
    if folded in fields or len(name) > _LONGEST:
        return folded
    bare = fold(_EXAMPLE.sub(" ", _NUMBERED.sub("", name)))
    while bare not in fields and (note := _NOTE.search(bare)):
        bare = bare[: note.start()]
    return bare if bare in fields else folded


def known(import_type: ImportType, cells: Sequence[str]) -> set[str]:
    """The fields of a type that the cells of a header name."""
    return named(fields_by_label(import_type), cells)


def named(fields: Mapping[str, str], cells: Sequence[str]) -> set[str]:
    """Those of `fields`, as fields_by_label has them, that the cells of a header name."""
    labels = [label(fields, cell) for cell in cells]
    return {fields[folded] for folded in labels if folded in fields}


def is_report(names: Iterable[str]) -> bool:
    """Whether a header is that of an error report, which says itself what its columns are."""
    return {"_import", "_line"} <= {*names}
