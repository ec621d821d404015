"""How often a key occurred in an import, in flat memory."""

from array import array

_SEGMENT_BITS = 12
_COUNT_BITS = 22
_STAMP_BITS = 64 - _COUNT_BITS
_SEGMENT_MASK = (1 << _SEGMENT_BITS) - 1
_STAMP_MASK = (1 << _STAMP_BITS) - 1

MOST = (1 << _COUNT_BITS) - 1
"""The occurrence number at which counting stops."""

_FEW = 65_536


class Occurrences:
    """Counts keys by their hash: the first 65,536 in a dictionary, then all by 54 bits of it.

    One word of 64 bits a key: 42 bits of the hash and the count, in open addressing over many
    small tables, of which 12 further bits of the hash choose one. Small tables grow one at a time,
    so that no moment needs twice the memory; 2 million keys take 34 MB.

    Two keys of equal 54 bits count as one: the later row is called a duplicate, and is written all
    the same. The probability that an import of n keys has such a pair is n²/2⁵⁵: 1 in 9,000 for 2
    million, 1 in 36 million for 31,623.
    """

    def __init__(self) -> None:
        self._few: dict[int, int] | None = {}
        self._segments: list[array[int]] = []
        self._used = array("I")

    def count(self, key: str) -> int:
        """The number of this occurrence of `key`: 1 for the first."""
        value = hash(key)
        if self._few is None:
            return self._add(value, 1)
        number = self._few[value] = min(self._few.get(value, 0) + 1, MOST)
        if len(self._few) > _FEW:
            self._pack(self._few)
        return number

    def _pack(self, few: dict[int, int]) -> None:
        self._few = None
        self._segments = [array("Q", bytes(64)) for _ in range(_SEGMENT_MASK + 1)]
        self._used = array("I", bytes(4 * (_SEGMENT_MASK + 1)))
        for value, number in few.items():
            self._add(value, number)

    def _add(self, value: int, more: int) -> int:
        number = value & _SEGMENT_MASK
        stamp = value >> _SEGMENT_BITS & _STAMP_MASK
        segment = self._segments[number]
        mask = len(segment) - 1
        slot = stamp & mask
        while word := segment[slot]:
            if word >> _COUNT_BITS == stamp:
                occurrence = min((word & MOST) + more, MOST)
                segment[slot] = stamp << _COUNT_BITS | occurrence
                return occurrence
            slot = slot + 1 & mask
        segment[slot] = stamp << _COUNT_BITS | more
        self._used[number] += 1
        if self._used[number] * 3 > mask * 2:
            self._grow(number)
        return more

    def _grow(self, number: int) -> None:
        old = self._segments[number]
        new = array("Q", bytes(16 * len(old)))
        mask = len(new) - 1
        for word in old:
            if word:
                slot = word >> _COUNT_BITS & mask
                while new[slot]:
                    slot = slot + 1 & mask
                new[slot] = word
        self._segments[number] = new
