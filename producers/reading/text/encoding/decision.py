"""The encoding of a text, decided by evidence in one pass over its bytes.

A BOM states it, and so do the zeros of UTF-16 and UTF-32. Otherwise a text whose letters are UTF-8
is UTF-8, although some lines hold other bytes: at most 100, and not more bytes than there are letters
or not more than one line in a hundred. Any other text is in the 8-bit encoding in which it reads best as French;
where two read as well, the operator decides. Memory is that of two blocks, whatever the size.
"""

import codecs
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

from producers.reading.refusals import RefusedError, refusal
from producers.reading.text.encoding.evidence import Evidence, Sample
from producers.reading.text.encoding.french import merit
from producers.reading.text.encoding.repairs import ASIDE, UNREADABLE_SIGN, is_cut, is_plausible

_BLOCK = 1 << 20
# No block without a line end: a line is never longer than two blocks, and memory stays flat.
LONGEST_LINE = 2 * _BLOCK
_LONGEST_REST = 4 * LONGEST_LINE  # of a text without ends; letters beyond ASCII are bytes more

_LOOKED_AT = 512
_DAMAGED_LINES = 100
_ONE_IN = 100

_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",  # what Excel calls "Texte Unicode"
    codecs.BOM_UTF16_BE: "utf-16",
}
_WIDE = ("utf-16", "utf-32")
_TWO_BYTES = ("utf-16-le", "utf-16-be")
_UTF8 = ("utf-8", "utf-8-sig")

EIGHT_BITS = ("cp1252", "mac_roman", "cp850", "iso8859-15")
"""What French programs write besides UTF-8, by Python's names."""

_USUAL = 1.0  # what speaks for Windows-1252 before anything is read
_CLEARLY = 2.0
_TIMES = 3
_SIBLINGS = {"cp1252": "iso8859-15", "iso8859-15": "cp1252"}
"""They have most letters at the same places."""
# For each sign beyond ASCII: a text of any Western language is above the first, French the second.
_NONSENSE = -5.5
_FRENCH = -3.0


class Text(NamedTuple):
    """`encoding` decodes the file from the byte `start` on, without an error unless it needs `repair`.

    `hint` is the second likeliest encoding, None if no other is likely.
    """

    encoding: str
    hint: str | None = None
    repair: bool = False
    start: int = 0


_LINE_ENDS = b"\n\r"


def text_of(file: BinaryIO, requested: str | None, ends: bytes = _LINE_ENDS) -> Text:
    """Reads the file as `requested`, by default as the evidence says.

    `ends` are the signs of ASCII behind which the text may be divided.
    Raises RefusedError if it does not decode, has no text, has a line without end or if two
    encodings are as likely; OSError.
    """
    head = file.read(_BLOCK)
    bom = next((bom for bom in _BOMS if head.startswith(bom)), b"")
    name = _python_name(requested) if requested else _BOMS.get(bom) or _by_zeros(head)
    blocks = _not_blank(chain([head], iter(lambda: file.read(_BLOCK), b"")), ends)
    if name is not None and name not in (*_UTF8, "cp1252"):
        return _decoded(blocks, name)
    evidence = Evidence()
    for lines in _divided(blocks, ends):
        evidence.add(lines)
    if requested is not None:
        text = _as_requested(evidence, requested, name)
    else:
        text = _utf8(evidence, bom) or _eight_bits(evidence)
    is_utf8 = text.encoding in _UTF8
    if is_utf8 and not (evidence.damaged or evidence.surrogates) and _is_report(head):
        text = text._replace(repair=False)
    return text._replace(start=0 if is_utf8 or bom != codecs.BOM_UTF8 else len(bom))


def _is_report(head: bytes) -> bool:
    """Whether it is one of our error reports, whose cells are as they were read: nothing is encoded twice."""
    header = head.partition(b"\n")[0]
    return b"_line" in header and b"_import" in header


def _python_name(requested: str) -> str:
    try:
        # Of no bytes at all even "hex" would make a text.
        b" ".decode(requested, "ignore")
        codecs.getincrementaldecoder(requested)
        return codecs.lookup(requested).name
    except (LookupError, ValueError) as error:
        raise refusal("unknown-encoding", encoding=requested) from error


def _by_zeros(head: bytes) -> str | None:
    """Without a BOM, of the bytes of Latin text every second is 0 in UTF-16, three of four in UTF-32."""
    some = head[:_LOOKED_AT]
    for order, name in (((3, 2, 1, 0), "utf-32-le"), ((0, 1, 2, 3), "utf-32-be")):
        top, plane, middle, low = (some[at::4] for at in order)
        if low and not any(top) and 0 not in low and _mostly_zeros(plane) and _mostly_zeros(middle):
            return name
    for start, name in enumerate(("utf-16-be", "utf-16-le")):
        if some[start::2].count(0) * 4 > len(some) and 0 not in some[1 - start :: 2]:
            return name
    return None


def _mostly_zeros(some: bytes) -> bool:
    return 4 * some.count(0) > 3 * len(some)


def _not_blank(blocks: Iterator[bytes], ends: bytes) -> Iterator[bytes]:
    blank = True
    for block in blocks:
        blank = blank and not block.strip(b" \t\r\n\0\x1a\xef\xbb\xbf\xff\xfe")
        if ends == _LINE_ENDS and len(block) == _BLOCK and not any(map(block.__contains__, ends)):
            raise refusal("line-too-long", limit=LONGEST_LINE)
        yield block
    if blank:
        raise refusal("empty-file")


def _divided(blocks: Iterator[bytes], ends: bytes) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        end = max(map(block.rfind, ends)) + 1
        if end:
            yield rest + block[:end]
            rest = b""
        rest += block[end:]
        if len(rest) > _LONGEST_REST:
            raise refusal("line-too-long", limit=LONGEST_LINE)
    if rest:
        yield rest


def _decoded(blocks: Iterator[bytes], name: str) -> Text:
    """As an encoding of which lines cannot be distinguished before they are decoded."""
    wide = name.startswith(_WIDE)
    decoder = codecs.getincrementaldecoder(name)(ASIDE if wide else "strict")
    damaged = size = 0
    try:
        for block in chain(blocks, [b""]):
            size += len(block)
            text = decoder.decode(block, final=not block)
            damaged += text.count(UNREADABLE_SIGN)
    except UnicodeError as error:
        raise refusal("encoding", encoding=name) from error
    # Without a BOM half a letter may be the first one, which gives half of its neighbour to each.
    is_shifted = name in _TWO_BYTES and size % 2
    if damaged > _DAMAGED_LINES or is_shifted:
        raise refusal("encoding", encoding=name)
    return Text(name, repair=damaged > 0)


def _as_requested(evidence: Evidence, requested: str, name: str | None) -> Text:
    if name == "cp1252":
        fits = evidence.undefined <= _DAMAGED_LINES
        damaged = evidence.undefined > 0
    else:
        fits = not evidence.damaged or evidence.letters > 0 or _is_cut_off(evidence)
        damaged = evidence.damaged > 0 or evidence.surrogates
    if not fits:
        raise refusal("encoding", encoding=requested)
    return Text(requested, repair=damaged or evidence.twice)


def _utf8(evidence: Evidence, bom: bytes) -> Text | None:
    """UTF-8 if the text is, but for a few lines; None if it is not. Raises RefusedError."""
    damaged, letters = evidence.damaged, evidence.letters
    text = Text(
        "utf-8-sig" if bom else "utf-8",
        repair=damaged > 0 or evidence.surrogates or evidence.twice,
    )
    if not damaged or _is_cut_off(evidence):
        return text
    few = letters >= evidence.damaged_bytes or damaged * _ONE_IN <= evidence.lines
    if letters >= damaged and few and damaged <= _DAMAGED_LINES:
        return text
    if letters >= damaged and evidence.line_in_utf8 is not None:
        whole = b"\n".join(line for _, line in evidence.samples)
        best = max(EIGHT_BITS, key=lambda name: _merit(whole, name))
        raise _question(evidence.line_in_utf8, "utf-8", best)
    return None


def _is_cut_off(evidence: Evidence) -> bool:
    """Whether the only bytes that are not UTF-8 are the first ones of a last letter."""
    if evidence.damaged != 1 or not is_cut(evidence.end):
        return False
    before = evidence.end[:-1].decode("utf-8", "ignore")[-1:]
    return evidence.letters > 0 or not is_plausible(evidence.end[-1], before, "")


def _eight_bits(evidence: Evidence) -> Text:
    """The 8-bit encoding in which the samples read best as French. Raises RefusedError."""
    whole = b"\n".join(line for _, line in evidence.samples)
    merits = {name: _merit(whole, name) for name in EIGHT_BITS}
    best, *rivals = sorted(EIGHT_BITS, key=merits.__getitem__, reverse=True)
    reading = whole.decode(best, "replace")
    rival = next((name for name in rivals if whole.decode(name, "replace") != reading), None)
    strange = sum(letter > "\x7f" for letter in reading) or 1
    doubtful = rival is not None and merits[best] - merits[rival] < _CLEARLY
    sibling = _SIBLINGS.get(best)
    if sibling is not None and _are_divided(evidence.samples, best, sibling):
        doubtful, rival = True, sibling
    if merits[best] < (_NONSENSE if best == "cp1252" else _FRENCH) * strange:
        doubtful, rival = True, _detected(whole, reading) or rival
    undefined = evidence.undefined if best == "cp1252" else 0
    if rival is not None and (doubtful or undefined > _DAMAGED_LINES):
        raise _question(_where_they_differ(evidence.samples, best, rival), best, rival)
    unsure = rival is not None and merits[best] - merits[rival] < 2 * _CLEARLY
    repair = undefined > 0 or (evidence.twice and best == "cp1252")
    return Text(best, rival if unsure else None, repair)


def _are_divided(samples: list[Sample], best: str, rival: str) -> bool:
    """Whether lines speak clearly for the rival, and not three times as many for the best.

    One damaged byte that only one of them has a letter for is worse than what the other lines are. A line
    that the best has no letters for is a fault.
    """
    readings = [
        (line.decode(best, "replace"), line.decode(rival, "replace")) for _, line in samples
    ]
    leads = [merit(one) - merit(other) for one, other in readings if "\ufffd" not in one]
    against = sum(lead <= -_CLEARLY for lead in leads)
    return against > 0 and sum(lead >= _CLEARLY for lead in leads) < _TIMES * against


def _merit(whole: bytes, name: str) -> float:
    return merit(whole.decode(name, "replace")) + (_USUAL if name == "cp1252" else 0)


def _detected(whole: bytes, reading: str) -> str | None:
    """The encoding that charset-normalizer sees in a text that is not French, if it reads otherwise."""
    from charset_normalizer import from_bytes  # takes a while, and most files are UTF-8

    best = from_bytes(whole[:_DETECTED]).best()
    if best is None or best.encoding in EIGHT_BITS:
        return None
    if whole.decode(best.encoding, "replace") == reading:
        return None
    return best.encoding if _ASCII.decode(best.encoding, "replace") == _ASCII.decode() else None


def _where_they_differ(samples: list[Sample], one: str, other: str) -> Sample:
    def differ(sample: Sample) -> bool:
        return sample.text.decode(one, "replace") != sample.text.decode(other, "replace")

    return next(filter(differ, samples), samples[0])


_ASCII = bytes(range(0x20, 0x7F))
_DETECTED = 1 << 11
_SHOWN = 60


def _question(sample: Sample, one: str, other: str) -> RefusedError:
    readings = [_reading(sample.text, name) for name in (one, other)]
    return refusal(
        "doubtful-encoding",
        line=sample.line,
        one=one,
        other=other,
        first=readings[0],
        second=readings[1],
    )


def _reading(line: bytes, name: str) -> str:
    text = line.decode(name, "replace")
    at = next((at for at, sign in enumerate(text) if sign > "\x7f"), 0)
    start = max(0, at - _SHOWN // 2)
    shown = text[start : start + _SHOWN].strip()
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in shown)
