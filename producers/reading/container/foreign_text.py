"""Text files that hold no table that is read, by how they begin, and what such a file is in French.

Content decides and not the name, so that each form is one that no delimited table has.
"""

import codecs
import re
from collections.abc import Mapping
from typing import NamedTuple

from producers.reading.container.signatures import CHOOSE, EXPORT, TARGET
from producers.reading.refusals import SAVE_AS

HTML = "une page HTML"
_CALENDAR = "exportez les fiches au format CSV"


class TextForm(NamedTuple):
    """What a text is that `begins` so. `advice` is what an operator can do."""

    begins: re.Pattern[str]
    found: str
    source: str
    advice: str = SAVE_AS


FORMS = (
    TextForm(
        re.compile(r"ID;P[^\r\n]*\r?\n(?:(?:[BCFOPWE]|NN|NU|NE|NL);[^\r\n]*\r?\n)"),
        "une feuille SYLK (.slk)",
        "Microsoft Multiplan SYLK file format, 1986",
    ),
    TextForm(
        re.compile(r"TABLE\r?\n0,1\r?\n", re.IGNORECASE),
        "une feuille DIF",
        "Data Interchange Format, Software Arts 1980",
    ),
    TextForm(
        re.compile(r"socialcalc:version:|# SocialCalc\b"),
        "un tableau SocialCalc",
        "SocialCalc save format",
    ),
    TextForm(re.compile(r"\{\\rtf"), "un document RTF", "Rich Text Format 1.9.1"),
    TextForm(re.compile(r"<\?php\b"), "un script PHP", "PHP manual, tags", CHOOSE),
    TextForm(re.compile(r"BEGIN:VCARD\b", re.IGNORECASE), "un carnet vCard", "RFC 6350", _CALENDAR),
    TextForm(re.compile(r"BEGIN:VCALENDAR\b", re.IGNORECASE), "un agenda", "RFC 5545", _CALENDAR),
    TextForm(re.compile(r"(?:version: *1\r?\n)?dn::? "), "un annuaire LDIF", "RFC 2849", _CALENDAR),
    TextForm(
        re.compile(r"OFXHEADER\s*:", re.IGNORECASE), "un relevé bancaire (OFX)", "OFX 1.6, 2.2"
    ),
    TextForm(
        re.compile(r"!Type:|!Account"), "un relevé bancaire (QIF)", "Quicken Interchange Format"
    ),
    TextForm(
        re.compile(
            r"(?:insert\s+into|create\s+(?:table|database|schema)|drop\s+table|start\s+transaction|"
            r"pragma\s+foreign_keys|set\s+(?:names|sql_mode|statement_timeout)|"
            r"(?:--[ \t]*\r?\n)?-- (?:mysql|mariadb|postgresql|phpmyadmin|adminer|host:|dump|table)|/\*!\d{5})\b",
            re.IGNORECASE,
        ),
        "un script SQL",
        "ISO/IEC 9075; mysqldump, pg_dump and phpMyAdmin",
        EXPORT,
    ),
    TextForm(
        re.compile(r"-----BEGIN [A-Z ]{1,40}-----"), "un certificat ou un message", "RFC 7468"
    ),
    TextForm(re.compile(r"\\documentclass|\\begin\{"), "un document LaTeX", "LaTeX2e"),
    TextForm(
        re.compile(r"%YAML |(?:---\r?\n)?- [A-Za-z_-]{1,40}: |---\r?\n[A-Za-z_-]{1,40}:[ \r\n]"),
        "un document YAML",
        "YAML 1.2.2",
    ),
    TextForm(
        re.compile(r"version https://git-lfs\.github\.com/spec/"),
        "un pointeur Git LFS, sans les données",
        "Git LFS specification",
        TARGET,
    ),
    TextForm(re.compile(r"\[InternetShortcut\]"), "un raccourci", "shell32, .url files", TARGET),
    TextForm(
        re.compile(r'\{[^{}]{0,300}"doc_id" ?:'),
        "un raccourci vers un document Google",
        "Google Drive for desktop, .gsheet files",
        "téléchargez le document au format .xlsx ou CSV",
    ),
    TextForm(re.compile(r"@relation\s", re.IGNORECASE), "un fichier ARFF", "Weka"),
)

_BEGINNINGS = [form.begins for form in FORMS]

_MAIL_FIELDS = (
    "MIME-Version|Received|Return-Path|Delivered-To|Message-ID|From|To|Date|Subject|Content-Type|"
    "X-[A-Za-z-]{1,40}|Reply-To|DKIM-Signature|Snapshot-Content-Location"
)
_MAIL = re.compile(
    rf"(?:From [^\r\n]*\r?\n)?(?:{_MAIL_FIELDS}) ?: ?[^\r\n]*\r?\n(?:[ \t]|[A-Za-z-]{{2,40}}: ?)",
    re.IGNORECASE,
)
_TAG = re.compile(r"<\s*([!?]?[A-Za-z_][A-Za-z0-9_.:-]*)[^<>]*(?:>\s*(.?)|$)", re.DOTALL)

HTML_TAGS = frozenset(
    [
        "a",
        "abbr",
        "address",
        "area",
        "article",
        "aside",
        "b",
        "base",
        "big",
        "blockquote",
        "body",
        "br",
        "button",
        "caption",
        "center",
        "code",
        "col",
        "colgroup",
        "dd",
        "div",
        "dl",
        "dt",
        "em",
        "fieldset",
        "font",
        "footer",
        "form",
        "frameset",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "head",
        "header",
        "hr",
        "html",
        "i",
        "iframe",
        "img",
        "input",
        "label",
        "li",
        "link",
        "main",
        "map",
        "meta",
        "nav",
        "noscript",
        "object",
        "ol",
        "option",
        "p",
        "pre",
        "script",
        "section",
        "select",
        "small",
        "span",
        "strong",
        "style",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "textarea",
        "tfoot",
        "th",
        "thead",
        "title",
        "tr",
        "tt",
        "u",
        "ul",
    ]
)
"""HTML Living Standard, 4, and the elements that it makes obsolete."""

DIALECTS: Mapping[str, tuple[str, str]] = {
    "urn:schemas-microsoft-com:office:spreadsheet": (
        "un classeur XML d'Excel 2003",
        "[MS-OE376]; XML Spreadsheet Reference",
    ),
    'progid="excel.sheet"': ("un classeur XML d'Excel 2003", "XML Spreadsheet Reference"),
    "<office:document": (
        "un document OpenDocument à plat (.fods)",
        "OpenDocument 1.3, part 3, 3.1",
    ),
    "<gnm:workbook": ("un classeur Gnumeric", "Gnumeric, file format"),
    "<pkg:package": ("un document Word en XML", "ECMA-376, part 2, annex E"),
    "<ofx": ("un relevé bancaire (OFX)", "OFX 2.2"),
    '<document xmlns="urn:iso:std:iso:20022': ("un relevé bancaire (XML)", "ISO 20022"),
    "<svg": ("une image", "SVG 2"),
    "<kml": ("une carte KML", "OGC KML 2.3"),
    "<gpx": ("une trace GPX", "GPX 1.1"),
    "<rss": ("un flux RSS", "RSS 2.0.11"),
    "<plist": ("une liste de propriétés Apple", "Apple, PropertyList-1.0.dtd"),
    "<html": (HTML, "XHTML 1.0"),
}
"""XML formats by a word near the beginning of the file, in lower case, and the source."""


class Foreign(NamedTuple):
    """What a file is that is not read, and what an operator can do."""

    found: str
    advice: str


def foreign_text(head: bytes) -> Foreign | None:
    """What the file is that begins with these bytes; None if it may be a table."""
    text = text_of(head).lstrip("\ufeff\u200b \t\r\n\f\0")
    for form, begins in zip(FORMS, _BEGINNINGS, strict=True):
        if begins.match(text):
            return Foreign(form.found, form.advice)
    return _markup(text) or _mail(text)


def text_of(head: bytes) -> str:
    """The head as text of the encoding that its first bytes show, by default Latin-1."""
    for bom, encoding in _ENCODINGS.items():
        if head.startswith(bom):
            return head.decode(encoding, "replace")
    return head.decode(utf_16_of(head) or "latin-1", "replace")


def utf_16_of(head: bytes) -> str | None:
    """The form of UTF-16 that Latin text without a mark is in: every second byte is 0."""
    for start, encoding in enumerate(("utf-16-be", "utf-16-le")):
        if head[start::2].count(0) * 4 > len(head):
            return encoding
    return None


_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


# A header in angle brackets: "<siren>;<nom>".
_DELIMITERS = frozenset(";,\t|")


def _markup(text: str) -> Foreign | None:
    if not text.startswith("<"):
        return None
    text = _without_comments(text)
    tag = _TAG.match(text)
    if tag is None or tag[2] in _DELIMITERS:
        return None
    name = tag[1].lower()
    near = text.lower()
    if name in HTML_TAGS or near.startswith("<!doctype html"):
        return Foreign(HTML, SAVE_AS)
    for mark, (found, _) in DIALECTS.items():
        if mark in near:
            return Foreign(found, SAVE_AS)
    is_xml = name[0] in "!?" or tag[2] == "<" or f"</{name}" in near or "xmlns" in tag[0]
    return Foreign("un document XML", SAVE_AS) if is_xml else None


def _without_comments(text: str) -> str:
    while text.startswith("<!--"):
        end = text.find("-->")
        if end < 0:
            return "<!doctype html>"  # a comment without end near: only pages begin so
        text = text[end + 3 :].lstrip()
    return text


def _mail(text: str) -> Foreign | None:
    if not _MAIL.match(text):
        return None
    near = text.lower()
    if "multipart/related" in near or "snapshot-content-location" in near:
        return Foreign("une page web archivée (MHTML)", SAVE_AS)
    return Foreign("un message électronique", "enregistrez sa pièce jointe et envoyez-la")
