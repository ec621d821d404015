"""Compressed files and archives of files."""

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pytest
from inflate64 import Deflater

from producers.reading import FileRow, Options, RefusedError, open_source
from producers.reading.container import archive as contents_module
from producers.reading.parts import candidates
from schemas.import_types import ENTREPRISE
from tests.fix_files import COMPRESSIONS, xls, xlsx, zipped

SIREN, OTHER = "732829320", "005520135"
TEXT = f"siren;nom\n{SIREN};Été\n".encode()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "fichier"
        path.write_bytes(content)
        return path

    return write


Write = Callable[[bytes], Path]


def rows_of(path: Path, sheet: str | None = None) -> list[FileRow]:
    source = open_source(path, ENTREPRISE, Options(sheet=sheet))
    return list(chain.from_iterable(source.chunks()))


def refused(path: Path) -> str:
    with pytest.raises(RefusedError) as refusal:
        rows_of(path)
    return refusal.value.code


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed(write: Write, name: str) -> None:
    """A compressed file reads like the file, several streams in a row like one."""
    compress = COMPRESSIONS[name]
    source = open_source(write(compress(TEXT)), ENTREPRISE)

    assert (source.compression, source.format, source.sheet) == (name, "csv", None)
    assert [row.record["nom"] for row in chain.from_iterable(source.chunks())] == ["Été"]
    two = compress(TEXT) + compress(f"{OTHER};B\n".encode())
    assert [row.line for row in rows_of(write(two))] == [2, 3]


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed_xlsx(write: Write, name: str) -> None:
    """A workbook may be compressed as well."""
    for content in (
        xlsx(["siren", "nom"], [SIREN, "A"]),
        xls(F=[["siren", "nom"], [SIREN, "A"]]),
    ):
        (row,) = rows_of(write(COMPRESSIONS[name](content)))

        assert (row.key, row.record["nom"]) == (SIREN, "A")


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_cut_short(write: Write, name: str) -> None:
    """An archive that ends too early is refused wherever it is cut."""
    lines = b"".join(b"%09d;Nom %d\n" % (number * 7919, number) for number in range(3000))
    content = COMPRESSIONS[name](b"siren;nom\n" + lines)
    for end in range(6, len(content) - 1, len(content) // 7):
        assert refused(write(content[:end])) == "broken-archive"


def test_several_files(write: Write) -> None:
    """The files of an archive are read in its order, each named where a sheet is."""
    archive = zipped(
        {
            "lisez-moi.txt": b"bonjour\n",
            "b/": b"",
            "b/nord.csv": TEXT,
            "__MACOSX/b/._nord.csv": b"\0\5",
            "a.csv": f"siren,nom\n{OTHER},B\n".encode("utf-16"),
            "c.xlsx": xlsx(["siren", "nom"], [SIREN, "C"]),
            "villes.csv": b"commune;cp;lat\nBrest;29200;48\n",
        }
    )
    source = open_source(write(archive), ENTREPRISE)

    assert source.sheet == "b/nord.csv, a.csv, c.xlsx/Sheet"
    assert source.skipped_sheets == source.other_sheets == ["lisez-moi.txt", "villes.csv"]
    assert (source.left_out, source.warnings) == ([], {"other-sheets": 2})
    assert [(row.sheet, row.line, row.record["nom"]) for row in rows_of(write(archive))] == [
        ("b/nord.csv", 2, "Été"),
        ("a.csv", 2, "B"),
        ("c.xlsx/Sheet", 2, "C"),
    ]
    assert [row.sheet for row in rows_of(write(archive), sheet="a.csv")] == ["a.csv"]
    assert [row.sheet for row in rows_of(write(archive), sheet="c.xlsx")] == ["c.xlsx/Sheet"]


def test_unknown_member(write: Write) -> None:
    """A file that the archive does not hold is refused, those that it holds being named."""
    with pytest.raises(RefusedError, match=r"« a\.csv »"):
        rows_of(write(zipped({"a.csv": TEXT})), sheet="b.csv")


def test_nothing_in_it(write: Write) -> None:
    """An archive without a file to import is refused for what its files lack."""
    assert refused(write(zipped({}))) == "empty-file"
    assert refused(write(zipped({"lisez-moi.txt": b"bonjour\n"}))) == "unknown-columns"
    assert refused(write(zipped({"a.csv": b"nom_commune;cp;lat\nA;35000;1\n"}))) == "wrong-type"


@pytest.mark.parametrize(
    "inner",
    [zipped({"a.csv": TEXT}), *(c(TEXT) for c in COMPRESSIONS.values())],
    ids=["zip", *COMPRESSIONS],
)
@pytest.mark.parametrize(
    "outer", [lambda c: zipped({"a": c}), *COMPRESSIONS.values()], ids=["zip", *COMPRESSIONS]
)
def test_nested(write: Write, inner: bytes, outer: Callable[[bytes], bytes]) -> None:
    """An archive within an archive is refused."""
    assert refused(write(outer(inner))) == "nested-archive"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name(write: Write) -> None:
    """An archive with two files of one name is refused: their rows could not be told apart."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("a.csv", TEXT)

    assert refused(write(target.getvalue())) == "broken-archive"


def test_tar(write: Write) -> None:
    """A tar within gzip is an archive within an archive."""
    tar = b"a.csv".ljust(257, b"\0") + b"ustar\0" + bytes(500)
    assert refused(write(COMPRESSIONS["gzip"](tar))) == "nested-archive"


def test_encrypted(write: Write) -> None:
    """An archive with a password is refused as such."""
    content = bytearray(zipped({"a.csv": TEXT}))
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flags] |= 1

    assert refused(write(bytes(content))) == "encrypted-archive"


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_bomb(write: Write, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What inflates to much more than any export does is refused on the way."""
    monkeypatch.setattr(contents_module, "INFLATED_FREELY", 16 << 20)
    # Repetitions as short as a name of three letters cost bzip2 five seconds.
    line = b"%s;%s\n" % (SIREN.encode(), b"x" * 1000)
    content = COMPRESSIONS[name](b"siren;nom\n" + line * ((20 << 20) // len(line)))

    assert refused(write(content)) == "too-large"


def test_bomb_of_entries(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many entries, or entries of a great total, are refused before any is read."""
    assert refused(write(zipped({f"{number}.csv": b"" for number in range(1001)}))) == "too-large"
    monkeypatch.setattr(contents_module, "INFLATED_FREELY", 5 << 20)
    members = {f"{number}.csv": b"siren;nom\n" + bytes(1 << 20) for number in range(6)}
    assert refused(write(zipped(members))) == "too-large"


def test_lying_directory(write: Write) -> None:
    """A member that states another size than it has is broken, not trusted."""
    content = zipped({"a.csv": TEXT * 1000})
    size = (len(TEXT) * 1000).to_bytes(4, "little")
    assert size in content

    assert refused(write(content.replace(size, (100).to_bytes(4, "little")))) == "broken-archive"


def test_damage(write: Write) -> None:
    """A flipped byte in the data of an archive never gives other rows."""
    content = zipped({"a.csv": b"siren;nom\n" + b"%s;Nom\n" % SIREN.encode() * 50})
    whole = [row.cells for row in rows_of(write(content))]
    start = content.index(b"a.csv") + 5
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = archive.infolist()[0].compress_size
    for at in range(start, start + size):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        with suppress(RefusedError):
            assert [row.cells for row in rows_of(write(bytes(damaged)))] == whole


_MEMORY = """
import resource, sys
from pathlib import Path
from producers.reading import open_source
from schemas.import_types import ENTREPRISE
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(map(len, open_source(Path(sys.argv[1]), ENTREPRISE).chunks()))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("name", ["gzip", "zip"])
def test_memory_is_flat(write: Write, name: str) -> None:
    """Reading 40 MB out of an archive takes no more than 24 MiB on top of what Python takes."""
    line = f"{SIREN};{'Établissement ' * 10}\n".encode()
    text = b"siren;nom\n" + line * (40_000_000 // len(line))
    path = write(zipped({"a.csv": text}) if name == "zip" else COMPRESSIONS[name](text))

    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, path], capture_output=True, text=True, check=True
    )
    rows, kibibytes = map(int, done.stdout.split())

    assert rows > 200_000
    assert kibibytes < 24 << 10


def test_files_of_a_register(write: Write) -> None:
    """Those of SIRENE have columns of their own, and are one table of all columns."""
    units = "siren;denominationUniteLegale;dateDernierTraitementUniteLegale;nomenclatureActivitePrincipaleUniteLegale;activitePrincipaleUniteLegale\n"
    seats = "siren;etablissementSiege;dateDernierTraitementEtablissement;siret;activitePrincipaleEtablissement\n"
    archive = zipped(
        {
            "seats.csv": f"{seats}{SIREN};true;2026-01-02;{SIREN}00013;62.02A\n".encode(),
            "units.csv": f"{units}{SIREN};ACME;2026-01-01;NAP;7703;;\n{SIREN};ACME\n".encode(),
            "others.csv": f"siren;nom;cp\n{SIREN};B;3\n".encode(),
        }
    )
    source = open_source(write(archive), ENTREPRISE)
    [seat], [unit, short] = source.chunks()

    assert [(one.name, one.rows) for one in source.left_out] == [("others.csv", 1)]
    assert source.header == list(dict.fromkeys((seats + units).replace("\n", ";").split(";")))[:-1]
    assert (seat.record["nom"], seat.record["etablissement_siege"]) == (None, True)
    assert (seat.record["siret"], seat.record["source_date"]) == (f"{SIREN}00013", "2026-01-02")
    assert (unit.record["nom"], unit.record["etablissement_siege"]) == ("ACME", None)
    assert (unit.record["naf_code"], unit.warnings) == (None, ["other-nomenclature"])
    assert (short.record["nom"], short.faults) == ("ACME", [])


def deflate64(members: dict[str, bytes]) -> bytes:
    """An archive as Windows Explorer writes it beyond 2 GB."""
    content = bytearray()
    directory = bytearray()
    for name, text in members.items():
        deflater = Deflater()
        packed = deflater.deflate(text) + deflater.flush()
        facts = struct.pack("<HHHHHIIIHH", 20, 0, 9, 0, 0x21, zlib.crc32(text), len(packed), len(text), len(name), 0)  # fmt: skip
        at = len(content)
        content += b"PK\x03\x04" + facts + name.encode() + packed
        directory += b"PK\x01\x02\x14\0" + facts + bytes(10) + struct.pack("<I", at) + name.encode()
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(content), 0)
    return bytes(content + directory + b"PK\x05\x06" + end)


def test_deflate64(write: Write) -> None:
    """Its members are read, a workbook too; a flipped byte never gives other rows."""
    text = b"siren;nom\n" + b"".join(b"%s;Nom %d\n" % (SIREN.encode(), n) for n in range(300))
    book = xlsx(["siren", "nom"], [OTHER, "B"])
    content = deflate64({"a.csv": text, "b.xlsx": book})

    rows = rows_of(write(content))
    assert [row.sheet for row in rows] == ["a.csv"] * 300 + ["b.xlsx/Sheet"]
    assert [row.record["nom"] for row in rows[:300]] == [f"Nom {n}" for n in range(300)]
    cells = [row.cells for row in rows]
    start = content.index(b"a.csv") + 5
    for at in range(start, start + 600, 7):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        with suppress(RefusedError):
            assert [row.cells for row in rows_of(write(bytes(damaged)))] == cells


def test_deflate64_that_lies(write: Write) -> None:
    """Data that is not as long or not as the directory states is broken."""
    content = deflate64({"a.csv": TEXT * 100})
    size = (len(TEXT) * 100).to_bytes(4, "little")
    crc = zlib.crc32(TEXT * 100).to_bytes(4, "little")
    assert refused(write(content.replace(size, (100).to_bytes(4, "little")))) == "broken-archive"
    assert refused(write(content.replace(crc, b"\1\2\3\4"))) == "broken-archive"


@pytest.mark.parametrize(("method", "words"), [(93, "Zstandard"), (98, "PPMd"), (42, "méthode 42")])
def test_methods_that_are_not_read(write: Write, method: int, words: str) -> None:
    """The refusal names the compression: the archive is not damaged."""
    content = bytearray(zipped({"a.csv": TEXT}))
    for header, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(header) + place] = method
    with pytest.raises(RefusedError, match=words) as refusal:
        rows_of(write(bytes(content)))

    assert refusal.value.code == "unsupported-compression"


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("surplus", [b"garbage", b"x", b"\0\0x", b"\x1f", b"\r\n"])
def test_bytes_after_the_last_stream(write: Write, name: str, surplus: bytes) -> None:
    """They are left out as gunzip does, with a warning: a damaged stream looks the same."""
    compress = COMPRESSIONS[name]
    source = open_source(
        write(compress(TEXT) + compress(f"{OTHER};B\n".encode()) + surplus), ENTREPRISE
    )

    assert [row.key for row in chain.from_iterable(source.chunks())] == [SIREN, OTHER]
    assert source.warnings == {"trailing-bytes": 1}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_zeros_after_the_last_stream(write: Write, name: str) -> None:
    """They fill up a block of a tape: nothing is missing."""
    source = open_source(write(COMPRESSIONS[name](TEXT) + bytes(100_000)), ENTREPRISE)

    assert (len(list(source.chunks())), source.warnings) == (1, {})


PREFIXES = (b"\r\n", b"\xef\xbb\xbf", b"\n\n<br />\n<b>Warning</b>: x in /a.php\n", b"   ")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_something_before_it(write: Write, prefix: bytes) -> None:
    """What a script printed before a workbook or an archive is passed over."""
    books = [xlsx(["siren", "nom"], [SIREN, "A"]), zipped({"a.csv": f"siren;nom\n{SIREN};A\n".encode()})]  # fmt: skip
    if not prefix.strip(b"\xef\xbb\xbf\r\n "):
        books.append(xls(F=[["siren", "nom"], [SIREN, "A"]]))
    for content in books:
        assert [row.record["nom"] for row in rows_of(write(prefix + content))] == ["A"]


@pytest.mark.parametrize(
    ("raw", "name"),
    [("données_été.csv".encode(), "données_été.csv"), ("ÉTÉ.csv".encode("cp850"), "ÉTÉ.csv")],
)
def test_names_without_a_mark(write: Write, raw: bytes, name: str) -> None:
    """macOS writes names in UTF-8 without saying so, French Windows in code page 850."""
    content = zipped({"x" * len(raw): TEXT}).replace(b"x" * len(raw), raw)

    assert [row.sheet for row in rows_of(write(content))] == [name]


@pytest.mark.parametrize("member", [b"siren;nom\n", b"\xff\xfe"])
def test_nothing_is_left_behind(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: bytes
) -> None:
    """A workbook in an archive is written to a temporary file, which is gone after a refusal too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(candidates, "INFLATED_BYTES", 1 << 20)
    large = xlsx(["siren", "nom"], [SIREN, "A"]) + bytes(2 << 20)

    assert refused(write(zipped({"a.xlsx": large, "b.csv": member}))) == "too-large"
    assert refused(write(COMPRESSIONS["gzip"](large))) == "too-large"
    assert list(folder.iterdir()) == []
