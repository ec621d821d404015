"""Where the parts of an .xlsx workbook are: by their relations, whatever they are called.

Part names are compared without case, and backslashes count as slashes, as Excel does
(ECMA-376 part 2, Open Packaging Conventions).
"""

import posixpath
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from producers.reading.refusals import refusal
from producers.reading.workbook.markup import Attributes, Markup, local
from producers.reading.workbook.zip_parts import inflated

_MOST = 10_000
_TRUE = ("1", "true", "on")


@dataclass(frozen=True)
class SheetPart:
    """`part` is the name of the sheet's part in the archive."""

    name: str
    part: str
    visible: bool


class Package:
    """The workbook that an archive holds, `sheets` in their order.

    `recalculated`: spreadsheets calculate all formulas when they open it, so that stored results
    need not be any. `from_1904`: days are counted from 1904. Raises RefusedError.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self._names = {_folded(name): name for name in archive.namelist()}
        self.recalculated = self.from_1904 = False
        self._listed: list[Attributes] = []
        self.workbook = self._workbook()
        self.sheets: list[SheetPart] = []
        self.strings: str | None = None
        self.styles: str | None = None
        if self.workbook is not None and not self.is_binary:
            self._relate(self.workbook)

    @property
    def is_binary(self) -> bool:
        """Whether it is an .xlsb workbook, of which no part is XML."""
        return self.workbook is not None and self.workbook.lower().endswith(".bin")

    def read(self, part: str, markup: Markup) -> None:
        """Feeds the part of that name in the archive to `markup`."""
        markup.read(inflated(self.archive, self.archive.getinfo(part)))

    def _workbook(self) -> str | None:
        found = [part for kind, part in self._relations("").values() if kind == "officeDocument"]
        usual = [self._names.get(name) for name in ("xl/workbook.xml", "xl/workbook.bin")]
        others = [name for folded, name in self._names.items() if folded.endswith("workbook.xml")]
        return next((part for part in (*found, *usual, *others) if part), None)

    def _relate(self, workbook: str) -> None:
        relations = self._relations(workbook)
        self._each(workbook, self._noted)
        for sheet in self._listed:
            identity = next((v for k, v in sheet.items() if k != "id" and local(k) == "id"), "")
            kind, part = relations.get(identity, ("", None))
            if kind == "worksheet" and part is not None:
                visible = sheet.get("state", "visible") == "visible"
                self.sheets.append(SheetPart(sheet.get("name", ""), part, visible))
        parts = {kind: part for kind, part in relations.values() if part}
        self.strings = parts.get("sharedStrings") or self._names.get("xl/sharedstrings.xml")
        self.styles = parts.get("styles") or self._names.get("xl/styles.xml")

    def _noted(self, name: str, attributes: Attributes) -> None:
        tag = local(name)
        if tag == "sheet":
            self._listed.append(attributes)
            if len(self._listed) > _MOST:
                raise refusal("broken-workbook")
        elif tag == "calcPr":
            self.recalculated = attributes.get("fullCalcOnLoad") in _TRUE
        elif tag == "workbookPr":
            self.from_1904 = attributes.get("date1904") in _TRUE

    def _relations(self, of: str) -> dict[str, tuple[str, str | None]]:
        """The last word of the type and the part of each relation of a part, by their identities."""
        folder, _, base = _folded(of).rpartition("/")
        part = self._names.get(posixpath.join(folder, "_rels", base + ".rels"))
        relations: dict[str, tuple[str, str | None]] = {}

        def note(name: str, attributes: Attributes) -> None:
            if local(name) != "Relationship" or attributes.get("TargetMode") == "External":
                return
            identity = attributes.get("Id", "")
            if identity in relations or len(relations) > _MOST:
                raise refusal("broken-workbook")  # readers disagree about which one it is
            target = unquote(attributes.get("Target", "").replace("\\", "/"))
            whole = posixpath.normpath(posixpath.join("/", folder, target))
            kind = attributes.get("Type", "").rpartition("/")[2]
            relations[identity] = kind, self._names.get(_folded(whole))

        if part is not None:
            self._each(part, note)
        return relations

    def _each(self, part: str, note: Callable[[str, Attributes], None]) -> None:
        self.read(part, Markup(note, lambda _: None))


def _folded(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()
