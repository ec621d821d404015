"""What two files have in common whose columns are called alike."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from producers.reading.header.columns import clean
from producers.reading.header.labels import fold


def fingerprint(cells: Sequence[str]) -> str:
    """Of a header: SHA-256 in hexadecimal digits. Neither the order of its columns counts nor what `fold`
    ignores in their names, unless the name has nothing else or two names differ only in it."""
    names = [name for name in clean(cells) if name]
    folded = [fold(name) for name in names]
    alike = Counter(folded)
    said = sorted(
        short if short and alike[short] == 1 else f"{short}\0{name}"
        for name, short in zip(names, folded, strict=True)
    )
    return hashlib.sha256("\n".join(said).encode()).hexdigest()
