"""What runs that take their time share: where their servers are, and how far they say they are."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

_BEGAN = monotonic()


@contextmanager
def directory(given: Path | None) -> Iterator[Path]:
    """For servers and logs: the given one, which stays, or one that goes."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def report(text: str) -> None:
    """Prints it after the seconds since the begin."""
    print(f"{monotonic() - _BEGAN:6.1f} s  {text}", flush=True)  # noqa: T201
