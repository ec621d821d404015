"""The encoding of a text: as its BOM states, UTF-8, or else Windows-1252. One pass over the bytes.

Any other encoding is never more than a hint: charset-normalizer takes texts of one language for
another's, and each byte is a letter in every encoding. So its answer and the two encodings that
old French programs write are compared by the share of their non-ASCII letters that French uses.
"""

import codecs
from typing import BinaryIO, NamedTuple

from producers.reading.refusals import refusal

_BLOCK = 1 << 20
# No block without a line end: a line is never longer than two blocks, and memory stays flat.
LONGEST_LINE = 2 * _BLOCK

_LOOKED_AT = 512

_UNDEFINED_IN_CP1252 = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D])
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",  # what Excel calls "Texte Unicode"
    codecs.BOM_UTF16_BE: "utf-16",
}

_FRENCH = frozenset("àâäçéèêëîïôöùûüÿœæÀÂÄÇÉÈÊËÎÏÔÖÙÛÜŒÆ’‘“”«»–—…€°²³\u00a0\u202f")
_OLD = ("mac_roman", "cp850")
_MARGIN = 0.25
_SAMPLE = 1 << 15


class Text(NamedTuple):
    """`encoding` decodes the whole file without an error.

    `hint` is what it looks like otherwise; None if `encoding` is as likely.
    """

    encoding: str
    hint: str | None


def text_of(file: BinaryIO, requested: str | None) -> Text:
    """Reads the file as `requested`, by default as its BOM states, UTF-8 or else Windows-1252.

    Raises RefusedError if it does not decode, has no text or has a line without end; OSError.
    """
    blank = True
    strange = b""
    head = file.read(_BLOCK)
    decoder = _Decoder(requested or _by_bom(head))
    block = head
    while block:
        decoder.feed(block)
        blank = blank and not block.strip(b" \t\r\n\0\xef\xbb\xbf\xff\xfe")
        if len(block) == _BLOCK and b"\n" not in block and b"\r" not in block:
            raise refusal("line-too-long", limit=LONGEST_LINE)
        if not strange and not block.isascii():
            strange = block
        block = file.read(_BLOCK)
    if blank:
        raise refusal("empty-file")
    encoding = decoder.finish()
    hint = likelier(strange) if encoding == "cp1252" and requested is None else None
    return Text(encoding, hint)


def _by_bom(head: bytes) -> str | None:
    for bom, name in _BOMS.items():
        if head.startswith(bom):
            return name
    # Without a BOM, every second byte of Latin text in UTF-16 is 0.
    some = head[:_LOOKED_AT]
    for start, name in enumerate(("utf-16-be", "utf-16-le")):
        if some[start::2].count(0) * 4 > len(some) and 0 not in some[1 - start :: 2]:
            return name
    return None


class _Decoder:
    """Whether blocks decode as `requested` or, by default, as UTF-8 or cp1252."""

    def __init__(self, requested: str | None) -> None:
        self._requested = requested
        self._cp1252 = requested is None
        name = requested or "utf-8"
        try:
            # Of no bytes at all even "hex" would make a text.
            b" ".decode(name, "ignore")
            self._decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder(name)()
        except (LookupError, ValueError) as error:
            raise refusal("unknown-encoding", encoding=name) from error

    def feed(self, block: bytes, *, final: bool = False) -> None:
        if self._cp1252 and not block.isascii():
            self._cp1252 = len(block.translate(None, _UNDEFINED_IN_CP1252)) == len(block)
        if self._decoder is None:
            return
        try:
            self._decoder.decode(block, final)
        except UnicodeError as error:
            if self._requested is not None:
                raise refusal("encoding", encoding=self._requested) from error
            self._decoder = None

    def finish(self) -> str:
        self.feed(b"", final=True)
        if self._decoder is not None:
            return self._requested or "utf-8"
        if not self._cp1252:
            raise refusal("encoding", encoding="cp1252")
        return "cp1252"


def likelier(text: bytes) -> str | None:
    """The encoding, by Python's name, that fits `text` clearly better than cp1252; None if none."""
    strange = next((at for at, byte in enumerate(text) if byte > 0x7F), 0)
    sample = text[max(0, strange - _SAMPLE // 2) : strange + _SAMPLE // 2]
    floor = _frenchness(sample, "cp1252") + _MARGIN
    best = max((_detected(sample), *_OLD), key=lambda name: _frenchness(sample, name))
    return best if _frenchness(sample, best) > floor else None


def _detected(sample: bytes) -> str:
    from charset_normalizer import from_bytes  # takes a while, and most files are UTF-8

    best = from_bytes(sample).best()
    return best.encoding if best is not None else "cp1252"


def _frenchness(sample: bytes, encoding: str) -> float:
    strange = [letter for letter in sample.decode(encoding, "replace") if letter > "\x7f"]
    return sum(letter in _FRENCH for letter in strange) / (len(strange) or 1)
