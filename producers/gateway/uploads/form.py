"""The fields that come with a file, checked."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from producers.gateway.problems import Problem
from producers.reading import Options
from producers.settings import settings
from schemas.codec.framing import load
from schemas.import_types import IMPORT_TYPES, ImportType

POLICIES: tuple[str, ...] = next(
    tuple(field["type"]["symbols"])
    for field in load("import_line")["fields"]
    if field["name"] == "policy"
)

_TRUE = ("true", "1", "on", "yes", "oui")
_FALSE = ("false", "0", "off", "no", "non", "")
_LONGEST = 100


@dataclass(frozen=True)
class Form:
    """What an upload requests. `import_type` is None if a check finds it out.

    `recalls`: a remembered mapping may say what the columns are, because the upload does not.
    """

    import_type: ImportType | None
    options: Options
    policy: str
    generate_ai_content: bool
    force: bool
    recalls: bool
    confirm_overwrite: bool

    def options_json(self) -> dict[str, Any]:
        """The options as the spool keeps them."""
        return {**asdict(self.options), "columns": dict(self.options.columns)}


def form_of(fields: Mapping[str, str], *, type_required: bool = True) -> Form:
    """Raises Problem 422, which names every field that is wrong."""
    reader = _Reader(fields)
    form = Form(
        reader.import_type(required=type_required),
        reader.options(),
        reader.policy(),
        reader.flag("generate_ai_content"),
        reader.flag("force"),
        recalls=not fields.get("columns", "").strip(),
        confirm_overwrite=reader.flag("confirm_overwrite"),
    )
    if reader.errors:
        names = ", ".join(str(error["field"]) for error in reader.errors)
        raise Problem(422, "invalid-form", f"Champs incorrects : {names}.", errors=reader.errors)
    return form


def _is_text(value: str) -> bool:
    """Whether it can be stored and sent on: without NUL, and without half a surrogate pair."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


class _Reader:
    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self.errors: list[dict[str, str]] = []

    def import_type(self, *, required: bool) -> ImportType | None:
        name = self._fields.get("import_type", "").strip().upper().replace("-", "_")
        known = IMPORT_TYPES.get(name)
        if known is None and (name or required):
            self._wrong("import_type", f"Choisissez l'un de {', '.join(IMPORT_TYPES)}.")
        return known

    def policy(self) -> str:
        policy = self._fields.get("policy", "").strip() or POLICIES[0]
        if policy not in POLICIES:
            self._wrong("policy", f"Choisissez l'un de {', '.join(POLICIES)}.")
        return policy

    def flag(self, name: str) -> bool:
        value = self._fields.get(name, "").strip().lower()
        if value not in (*_TRUE, *_FALSE):
            self._wrong(name, "Écrivez true ou false.")
        return value in _TRUE

    def options(self) -> Options:
        delimiter = self._text("delimiter")
        return Options(
            encoding=self._text("encoding"),
            delimiter="\t" if delimiter in ("tab", "\\t") else delimiter,
            sheet=self._text("sheet"),
            columns=dict(self._columns()),
            luhn=settings().import_luhn,
        )

    def _text(self, name: str) -> str | None:
        value = self._fields.get(name) or None
        if value is not None and len(value) > _LONGEST:
            self._wrong(name, f"{_LONGEST} caractères au plus.")
        if value is not None and not _is_text(value):
            self._wrong(name, "Ce champ contient des caractères incorrects.")
        return value

    def _columns(self) -> Iterator[tuple[str, str]]:
        text = self._fields.get("columns", "").strip()
        if not text:
            return
        try:
            columns = json.loads(text)
        except (ValueError, RecursionError):
            columns = None
        if not isinstance(columns, dict):
            self._wrong("columns", 'Écrivez un objet JSON : {"colonne": "champ"}.')
            return
        for column, name in columns.items():
            if isinstance(name, str) and _is_text(column) and _is_text(name):
                yield column, name
            else:
                self._wrong(
                    "columns", f"Le champ de la colonne « {column[:40]} » n'est pas un texte."
                )

    def _wrong(self, name: str, message: str) -> None:
        self.errors.append({"field": name, "code": "invalid", "message": message})
