"""What holds for any table, and for any bytes."""

import csv
import io
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from producers.reading import Options, open_source
from schemas.import_types import ENTREPRISE
from tests import fuzz_reading
from tests.examples import examples
from tests.fix_files import COMPRESSIONS, zipped

SIREN = "732829320"

_FREE = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_ENCODINGS = ["utf-8", "utf-8-sig", "cp1252", "utf-16"]
_PACKINGS = {"plain": bytes, "zip": lambda text: zipped({"a.csv": text}), **COMPRESSIONS}

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_latin = st.text(st.sampled_from("aé€œ’ ;,\t|\"'\n=@-+0"), max_size=12)


@_FREE
@given(
    st.lists(st.tuples(_texts | _latin, _texts | _latin), max_size=30),
    st.sampled_from(",;\t|:^"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(_ENCODINGS),
    st.sampled_from(list(_PACKINGS)),
)
def test_any_table_reads_back(
    tmp_path: Path,
    cells: list[tuple[str, str]],
    delimiter: str,
    end: str,
    quoting: int,
    encoding: str,
    packing: str,
) -> None:
    """Any table in any dialect, encoding, quoting and compression reads back as it was written."""
    # So that no text in Windows-1252 is UTF-8 by chance.
    table = [("Été", "premier"), *cells]
    if quoting == csv.QUOTE_MINIMAL:
        # The module leaves line ends other than the dialect's unquoted.
        assume(not any("\r" in cell or "\n" in cell for row in table for cell in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([["siren", "nom", "adresse"], *([SIREN, *row] for row in table)])
    try:
        content = text.getvalue().encode(encoding)
    except UnicodeEncodeError:
        assume(False)
        raise
    path = tmp_path / "table"
    path.write_bytes(_PACKINGS[packing](content))
    told = delimiter if delimiter in ":^" else None

    source = open_source(path, ENTREPRISE, Options(delimiter=told))
    rows = list(chain.from_iterable(source.chunks()))

    assert source.delimiter == delimiter
    assert [row.cells for row in rows] == [[SIREN, *row] for row in table]
    line = 2
    for row, written in zip(rows, table, strict=True):
        assert row.line == line
        joined = "".join(written)
        line += 1 + joined.count("\n") + joined.count("\r") - sum(c.count("\r\n") for c in written)


@pytest.mark.parametrize("start", range(0, 1200, 100))
def test_any_bytes(tmp_path: Path, start: int) -> None:
    """Noise, damaged files of every format and rewritten workbooks give rows or a refusal.

    The same cases as `python -m tests.fuzz_reading` begins with; it runs a million.
    """
    for number in range(start, start + 100):
        content, import_type = fuzz_reading.case(0, number)
        (tmp_path / "octets").write_bytes(content)
        fuzz_reading.read(tmp_path / "octets", import_type)


def test_cases_are_of_every_kind(tmp_path: Path) -> None:
    """The cases reach rows, and most of the refusals that bytes alone can bring."""
    ends = set()
    for number in range(1200):
        content, import_type = fuzz_reading.case(1, number)
        (tmp_path / "octets").write_bytes(content)
        ends.add(fuzz_reading.read(tmp_path / "octets", import_type))

    assert ends >= {
        "rows", "no-rows", "empty-file", "broken-workbook", "broken-archive", "unknown-columns",
        "missing-label", "doubtful-encoding",
    }  # fmt: skip
