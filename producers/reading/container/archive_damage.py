"""What Python's readers of compressed data raise if the data is damaged, as refusals."""

import errno
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from producers.reading.refusals import refusal

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdError
else:
    from backports.zstd import ZstdError

# NotImplementedError: a feature of ZIP that Python does not know. RuntimeError: a part with a
# password.
_BROKEN = (
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    ZstdError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
# Neither is of the disk: gzip and bz2 raise the one, zipfile seeks to where a directory lies.
_NOT_OF_THE_SYSTEM = (None, errno.EINVAL)


@contextmanager
def refused_as(code: str) -> Iterator[None]:
    """Turns damage that shows within into the refusal `code`."""
    try:
        yield
    except _BROKEN as error:
        raise refusal(code) from error
    except OSError as error:
        if error.errno not in _NOT_OF_THE_SYSTEM:
            raise
        raise refusal(code) from error
