"""What encoding a text that is no UTF-8 may be in other than Windows-1252.

Never more than a hint: charset-normalizer takes texts of one language for another's, and one
byte is a letter in every encoding. So its answer and the two that old French programs write
stand for comparison, by how much of what is not ASCII comes out as French text has it.
"""

_FRENCH = frozenset("àâäçéèêëîïôöùûüÿœæÀÂÄÇÉÈÊËÎÏÔÖÙÛÜŒÆ’‘“”«»–—…€°²³\u00a0\u202f")
_OLD = ("mac_roman", "cp850")
_MARGIN = 0.25
_SAMPLE = 1 << 15


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
