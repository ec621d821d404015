"""Excel and LibreOffice workbooks (.xlsx, .ods) to sheets, by calamine.

calamine holds a whole sheet as a rectangle of cells, and aborts the process if memory runs
out: producers/reading/workbook/size_guard.py looks beforehand at how much there is. What calamine
cannot read is read cell by cell.
"""

import errno
import io
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from producers.reading.container.archive_damage import refused_as
from producers.reading.refusals import refusal
from producers.reading.table import Format
from producers.reading.workbook import size_guard
from producers.reading.workbook.open_document import ods_cells
from producers.reading.workbook.open_xml import xlsx_cells
from producers.reading.workbook.open_xml.styled_cells import ShownTexts
from producers.reading.workbook.sheet import Displayed, Notes, Sheet
from producers.reading.workbook.zip_parts import inflated

_GAP = 256


class Workbook:
    """The sheets of an open file. Raises RefusedError if it is none that can be read."""

    def __init__(self, file: BinaryIO) -> None:
        with refused_as("broken-workbook"):
            self._archive = _Archive(file)
        self._found = size_guard.check(self._archive)
        self.format: Format = self._found.format
        self._calamine = self._opened()

    def sheets(self) -> Sequence[tuple[str, bool]]:
        """The names of the sheets that hold cells, in their order, and whether each is visible."""
        if self._calamine is None:
            return list(self._found.visible.items())
        return _worksheets(self._calamine)

    def sheet(self, name: str) -> Sheet:
        """The sheet of that name, loaded. Raises RefusedError."""
        cells = self._loaded(name)
        if cells is None:
            return self._cell_by_cell(name)
        notes = self._found.notes.get(name) or Notes()
        left = 0 if cells.start is None else cells.start[1]
        merged = cells.merged_cell_ranges or notes.merged
        return Sheet(name, cells.iter_rows, notes, merged, left, self._displayed(name))

    def _displayed(self, name: str) -> Displayed:
        return self._found.displayed.get(name) or ShownTexts()

    def _opened(self) -> CalamineWorkbook | None:
        """By calamine, unless it cannot or finds other sheets than there are."""
        if self._found.visible.keys() == self._found.scattered:
            return None
        with _tried():
            opened = CalamineWorkbook.from_filelike(self._archive.from_start())
            if [name for name, _ in _worksheets(opened)] == list(self._found.visible):
                return opened
        return None

    def _loaded(self, name: str) -> CalamineSheet | None:
        if self._calamine is not None and name not in self._found.scattered:
            with _tried():
                return self._calamine.get_sheet_by_name(name)
        return None

    def _cell_by_cell(self, name: str) -> Sheet:
        package = self._found.package
        notes = self._found.notes.get(name)
        if package is None:
            content = self._archive.getinfo("content.xml")
            return self._sparse(
                name,
                notes or Notes(),
                lambda: ods_cells.rows_of(inflated(self._archive, content), name),
            )
        part = next((sheet.part for sheet in package.sheets if sheet.name == name), None)
        if part is None:
            raise refusal("broken-workbook")
        if notes is None:
            notes = size_guard.cells_of(package, part).notes
        return self._sparse(name, notes, lambda: xlsx_cells.rows_of(package, part, self._texts))

    def _sparse(
        self, name: str, notes: Notes, read: Callable[[], Iterator[Mapping[int, Any]]]
    ) -> Sheet:
        first, width = _extent(notes)
        columns = range(first, first + width)

        def rows() -> Iterator[Sequence[Any]]:
            with refused_as("broken-workbook"):
                for row in read():
                    yield [row.get(at, "") for at in columns] if row else [""] * width

        return Sheet(name, rows, notes, notes.merged, first, self._displayed(name))

    @cached_property
    def _texts(self) -> xlsx_cells.SharedTexts:
        package = self._found.package
        if package is None:
            raise refusal("broken-workbook")
        return xlsx_cells.SharedTexts(package)


class _Kept(io.RawIOBase):
    """A file that is open, with a position of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = os.pread(self._descriptor, len(buffer), self._at)
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = (0, self._at, os.fstat(self._descriptor).st_size)[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, "before the start")
        self._at = start + offset
        return self._at

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class _Archive(zipfile.ZipFile):
    """A file that stays open for longer than the caller needs it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file: io.BufferedIOBase
        try:
            self._file = io.BufferedReader(_Kept(file.fileno()))
        except io.UnsupportedOperation:
            self._file = io.BytesIO(file.read())
        super().__init__(self._file)

    def from_start(self) -> Any:
        """The file itself."""
        self._file.seek(0)
        return self._file

    def __del__(self) -> None:
        super().__del__()
        self._file.close()


def _worksheets(workbook: CalamineWorkbook) -> list[tuple[str, bool]]:
    return [
        (sheet.name, sheet.visible == SheetVisibleEnum.Visible)
        for sheet in workbook.sheets_metadata
        if sheet.typ == SheetTypeEnum.WorkSheet
    ]


def _extent(notes: Notes) -> tuple[int, int]:
    """The first column and the number of columns of the widest part of a sheet that holds values.

    What is more than 256 blank columns away from it is a stray value.
    """
    used = notes.columns + Counter(column for _, column in notes.odd)
    groups: list[list[int]] = []
    for column in sorted(used):
        if not groups or column - groups[-1][-1] > _GAP:
            groups.append([])
        groups[-1].append(column)
    widest = max(groups, key=lambda group: sum(used[at] for at in group), default=[0])
    return widest[0], widest[-1] - widest[0] + 1


@contextmanager
def _tried() -> Iterator[None]:
    """What calamine cannot read is read otherwise, unless it has a password."""
    try:
        yield
    except PasswordError as error:
        raise refusal("encrypted-workbook") from error
    except (CalamineError, ValueError):
        pass
    except BaseException as error:
        # What Rust panics become is not an Exception and does not have a name to import.
        if type(error).__name__ != "PanicException":
            raise
