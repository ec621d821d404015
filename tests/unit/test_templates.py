"""Files to fill in."""

from pathlib import Path

import pytest
from openpyxl import load_workbook

from producers.reading import RefusedError, open_source
from producers.reports.template_file import FORMATS, header_line, write
from schemas.import_types import IMPORT_TYPES, ImportType

TYPES = pytest.mark.parametrize("import_type", IMPORT_TYPES.values(), ids=IMPORT_TYPES)


@TYPES
@pytest.mark.parametrize("suffix", FORMATS)
def test_an_empty_template_is_refused(tmp_path: Path, import_type: ImportType, suffix: str) -> None:
    """Nothing of it is imported, no example either."""
    path = tmp_path / f"modele{suffix}"
    write(path, import_type)

    with pytest.raises(RefusedError) as refused:
        open_source(path, import_type)

    assert refused.value.code == "no-rows"


@TYPES
def test_a_filled_template_is_read(tmp_path: Path, import_type: ImportType) -> None:
    """All columns of the type are known, in their order; the guide is no part of it."""
    path = tmp_path / "modele.xlsx"
    write(path, import_type)
    book = load_workbook(path)
    names = [field.name for field in import_type.fields if not (field.register or field.detail)]
    book.worksheets[0].append(["x"] * len(names))
    book.save(path)

    source = open_source(path, import_type)

    assert source.header == names == header_line(import_type).split(";")
    assert list(source.mapping.values()) == names
    assert sum(map(len, source.chunks())) == 1
