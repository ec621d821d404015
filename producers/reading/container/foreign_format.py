"""Whether a file is of a format that is not read: a refusal that says which, and what to do."""

import codecs
import zipfile

from producers.reading.container.foreign_text import Foreign, foreign_text, utf_16_of
from producers.reading.container.signatures import (
    CHOOSE,
    DOCUMENTS,
    MIMETYPES,
    signature_of,
)
from producers.reading.refusals import SAVE_AS, RefusedError, refusal

HEAD = 4096
"""Bytes by which a format is recognised."""

_DBASE_VERSIONS = bytes.fromhex("02030405 3031 32 43 63 7b 83 87 8b 8c 8e cb e5 eb f5 fb")
_DBASE_TYPES = b"CNDLMFBGPYTIVX@O+0QW"
_DESCRIPTOR = 32

# Text has none of these but tab, line ends, page breaks and separators of fields.
_CONTROLS = bytes({*range(32)} - {*b"\x01\t\n\x0b\x0c\r\x1a\x1b\x1c\x1d\x1e\x1f"})
_DISTINCT = 8
_LEAST = 64
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def check_format(head: bytes) -> None:
    """Raises RefusedError if a file that begins with these bytes is of a format that is not read."""
    known = signature_of(head)
    if known is not None:
        raise unsupported(known.found, known.advice)
    found = _dbase(head) or _owner(head) or foreign_text(head) or _binary(head)
    if found is not None:
        raise unsupported(found.found, found.advice)


def unsupported(found: str, advice: str = SAVE_AS) -> RefusedError:
    """The refusal of what `found` names."""
    return refusal("unsupported-format", found=found, advice=advice)


def check_document(archive: zipfile.ZipFile) -> None:
    """Raises RefusedError if the archive is a document that holds no table that is read."""
    names = set(archive.namelist())
    if any(name.endswith("/xl/workbook.xml") for name in names):
        raise unsupported(
            "le dossier d'un classeur Excel décompressé",
            "envoyez le classeur lui-même, au format .xlsx",
        )
    mimetype = b""
    if "mimetype" in names:
        with archive.open("mimetype") as part:
            mimetype = part.read(_MIMETYPE)
    for kind, found in MIMETYPES:
        if kind in mimetype:
            raise unsupported(found)
    for name, found, _ in DOCUMENTS:
        if name in names:
            raise unsupported(found)


_MIMETYPE = 100


def _dbase(head: bytes) -> Foreign | None:
    """By its version, the date of its last change and its first column.

    Source: dBASE .DBF file structure, dbase.com/Knowledgebase/INT/db7_file_fmt.htm.
    """
    if len(head) < 2 * _DESCRIPTOR or head[0] not in _DBASE_VERSIONS:
        return None
    length = int.from_bytes(head[8:10], "little")
    column = head[_DESCRIPTOR : 2 * _DESCRIPTOR]
    name = column[:11].split(b"\0")[0]
    sound = head[2] <= 12 and head[3] <= 31 and length > _DESCRIPTOR
    if (
        sound
        and name.isascii()
        and name.replace(b"_", b"").isalnum()
        and column[11] in _DBASE_TYPES
    ):
        return Foreign("une table dBase (.dbf)", SAVE_AS)
    return None


def _owner(head: bytes) -> Foreign | None:
    """What Office keeps beside an open document: who opened it, in 54 bytes and again in UTF-16.

    Source: PRONOM fmt/473; the length varies by program.
    """
    length = head[0] if head else 0
    name = head[1 : 1 + length]
    padding = head[1 + length : _NAME]
    if 0 < length < _NAME and len(head) in _OWNERS and not padding.strip(b" \0") and name.strip():
        return Foreign("le fichier de verrouillage d'un classeur ouvert (« ~$ »)", CHOOSE)
    return None


_NAME = 1 + 54
_OWNERS = (162, 165, 171)


def _binary(head: bytes) -> Foreign | None:
    """A file with many different bytes that do not occur in text in any encoding."""
    if len(head) < _LEAST or head[:2] in _UTF_16 or utf_16_of(head):
        return None
    controls = [byte for byte in head if byte in _CONTROLS]
    if len(set(controls)) >= _DISTINCT and len(controls) * 20 >= len(head):
        return Foreign("un fichier binaire de format inconnu", CHOOSE)
    return None
