"""What runs that take their time share: their servers' place, ready workers, how far they say they are."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import httpx

from tests.faults.processes import Process

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


def worker_ready(worker: Process, port: int) -> bool:
    """Whether a worker with its metrics there does its part. Fails where it has ended."""
    assert worker.guarded.running, worker.guarded.log_tail()
    try:
        url = f"http://127.0.0.1:{port}/readyz"
        return httpx.get(url, trust_env=False, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
