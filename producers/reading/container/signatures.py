"""Files that hold no table that is read, by their first bytes, and what such a file is in French.

Sources: "file", the magic database of file 5.46 (github.com/file/file, magic/Magdir); "PRONOM", the
registry of the National Archives (nationalarchives.gov.uk/pronom); or a specification by its name.
"""

from typing import NamedTuple

from producers.reading.refusals import SAVE_AS

EXTRACT = "extrayez-en les fichiers, puis envoyez le fichier CSV ou le classeur"
CHOOSE = "choisissez le fichier CSV ou le classeur qui contient vos données"
TARGET = "envoyez le fichier lui-même, celui vers lequel il mène"
EXPORT = "exportez la table au format CSV"


class Signature(NamedTuple):
    """`head` is `at` bytes from the beginning. `advice` says what an operator can do."""

    head: bytes
    found: str
    source: str
    advice: str = SAVE_AS
    at: int = 0


SIGNATURES = (
    Signature(b"%PDF-", "un document PDF", "ISO 32000-2, 7.5.2"),
    Signature(b"%!PS-", "un document PostScript", "file: printer"),
    Signature(b"\xdb\xa5-\0", "un document Word d'avant 1997", "file: msdos"),
    Signature(b"\xffWPC", "un document WordPerfect", "PRONOM x-fmt/44"),
    # Archives.
    Signature(b"Rar!\x1a\x07", "une archive RAR", "RAR 5.0 technical note", EXTRACT),
    Signature(b"7z\xbc\xaf", "une archive 7-Zip", "7zFormat.txt", EXTRACT),
    Signature(b"\xfd7zXZ", "une archive xz", "The .xz File Format, 2.1.1.1", EXTRACT),
    Signature(b"]\0\0", "une archive LZMA", "file: compress", EXTRACT),
    Signature(b"LZIP", "une archive lzip", "file: compress", EXTRACT),
    Signature(b"\x04\x22\x4d\x18", "une archive LZ4", "LZ4 Frame Format", EXTRACT),
    Signature(b"\x1f\x9d", "une archive compress (.Z)", "file: compress", EXTRACT),
    Signature(b"\x1f\xa0", "une archive compress (.Z)", "file: compress", EXTRACT),
    Signature(b"\xff\x06\0\0sNaPpY", "une archive Snappy", "Snappy framing format", EXTRACT),
    Signature(b"MSCF", "une archive CAB", "[MS-CAB] 2.1", EXTRACT),
    Signature(b"!<arch>", "une archive ar", "file: archive", EXTRACT),
    Signature(b"\x60\xea", "une archive ARJ", "file: archive", EXTRACT),
    Signature(b"-lh", "une archive LHA", "file: archive", EXTRACT, 2),
    Signature(b"**ACE**", "une archive ACE", "file: archive", EXTRACT, 7),
    Signature(
        b"\x06\t*\x86H\x86\xf7\r\x01\x07", "un fichier signé ou chiffré", "RFC 5652", EXTRACT, 4
    ),
    # Programs and images.
    Signature(
        b"MZ", "un programme Windows ou une archive auto-extractible", "[MS-DOS] MZ", EXTRACT
    ),
    Signature(b"\x7fELF", "un programme", "ELF 1.2", CHOOSE),
    Signature(b"\xca\xfe\xba\xbe", "un programme", "file: cafebabe", CHOOSE),
    Signature(b"\xcf\xfa\xed\xfe", "un programme", "file: mach", CHOOSE),
    Signature(b"#!/bin", "un script", "execve(2)", CHOOSE),
    Signature(b"#!/usr", "un script", "execve(2)", CHOOSE),
    Signature(b"\x89PNG", "une image", "ISO/IEC 15948", CHOOSE),
    Signature(b"\xff\xd8\xff", "une image", "ISO/IEC 10918-1", CHOOSE),
    Signature(b"GIF87a", "une image", "GIF 87a", CHOOSE),
    Signature(b"GIF89a", "une image", "GIF 89a", CHOOSE),
    Signature(b"II*\0", "une image", "TIFF 6.0", CHOOSE),
    Signature(b"MM\0*", "une image", "TIFF 6.0", CHOOSE),
    Signature(b"8BPS", "une image", "Adobe Photoshop File Formats", CHOOSE),
    Signature(b"\0\0\x01\0", "une image", "file: msdos", CHOOSE),
    Signature(b"RIFF", "une image, un son ou une vidéo", "file: riff", CHOOSE),
    Signature(b"ftyp", "une image ou une vidéo", "ISO/IEC 14496-12", CHOOSE, 4),
    Signature(b"\x1aE\xdf\xa3", "une vidéo", "RFC 8794", CHOOSE),
    Signature(b"OggS", "un son", "RFC 3533", CHOOSE),
    Signature(b"ID3", "un son", "id3.org 2.4.0", CHOOSE),
    # Shortcuts to another file, and files that accompany one.
    Signature(b"L\0\0\0\x01\x14\x02\0", "un raccourci Windows", "[MS-SHLLINK] 2.1", TARGET),
    Signature(b"bplist00", "une liste de propriétés Apple", "Apple, CFBinaryPList.c", CHOOSE),
    Signature(
        b"\0\x05\x16\x07", "un fichier annexe de macOS (« ._ »)", "RFC 1740, AppleDouble", CHOOSE
    ),
    # Data of other programs.
    Signature(b"PAR1", "un fichier Parquet", "Apache Parquet, file format", EXPORT),
    Signature(b"Obj\x01", "un fichier Avro", "Apache Avro 1.12, object container files", EXPORT),
    Signature(b"ORC", "un fichier ORC", "ORC Specification v1", EXPORT),
    Signature(b"ARROW1", "un fichier Arrow", "Arrow columnar format", EXPORT),
    Signature(b"FEA1", "un fichier Feather", "wesm/feather", EXPORT),
    Signature(b"\x89HDF", "un fichier HDF5", "HDF5 File Format 3.0", EXPORT),
    Signature(b"SQLite format 3\0", "une base SQLite", "sqlite.org/fileformat", EXPORT),
    Signature(b"Standard Jet DB", "une base Access", "file: database", EXPORT, 4),
    Signature(b"Standard ACE DB", "une base Access", "file: database", EXPORT, 4),
    Signature(b"PGDMP", "une sauvegarde PostgreSQL", "file: pgsql", EXPORT),
    Signature(b"$FL2", "un fichier SPSS", "PSPP developer guide, system file", EXPORT),
    Signature(b"<stata_dta>", "un fichier Stata", "Stata dta 118", EXPORT),
    Signature(b"\xc2\xea\x81\x60", "un fichier SAS", "file: sas7bdat", EXPORT, 12),
    Signature(b"RDX", "un fichier R", "R Internals, serialization", EXPORT),
    Signature(b"\x93NUMPY", "un fichier NumPy", "NumPy Enhancement Proposal 1", EXPORT),
    Signature(b"\x80\x04\x95", "un objet Python (pickle)", "PEP 3154", EXPORT),
    Signature(b"\x80\x05\x95", "un objet Python (pickle)", "PEP 574", EXPORT),
    # Spreadsheets of other programs.
    Signature(b"\0\0\x02\0", "un classeur Lotus 1-2-3 ou Quattro Pro", "file: lotus"),
    Signature(b"\0\0\x1a\0", "un classeur Lotus 1-2-3", "file: lotus"),
    Signature(b"\xff\0\x02\0\x04\x04", "un tableur Microsoft Works", "PRONOM x-fmt/271"),
    Signature(b"ustar", "une archive tar", "POSIX.1-2024, pax", EXTRACT, 257),
)

DOCUMENTS = (
    ("xl/workbook.bin", "un classeur Excel binaire (.xlsb)", "[MS-XLSB] 2.1.7.61"),
    ("word/document.xml", "un document Word", "ECMA-376, part 1, 11.3.10"),
    ("ppt/presentation.xml", "une présentation PowerPoint", "ECMA-376, part 1, 13.3.6"),
    ("visio/document.xml", "un dessin Visio", "[MS-VSDX] 2.2.1"),
    ("Index/Document.iwa", "un document Numbers, Pages ou Keynote", "PRONOM fmt/1441"),
    ("Index.zip", "un document Numbers, Pages ou Keynote", "PRONOM fmt/1440"),
    ("index.apxl", "un document Numbers, Pages ou Keynote", "PRONOM fmt/645"),
    ("META-INF/MANIFEST.MF", "un programme Java", "JAR File Specification"),
    ("AndroidManifest.xml", "une application Android", "file: archive"),
    ("doc.kml", "une carte KMZ", "OGC KML 2.3, 8"),
    ("maindoc.xml", "un document KOffice", "file: archive"),
)
"""ZIP archives that are documents: the name of a file in them, what it is, and the source."""

MIMETYPES = (
    (b"opendocument.text", "un document texte OpenDocument (.odt)"),
    (b"opendocument.presentation", "une présentation OpenDocument (.odp)"),
    (b"opendocument.graphics", "un dessin OpenDocument (.odg)"),
    (b"opendocument.database", "une base OpenDocument (.odb)"),
    (b"vnd.sun.xml.writer", "un document texte OpenOffice 1 (.sxw)"),
    (b"vnd.sun.xml.calc", "un classeur OpenOffice 1 (.sxc)"),
    (b"application/epub+zip", "un livre EPUB"),
)
"""What `mimetype`, the first part of such an archive, holds: OpenDocument 1.3, part 2, 3.3; EPUB 3.3, 4.2."""


_LETTERS = 5


def signature_of(head: bytes) -> Signature | None:
    """The signature that a file begins with, None if none.

    A header may begin with few letters ("ORCID"): these count only in a file that is not text.
    """
    binary = min(head, default=9) < 9  # a control character that does not occur in text
    return next(
        (
            one
            for one in SIGNATURES
            if head.startswith(one.head, one.at)
            and (binary or len(one.head) >= _LETTERS or not one.head.isascii())
        ),
        None,
    )
