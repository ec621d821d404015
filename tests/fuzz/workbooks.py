"""Workbooks whose parts are damaged and whose checksums are right: rows or a refusal."""

import io
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from schemas.import_types import ENTREPRISE
from tests.fix_files import zipped
from tests.fuzz.damage import DAMAGES, Damage, damaged
from tests.fuzz_reading import TAGS, read, seeds

_TAGS = st.lists(st.tuples(st.floats(0, 1), st.just("insert"), st.sampled_from(TAGS)), max_size=6)


@cache
def _books() -> list[dict[str, bytes]]:
    found = []
    for content in seeds():
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                found.append({name: archive.read(name) for name in archive.namelist()})
    return found


@cache
def _path() -> Path:
    return Path(tempfile.mkdtemp()) / "file"


@given(st.integers(0, 99), st.integers(0, 99), _TAGS, DAMAGES)
def fuzz_workbooks(book: int, part: int, tags: list[Damage], damages: list[Damage]) -> None:
    """One part of one workbook."""
    parts = dict(_books()[book % len(_books())])
    name = sorted(parts)[part % len(parts)]
    parts[name] = damaged(damaged(parts[name], tags), damages)
    _path().write_bytes(zipped(parts, level=1))
    read(_path(), ENTREPRISE)
