"""The memory of a process that reads a file, limited by its address space."""

import ctypes
import resource
from contextlib import suppress
from pathlib import Path

from producers.reading.refusals import RefusedError, refusal
from producers.reading.workbook.memory_limit import ADDRESS_SPACE

_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def limit() -> None:
    """From now on this process gets ADDRESS_SPACE more, and then MemoryError or, in Rust and C, SIGABRT."""
    # glibc reserves 128 MiB for each thread of Kafka's client otherwise.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)
    with suppress(FileNotFoundError):  # where there is no /proc, RLIMIT_AS does nothing
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + ADDRESS_SPACE
        _, highest = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most, highest))


def exceeded() -> RefusedError:
    """The refusal of a file for which that is not enough."""
    return refusal("too-large", found=f"plus de {ADDRESS_SPACE >> 20} Mio de mémoire")
