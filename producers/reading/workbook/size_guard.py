"""Whether a workbook fits into memory, before anything loads it, and what it holds about its sheets.

.xlsx and .ods files are ZIP archives. calamine holds each sheet as a rectangle of cells, each with
a copy of its text, and aborts the whole process if memory runs out: 2 KB whose last cell is
XFD1048576 require 550 GB. So every part is inflated once, to see how much there is and how far
its cells reach. A sheet that reaches too far for calamine, with few values, is read cell by cell.
"""

import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from producers.reading.container.archive_damage import refused_as
from producers.reading.container.foreign_format import check_document
from producers.reading.refusals import RefusedError, refusal
from producers.reading.table import Format
from producers.reading.workbook.memory_limit import (
    CELLS,
    HELD_BYTES,
    INFLATED_BYTES,
    TEXT_BYTES,
    TEXTS,
    WHOLE_BYTES,
)
from producers.reading.workbook.open_document import ods_notes
from producers.reading.workbook.open_xml.number_display import Display
from producers.reading.workbook.open_xml.number_formats import NumberFormats
from producers.reading.workbook.open_xml.package import Package
from producers.reading.workbook.open_xml.styled_cells import StyledCells
from producers.reading.workbook.open_xml.xlsx_notes import Cells, Look, TextLengths
from producers.reading.workbook.sheet import Displayed, Notes
from producers.reading.workbook.zip_parts import inflated, too_large


@dataclass(frozen=True)
class Findings:
    """`notes` of some sheets, by their names, and whether each is `visible`; `package` of an .xlsx
    workbook; `scattered`: the sheets that calamine cannot hold or does not read right; `displayed`: what the
    numbers of sheets are shown as, by the sheets' names."""

    format: Format
    notes: Mapping[str, Notes]
    visible: Mapping[str, bool]
    package: Package | None = None
    scattered: set[str] = field(default_factory=set)
    displayed: Mapping[str, Displayed] = field(default_factory=dict)


def check(archive: zipfile.ZipFile) -> Findings:
    """What the workbook is.

    Raises RefusedError if the archive is not a workbook, is broken or is too large.
    """
    with refused_as("broken-workbook"):
        parts = archive.infolist()
        check_document(archive)
        if sum(part.file_size for part in parts) > INFLATED_BYTES:
            raise too_large()
        names = {part.filename for part in parts}
        if _is_open_document(names):
            if _is_encrypted(archive):
                raise refusal("encrypted-workbook")
            return _open_document(archive, parts)
        package = Package(archive)
        _check_kind(package, names)
        return _OpenXml(package).findings()


# What LibreOffice names a workbook that it encrypted as one piece.
_WHOLE = "encrypted-package"


def _is_open_document(names: set[str]) -> bool:
    return bool({"content.xml", _WHOLE} & names) and "[Content_Types].xml" not in names


def _check_kind(package: Package, names: set[str]) -> None:
    if package.is_binary:
        raise refusal("unsupported-format", found="un classeur Excel binaire (.xlsb)")
    if package.workbook is not None and package.sheets:
        return
    if any(name.startswith("xl/") for name in names):
        raise refusal("broken-workbook")
    if not {"[Content_Types].xml", "mimetype"} & names:
        raise refusal("nested-archive", found="ZIP")
    raise refusal("unsupported-format", found="un document qui n'est pas un classeur")


def _is_encrypted(archive: zipfile.ZipFile) -> bool:
    names = archive.namelist()
    if "META-INF/manifest.xml" not in names:
        return _WHOLE in names
    return b"encryption-data" in archive.read("META-INF/manifest.xml")


def _open_document(archive: zipfile.ZipFile, parts: list[zipfile.ZipInfo]) -> Findings:
    tables = ods_notes.Tables()
    left = INFLATED_BYTES
    for part in parts:
        for xml in inflated(archive, part):
            left -= len(xml)
            if left < 0:
                raise too_large()
            if part.filename == "content.xml":
                tables.feed(xml)
    tables.finish()
    scattered = set(tables.notes) if tables.scattered else set()
    return Findings(
        "ods", tables.notes, tables.visible, scattered=scattered, displayed=tables.displayed
    )


class _OpenXml:
    def __init__(self, package: Package) -> None:
        self._package = package
        self._sheets = {sheet.part: sheet.name for sheet in package.sheets}
        self._notes: dict[str, Notes] = {}
        self._scattered: set[str] = set()
        self._cells = self._bytes = 0  # that calamine would hold
        self._shared: dict[str, int] = {}
        self._longest = 0
        self._displays: Mapping[str, Display] = {}
        self._displayed: dict[str, StyledCells] = {}
        with suppress(RefusedError):  # without its styles a workbook can be read
            self._displays = NumberFormats(package).displays

    def findings(self) -> Findings:
        left = INFLATED_BYTES
        for part in self._package.archive.infolist():
            left -= self._examine(part, left)
        if sum(self._shared.values()) * self._longest > HELD_BYTES:
            self._check_texts()
        visible = {sheet.name: sheet.visible for sheet in self._package.sheets}
        return Findings(
            "xlsx", self._notes, visible, self._package, self._scattered, self._displayed
        )

    def _examine(self, part: zipfile.ZipInfo, left: int) -> int:
        """How many bytes a part inflates to. Raises RefusedError beyond `left`."""
        name = part.filename
        look = Look(
            is_sheet=name in self._sheets,
            recalculated=self._package.recalculated,
            shares=self._package.strings is not None,
            styled=bool(self._displays),
        )
        styled = StyledCells(self._displays if name in self._sheets else {})
        size = 0
        for xml in inflated(self._package.archive, part):
            size += len(xml)
            if size > left:
                raise too_large()
            look.feed(xml)
            styled.feed(xml)
        if name in self._sheets:
            self._displayed[self._sheets[name]] = styled
        self._weigh(name, look, size)
        return size

    def _weigh(self, name: str, look: Look, size: int) -> None:
        if look.shared:
            self._shared[name] = look.shared
        self._longest = max(self._longest, look.longest)
        if name in self._sheets:
            self._bytes += size
            if not look.usual or look.noteworthy or self._bytes > HELD_BYTES:
                self._read(name)
            else:
                self._hold(self._sheets[name], look.cells)
            return
        if look.texts > TEXTS:
            raise refusal("too-large", found=f"plus de {TEXTS} textes")
        is_texts = name == self._package.strings
        whole = not is_texts and name.lower().endswith((".xml", ".rels"))
        if (is_texts and not look.plain) or (whole and size > WHOLE_BYTES):
            self._scattered.update(self._sheets.values())
        if whole and not look.usual:
            self._reach(cells_of(self._package, name))  # calamine may take it for a sheet

    def _read(self, part: str) -> None:
        name = self._sheets[part]
        styled = self._displayed[name] = StyledCells(self._displays)
        cells = cells_of(self._package, part, styled=styled)
        self._shared[part] = cells.sharing
        self._notes[name] = cells.notes
        if cells.cdata or self._bytes > HELD_BYTES:
            self._scattered.add(name)
        else:
            self._hold(name, max(cells.rows * cells.width, cells.cells))

    def _hold(self, sheet: str, cells: int) -> None:
        """Adds up how many cells calamine makes of sheets, unless they are too many with this one's."""
        if self._cells + cells > CELLS:
            self._scattered.add(sheet)
        else:
            self._cells += cells

    def _reach(self, cells: Cells) -> None:
        """Raises RefusedError if calamine makes too many cells of what may not be a sheet."""
        if self._cells + cells.rows * cells.width > CELLS:
            raise refusal("too-large", found=f"{cells.rows} lignes de {cells.width} colonnes")
        self._cells += max(cells.rows * cells.width, cells.cells)

    def _check_texts(self) -> None:
        """calamine copies a text that cells share for each of them. Raises RefusedError."""
        texts = TextLengths()
        if self._package.strings is not None:
            self._package.read(self._package.strings, texts.markup)
        total = 0
        for name in self._shared:
            total += cells_of(self._package, name, texts.lengths).shared
            if total > TEXT_BYTES:
                raise refusal("too-large", found=f"plus de {TEXT_BYTES >> 20} Mio de texte")
            if total > HELD_BYTES and name in self._sheets:
                self._scattered.add(self._sheets[name])


def cells_of(
    package: Package,
    part: str,
    lengths: Sequence[int] | None = None,
    styled: StyledCells | None = None,
) -> Cells:
    """What the tags of a sheet say; `lengths` are those of the shared texts, to be added up."""
    cells = Cells(recalculated=package.recalculated, lengths=lengths, styled=styled)
    package.read(part, cells.markup)
    return cells
