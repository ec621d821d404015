"""Letters that programs write as codes, in the text of a cell: by entities of HTML, by escapes of JSON,
PostgreSQL, MIME and web addresses, in RTF, whose marks are left out. A line break of HTML is a line end; other
tags stay as they came, since they may be part of a name.
"""

import re
from html import unescape
from urllib.parse import unquote

from producers.reading.text.encoding.repairs import is_western

SIGNS = ("\\", "<", "=", "%", "+")
"""A text without any of these has only entities."""

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# PostgreSQL and JSON write a line end as two letters, and others as six.
_ESCAPE = re.compile(r"(?:\\r)?\\n(?=[A-Z0-9À-Ý\s]|$)|\\t(?=[A-Z0-9À-Ý\s]|$)|\\u00[0-9a-fA-F]{2}")
_SPELLED = {"\\t": " "}
_OF_BYTES = re.compile(r"(?:=[0-9A-F]{2}){2,}|(?:%[0-9A-Fa-f]{2}){2,}")
_OF_UTF7 = re.compile(r"\+[A-Za-z0-9/]{3,}-")
_LINE_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)
_RTF = "{\\rtf"
_LARGEST_OF_RTF = 0x7FFF
_RTF_TABLE = re.compile(r"\{\\(?:\*|fonttbl|colortbl|stylesheet|info)(?:[^{}]|\{[^{}]*\})*\}")
_RTF_WORD = re.compile(
    r"\\'(?P<byte>[0-9a-fA-F]{2})|\\u(?P<code>[0-9]{1,5}) ?\??|(?P<line>\\(?:par|line)\b ?)|"
    r"\\[a-z]+-?[0-9]* ?|[{}\r\n]"
)


def without_entities(text: str) -> str:
    """The letters that entities stand for, which exports of websites leave."""
    return _ENTITY.sub(lambda found: unescape(found[0]), text)


def written_out(text: str) -> str:
    """The letters that other codes stand for, without marks around them."""
    if text.startswith(_RTF):
        return _RTF_WORD.sub(_of_rtf, _RTF_TABLE.sub("", text)).strip()
    text = _ESCAPE.sub(_of_json, text)
    text = _LINE_BREAK.sub("\n", text)
    text = _OF_UTF7.sub(_of_utf7, text)
    if " " not in text and "%20" in text:
        text = _of_bytes(text, text)
    return _OF_BYTES.sub(_of_letters, text).strip()


def _of_json(found: re.Match[str]) -> str:
    escape = found[0]
    return chr(int(escape[2:], 16)) if "u" in escape else _SPELLED.get(escape, "\n")


def _of_rtf(found: re.Match[str]) -> str:
    if found["byte"]:
        return bytes.fromhex(found["byte"]).decode("cp1252", "replace")
    if found["code"]:
        return chr(min(int(found["code"]), _LARGEST_OF_RTF))
    return "\n" if found["line"] else ""


def _of_letters(found: re.Match[str]) -> str:
    letters = _of_bytes(found[0].replace("=", "%"), found[0])
    return found[0] if letters.isascii() else letters


def _of_bytes(escaped: str, otherwise: str) -> str:
    """Of bytes that are UTF-8 the text, if its letters are those of a French one."""
    try:
        letters = unquote(escaped, errors="strict")
    except UnicodeDecodeError:
        return otherwise
    return letters if is_western(letters) else otherwise


def _of_utf7(found: re.Match[str]) -> str:
    try:
        letters = found[0].encode().decode("utf-7")
    except UnicodeDecodeError:
        return found[0]
    return letters if is_western(letters) else found[0]
