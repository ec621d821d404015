"""The XML of a workbook's parts as a stream of tags, by expat, in every spelling of XML.

What a file may make expat keep is bounded: tags that are open, names, and a tag that does not end.
"""

import re
from collections.abc import Callable, Iterable
from xml.parsers import expat

from producers.reading.refusals import refusal

_OPEN_TAGS = 10_000
_NAMES = 20_000
_UNFINISHED = 16 << 20

# XML 1.0 has no place for these characters; writers that do not check leave them in texts.
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\r")
_REFERENCE = re.compile(rb"&#(?:0*([0-9]{1,7})|[xX]0*([0-9A-Fa-f]{1,6}));")
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")

Attributes = dict[str, str]
Start = Callable[[str, Attributes], None]
End = Callable[[str], None]
Text = Callable[[str], None]


def local(name: str) -> str:
    """A name without its prefix or namespace."""
    return name[max(name.rfind(":"), name.rfind(" ")) + 1 :]


class Markup:
    """Feeds the tags of a part to `start`, `end` and `text`, the latter in pieces of any length.

    Names are as the file spells them, or, with `namespaces`, the namespace, a blank and the name.
    Raises RefusedError where the XML is not well-formed or declares entities.
    """

    def __init__(
        self, start: Start, end: End, text: Text | None = None, *, namespaces: bool = False
    ) -> None:
        self._start, self._end = start, end
        self._depth = 0
        self._fed = 0
        self._wide: bool | None = None
        self._parser = expat.ParserCreate(namespace_separator=" " if namespaces else None)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._opened
        self._parser.EndElementHandler = self._closed
        self._parser.EntityDeclHandler = _entity
        if text is not None:
            self._parser.CharacterDataHandler = text
        if namespaces:
            self._parser.StartNamespaceDeclHandler = self._prefix
        self._prefixes = 0

    def on_unusual(self, seen: Callable[[], None]) -> None:
        """Calls `seen` for each section of CDATA."""
        self._parser.StartCdataSectionHandler = seen

    def read(self, blocks: Iterable[bytes]) -> None:
        """Feeds the blocks of a whole part."""
        for block in blocks:
            self.feed(block)
        self.close()

    def feed(self, xml: bytes) -> None:
        """One block, ending where a tag does or before one begins."""
        if self._wide is None and xml:
            self._wide = xml.startswith(_WIDE)
        self._parse(xml if self._wide else _permitted(xml))
        if self._fed - max(self._parser.CurrentByteIndex, 0) > _UNFINISHED:
            raise refusal("too-large", found=f"une balise de plus de {_UNFINISHED >> 20} Mio")
        if len(self._parser.intern) + self._prefixes > _NAMES:
            raise refusal("broken-workbook")

    def close(self) -> None:
        """The part ends here."""
        self._parse(b"", final=True)

    def _parse(self, xml: bytes, *, final: bool = False) -> None:
        self._fed += len(xml)
        try:
            self._parser.Parse(xml, final)
        except (expat.ExpatError, LookupError, ValueError) as error:  # or an unknown encoding
            raise refusal("broken-workbook") from error

    def _opened(self, name: str, attributes: Attributes) -> None:
        self._depth += 1
        if self._depth > _OPEN_TAGS:
            raise refusal("broken-workbook")
        self._start(name, attributes)

    def _closed(self, name: str) -> None:
        self._depth -= 1
        self._end(name)

    def _prefix(self, prefix: str | None, uri: str | None) -> None:
        self._prefixes += 1


def _entity(*declared: object) -> None:
    raise refusal("broken-workbook")


def _permitted(xml: bytes) -> bytes:
    """The XML without the characters that expat refuses and others accept."""
    xml = xml.translate(None, _CONTROLS)
    if b"&#" in xml:
        xml = _REFERENCE.sub(_character, xml)
    return xml


def _character(found: re.Match[bytes]) -> bytes:
    number = int(found[1]) if found[1] else int(found[2], 16)
    is_one = number >= 32 and not 0xD800 <= number < 0xE000 and number not in (0xFFFE, 0xFFFF)
    return found[0] if is_one or number in (9, 10, 13) else b""
