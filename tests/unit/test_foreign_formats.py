"""Files of formats that are not read: the refusal says what the file is, by its content."""

import io
import zipfile
from pathlib import Path

import pytest

from producers.reading import RefusedError, open_source
from producers.reading.container.foreign_text import FORMS, HTML_TAGS
from producers.reading.container.signatures import DOCUMENTS, SIGNATURES
from schemas.import_types import ENTREPRISE
from tests.fix_files import COMPRESSIONS, zipped

TABLE = "<table><tr><th>siren</th><th>nom</th></tr><tr><td>732829320</td><td>Un</td></tr></table>"

TEXTS = {
    "<head><meta charset=utf-8></head>" + TABLE: "une page HTML",
    "<div>" + TABLE + "</div>": "une page HTML",
    "< div >" + TABLE: "une page HTML",
    "\r\n  <BODY>" + TABLE: "une page HTML",
    "<style>td{mso-number-format:'\\@'}</style>" + TABLE: "une page HTML",
    "<!-- export --><meta http-equiv='x'>" + TABLE: "une page HTML",
    "<font face=Arial>siren;nom</font>": "une page HTML",
    '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">' + TABLE: "une page HTML",
    '<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n<Workbook>': "classeur XML d'Excel",
    '<?xml version="1.0"?><office:document office:mimetype="x">': "OpenDocument à plat",
    '<?xml version="1.0"?><gnm:Workbook xmlns:gnm="x">': "Gnumeric",
    "<clients><client><siren>732829320</siren></client></clients>": "un document XML",
    '<?xml version="1.0"?><clients/>': "un document XML",
    "<OFX><SIGNONMSGSRSV1></SIGNONMSGSRSV1></OFX>": "OFX",
    "OFXHEADER:100\nDATA:OFXSGML\n": "OFX",
    "!Type:Bank\nD01/02/2026\n": "QIF",
    "MIME-Version: 1.0\nContent-Type: multipart/related; boundary=x\n\n--x\n": "MHTML",
    "From: <Enregistré>\nSubject: Clients\nContent-Type: multipart/related; type=x\n": "MHTML",
    "Return-Path: <a@example.fr>\nReceived: by x\nSubject: y\n\nsiren;nom\n": "un message électronique",
    "ID;PWXL;N;E\r\nP;PGeneral\r\nC;Y1;X1;K\"siren\"\r\n": "SYLK",
    "ID;PSCALC3\nB;Y2;X2\nC;X1;Y1;K\"siren\"\n": "SYLK",
    'TABLE\r\n0,1\r\n"EXCEL"\r\nVECTORS\r\n': "DIF",
    "socialcalc:version:1.5\nMIME-Version: 1.0\n": "SocialCalc",
    "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Un\r\nEND:VCARD\r\n": "vCard",
    "BEGIN:VCALENDAR\nVERSION:2.0\n": "un agenda",
    "version: 1\ndn: cn=Un,dc=fr\ncn: Un\n": "LDIF",
    "-- MySQL dump 10.13\n--\n-- Host: localhost\n": "un script SQL",
    "INSERT INTO clients (siren, nom) VALUES ('732829320', 'Un');\n": "un script SQL",
    "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n": "un script SQL",
    "CREATE TABLE clients (siren char(9));\n": "un script SQL",
    "[InternetShortcut]\r\nURL=https://example.fr/clients.xlsx\r\n": "un raccourci",
    '{"":"NE PAS MODIFIER","doc_id":"1abc","resource_key":"","email":"a@example.fr"}': "document Google",
    '{"url": "https://docs.google.com/open?id=1abc", "doc_id": "1abc"}': "document Google",
    "siren      nom      ville\n732829320  Un       Lyon\n": "rien ne sépare les colonnes",
    "{\\rtf1\\ansi siren nom}": "RTF",
}  # fmt: skip

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")


def refused(tmp_path: Path, content: bytes, name: str = "clients.csv") -> RefusedError:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RefusedError) as refusal:
        open_source(path, ENTREPRISE)
    return refusal.value


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:24])
def test_texts(tmp_path: Path, text: str, encoding: str) -> None:
    """Text of another format is refused by its name, in every encoding and with every file name."""
    reason = refused(tmp_path, text.encode(encoding))

    assert reason.code == "unsupported-format", reason.message
    assert TEXTS[text] in reason.message


@pytest.mark.parametrize("tag", sorted(HTML_TAGS))
def test_any_first_tag(tmp_path: Path, tag: str) -> None:
    """A fragment of a page is one, whatever its first element is."""
    assert "une page HTML" in refused(tmp_path, f"<{tag}>{TABLE}".encode(), "export.xls").message


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda one: f"{one.found} {one.head!r}")
def test_signatures(tmp_path: Path, signature: object) -> None:
    """Each entry of the table of signatures is found and named, and has a source."""
    one = next(known for known in SIGNATURES if known is signature)
    reason = refused(tmp_path, bytes(one.at).replace(b"\0", b"\x05") + one.head + b"\0\1" * 300)

    if one.head != b"ustar":  # a tar is an archive in an archive, or one by itself
        assert reason.code == "unsupported-format", reason.message
        assert one.found in reason.message
        assert one.advice in reason.message
    assert one.source


def dbase(version: int, columns: dict[str, int]) -> bytes:
    """As a table of dBase, FoxPro or a programme of the 1990s writes it."""
    fields = b"".join(
        name.encode().ljust(11, b"\0") + b"C" + bytes(4) + bytes([length]) + bytes(15)
        for name, length in columns.items()
    )
    head = 32 + len(fields) + 1
    width = 1 + sum(columns.values())
    start = bytes([version, 126, 1, 31]) + (1).to_bytes(4, "little")
    start += head.to_bytes(2, "little") + width.to_bytes(2, "little") + bytes(20)
    return start + fields + b"\r" + b" " * width + b"\x1a"


BINARIES = {
    "dBase III": (dbase(3, {"SIREN": 9, "NOM": 20}), "dBase"),
    "dBase IV with memo": (dbase(0x8B, {"RAISON_SOC": 40}), "dBase"),
    "FoxPro": (dbase(0x30, {"siren": 9}), "dBase"),
    "Access": (b"\0\1\0\0Standard ACE DB\0" + bytes(400), "Access"),
    "a program with an archive": (b"MZ" + bytes(600) + zipped({"a.csv": b"siren;nom\n"}), "programme"),
    "a tar": (b"a.csv".ljust(257, b"\0") + b"ustar\0" + bytes(250), "tar"),
    "an owner of Excel": (b"\4Paul".ljust(55) + b"\4\0" + "Paul".ljust(54).encode("utf-16-le"), "verrouillage"),
    "noise": (bytes(range(256)) * 8, "binaire"),
}  # fmt: skip


@pytest.mark.parametrize("name", BINARIES)
@pytest.mark.parametrize("file_name", ["clients.csv", "clients.xls"])
def test_binaries(tmp_path: Path, name: str, file_name: str) -> None:
    """The refusal of a file that is not text names its format."""
    content, words = BINARIES[name]
    reason = refused(tmp_path, content, file_name)

    assert words in reason.message
    assert reason.code in ("unsupported-format", "nested-archive")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one[0])
@pytest.mark.parametrize("wrap", [bytes, COMPRESSIONS["gzip"]], ids=["plain", "gzip"])
def test_documents_in_zip(tmp_path: Path, document: tuple[str, str, str], wrap: object) -> None:
    """ZIP archives that are documents are refused as these."""
    content = zipped({document[0]: b"x", "[Content_Types].xml": b"<Types/>"})
    packed = COMPRESSIONS["gzip"](content) if wrap is not bytes else content

    reason = refused(tmp_path, packed)

    assert (reason.code, document[1] in reason.message) == ("unsupported-format", True)


def test_open_documents(tmp_path: Path) -> None:
    """The first part of an OpenDocument says which kind it is."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", "<office:document-content/>")

    assert "(.odt)" in refused(tmp_path, target.getvalue(), "lettre.ods").message


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.xlsx", "a.csv.gz", "A.CSV"])
def test_json_by_another_name(tmp_path: Path, name: str) -> None:
    """An array of objects is read under its own name, and refused under that of a table."""
    content = b'[{"siren": "732829320", "nom": "Un"}]'
    packed = COMPRESSIONS["gzip"](content) if name.endswith(".gz") else content
    reason = refused(tmp_path, packed, name)

    assert reason.code == "unsupported-format"
    assert "JSON" in reason.message
    (tmp_path / "a.json").write_bytes(content)
    [[row]] = open_source(tmp_path / "a.json", ENTREPRISE).chunks()
    assert row.key == "732829320"


TABLES = [
    "ID;PAYS;SIREN;NOM\n1;FR;732829320;Un\n",
    "ORCID;siren;nom\nx;732829320;Un\n",
    "ID3;siren;nom\nx;732829320;Un\n",
    "MZ,siren,nom\nx,732829320,Un\n",
    "<siren>;<nom>\n732829320;Un\n",
    "<code>;<siren>;<nom>\n1;732829320;Un\n",
    "Date: création;siren;nom\nx;732829320;Un\n",
    "From,To,siren,nom\na,b,732829320,Un\n",
    "table;siren;nom\n0;732829320;Un\n",
    "RIFF;siren;nom\nx;732829320;Un\n",
    "{siren};nom\n732829320;Un\n",
    "siren\x01nom\n732829320\x01Un\n",
    "-- exporté le 1er mars\nsiren;nom\n732829320;Un\n",
    "# commentaire\nsiren;nom\n732829320;Un\n",
]


@pytest.mark.parametrize("text", TABLES, ids=lambda text: text[:12])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_are_tables(tmp_path: Path, text: str, encoding: str) -> None:
    """What begins nearly as another format does is not refused as one."""
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    code = None
    try:
        open_source(path, ENTREPRISE)
    except RefusedError as reason:
        code = reason.code

    assert code != "unsupported-format"


def test_patterns_are_bounded() -> None:
    """A form is decided by the first bytes of a file."""
    assert all(form.source and form.found for form in FORMS)
