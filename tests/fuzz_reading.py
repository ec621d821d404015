"""Bytes of every kind against the reader: each file gives rows or a refusal, in bounded time.

    python -m tests.fuzz_reading [--cases 1000000] [--seed 0]

A case follows from the seed and its number alone: --only NUMBER repeats one. Cases run in a
process with little memory, so that what would take too much ends it; the number of the case that
ended or held up the process is told, and the exit code is 1.
"""

import argparse
import faulthandler
import io
import os
import random
import resource
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import openpyxl

from producers.reading import RefusedError, open_source
from schemas.import_types import IMPORT_TYPES, ImportType
from tests.fix_files import COMPRESSIONS, ods, ods_rows, xls, zipped

SECONDS = 60
MEMORY_BYTES = 3 << 30

_PIECES = [
    b"siren", b"nom", b"siret", b"Villes", b"cp", b"lat", b"coordonnees_gps", b"732829320",
    b"A (1400)", b"inf", b"-1", b"1e999", b"#REF!", b"&amp;", b"PK\x03\x04", b"\x1f\x8b\x08",
    b"BZh9", b"\x28\xb5\x2f\xfd", b"\xd0\xcf\x11\xe0", b",", b";", b"\t", b"|", b'"', b'""', b"\n",
    b"\r", b"\r\n", b" ", b"\0", b"\xe9", b"\xc3\xa9", b"\xc2\xa0", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\x81", b"sep=;\n", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
]  # fmt: skip

TAGS = [
    b'<row r="2">', b"</row>", b"<row>", b'<c r="B2" t="s">', b"<v>1</v>", b"</c>", b"<c>",
    b'<c r="A1" t="b">', b'<c r="XFD1048576">', b'<c t="e">', b"<v>#REF!</v>", b"<f>1/0</f>",
    b"<f/>", b"&", b"<", b'<mergeCell ref="A1:A9"/>', b"</sheetData>", b'<row hidden="1">',
    b"<table:table-row>", b"</table:table-row>", b"<table:table-cell/>",
    b'<table:table-cell table:number-columns-repeated="99999"/>',
    b'<table:table-row table:number-rows-repeated="1048576">',
    b'<table:table-cell office:value-type="float" office:value="x"/>',
    b'<text:s text:c="999999999"/>', b'<table:table table:name="X">', b"</table:table>",
]  # fmt: skip

_ROWS: list[list[object]] = [
    ["siren", "nom", "cp", "lat"],
    ["732829320", "Été", 1000, 48.1],
    [5520135, "B\nbis", None, "x"],
    [None, "C", "35000", True],
]


@cache
def seeds() -> list[bytes]:
    """Sound files of every format."""
    text = "siren;nom;cp\n732829320;Été;1000\n;B;\n"
    texts = [text.encode(encoding) for encoding in ("utf-8", "utf-8-sig", "cp1252", "utf-16")]
    texts.append(b"Villes\nL Abergement (1400)\nRennes (35000)\n")
    texts.append(b'nom,code_postal,coordonnees_gps\nRennes,35000,"48.1,-1.6"\n')
    book = openpyxl.Workbook()
    for row in _ROWS:
        book.active.append(row)
    book.active.merge_cells("C2:C4")
    target = io.BytesIO()
    book.save(target)
    books = [target.getvalue(), xls(F=_ROWS, G=_ROWS[:2]), ods({"F": ods_rows(_ROWS)})]
    archives = [compress(texts[0]) for compress in COMPRESSIONS.values()]
    archives += [zipped({"a.csv": texts[0], "b.csv": texts[2]}), zipped({"a.xlsx": books[0]})]
    return texts + books + archives


def case(seed: int, number: int) -> tuple[bytes, ImportType]:
    """The bytes of a case, and the type that they are read as."""
    draw = random.Random(f"{seed}/{number}")
    types = list(IMPORT_TYPES.values())
    return draw.choice(_KINDS)(draw), types[number % len(types)]


def _noise(draw: random.Random) -> bytes:
    return draw.randbytes(draw.randrange(400))


def _pieces(draw: random.Random) -> bytes:
    head = draw.choice([b"", b"siren;nom\n", b"nom,cp,lat,population,codes_postaux\n"])
    return head + b"".join(draw.choices(_PIECES, k=draw.randrange(60)))


def _damaged(draw: random.Random) -> bytes:
    return _damage(draw, bytearray(draw.choice(seeds())))


def _damage(draw: random.Random, content: bytearray) -> bytes:
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at = draw.randrange(len(content) + 1)
        match draw.randrange(6):
            case 0 | 1:
                content[at : at + 1] = draw.randbytes(1)
            case 2:
                del content[at : at + draw.choice((1, 2, 4, 64, 4096))]
            case 3:
                content[at:at] = draw.choice(_PIECES)
            case 4:
                content[at : at + 4] = draw.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\0\0\0"))
            case _:
                start = draw.randrange(len(content) + 1)
                content[at:at] = content[start : start + draw.randrange(600)]
    return bytes(content)


def _rewritten(draw: random.Random) -> bytes:
    """A workbook or archive whose parts are damaged, and its checksums right."""
    whole = draw.choice([content for content in seeds() if content.startswith(b"PK")])
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(list(parts))
    if draw.random() < 0.5:
        parts[name] = _damage(draw, bytearray(parts[name]))
    else:
        at = draw.randrange(len(parts[name]) + 1)
        tags = b"".join(draw.choices(TAGS, k=draw.randrange(1, 8)))
        parts[name] = parts[name][:at] + tags + parts[name][at:]
    return zipped(parts, level=1)


def _compressed(draw: random.Random) -> bytes:
    compress: Callable[[bytes], bytes] = draw.choice(list(COMPRESSIONS.values()))
    return compress(_damaged(draw) if draw.random() < 0.5 else _pieces(draw))


_KINDS = [
    _noise,
    _pieces,
    _pieces,
    _damaged,
    _damaged,
    _damaged,
    _rewritten,
    _rewritten,
    _compressed,
]


def read(path: Path, import_type: ImportType) -> str:
    """Reads the file; says how that ended. Raises whatever is no refusal, and AssertionError."""
    rows = 0
    try:
        source = open_source(path, import_type)
        names, last = set(import_type.field), ("", 0)
        details = {field.name for field in import_type.fields if field.detail}
        for chunk in source.chunks():
            assert 0 < len(chunk) <= 1000
            for row in chunk:
                rows += 1
                place = (row.sheet or "", row.line)
                assert place[0] != last[0] or place > last, (place, last)
                assert names - details <= set(row.record) <= names
                assert row.key is None or isinstance(row.key, str)
                assert all(isinstance(cell, str) for cell in row.cells)
                last = place
    except RefusedError as refusal:
        return refusal.code
    return "rows"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.only is not None:
        told.first, told.cases = told.only, 1
    if told.child is not None:
        _run(told.seed, range(told.first, told.first + told.cases), told.child)
        return 0
    return _supervise(told.seed, told.first, told.cases)


_AT_A_TIME = 20_000


def _supervise(seed: int, first: int, cases: int) -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        for start in range(first, first + cases, _AT_A_TIME):
            count = min(_AT_A_TIME, first + cases - start)
            command = [sys.executable, "-m", "tests.fuzz_reading", "--seed", str(seed)]
            command += ["--first", str(start), "--cases", str(count), "--child", directory]
            done = subprocess.run(command, check=False)
            if done.returncode != 0:
                failed += 1
                at = (Path(directory) / "number").read_text()
                print(f"case {at} of seed {seed} ended the process: {done.returncode}", flush=True)
    print(f"{cases} cases from {first} of seed {seed}: {failed} failed", flush=True)
    return 1 if failed else 0


def _run(seed: int, numbers: range, directory: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    ends: Counter[str] = Counter()
    path = directory / "file"
    number_file = os.open(directory / "number", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    for number in numbers:
        os.pwrite(number_file, f"{number:<12}".encode(), 0)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        content, import_type = case(seed, number)
        path.write_bytes(content)
        ends[read(path, import_type)] += 1
    faulthandler.cancel_dump_traceback_later()
    print(numbers.start, dict(ends.most_common()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
