"""How much memory the reader of a file may take, and how much of a workbook is held in it at most."""

import ctypes
import resource
from contextlib import suppress
from pathlib import Path

from producers.reading.refusals import RefusedError, refusal

ADDRESS_SPACE = 1 << 30
"""That a reading process may take beyond what it has when it begins; Kafka's client takes 250 MiB."""

INFLATED_BYTES = 512 << 20
"""Of all parts, which are read block by block."""

CELLS = 4_000_000
"""That calamine holds, at 64 bytes each. Sheets beyond are read cell by cell."""

VALUES = 16_000_000
"""Of a sheet that is read cell by cell, repeated ones included."""

HELD_BYTES = 256 << 20
"""Of texts that calamine holds. Sheets beyond are read cell by cell."""

TEXT_BYTES = 1 << 30
"""Of all cells together, a text that cells share counted for each."""

WHOLE_BYTES = 32 << 20
"""Of each part besides sheets and texts that calamine may hold, such as styles and defined names."""

TEXTS = 3_000_000
"""That cells share."""

_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def limit_memory() -> None:
    """From now on this process gets ADDRESS_SPACE more, and then MemoryError or, in Rust and C, SIGABRT."""
    # glibc reserves 128 MiB for each thread of Kafka's client otherwise.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)
    with suppress(FileNotFoundError):  # where there is no /proc, RLIMIT_AS does nothing
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + ADDRESS_SPACE
        _, highest = resource.getrlimit(resource.RLIMIT_AS)
        if highest != resource.RLIM_INFINITY:
            most = min(most, highest)
        resource.setrlimit(resource.RLIMIT_AS, (most, highest))


def memory_exceeded() -> RefusedError:
    """The refusal of a file for which that is not enough."""
    return refusal("too-large", found=f"plus de {ADDRESS_SPACE >> 20} Mio de mémoire")
