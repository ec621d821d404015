"""Servers that others wrote, in Python environments of their own: nothing of them is in our lock.

A folder of tests/foreign with a requirements.lock has its environment in the user's cache, made at its
first use. Where it cannot be made, the tests that want it are skipped, and say why.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from deploy.local.local_settings import LocalSettings
from deploy.local.processes.ports import accepts
from tests.fix_stack import eventually

FOREIGN = Path(__file__).parent / "foreign"
UV = Path(sys.executable).with_name("uv")
INSTALL_SECONDS = 400
START_SECONDS = 240


def python_of(name: str) -> Path:
    """The interpreter of an environment with what tests/foreign/NAME/requirements.lock names."""
    lock = FOREIGN / name / "requirements.lock"
    mark = sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = LocalSettings().local_cache / f"{name}-{mark}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with folder.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # one worker of pytest makes it, the others wait
        if not (folder / "ready").exists():
            _run(UV, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
            _run(
                UV,
                "pip",
                "install",
                "--quiet",
                "--compile-bytecode",
                "--require-hashes",
                "--python",
                python,
                "-r",
                lock,
            )
            (folder / "ready").touch()
    return python


def _run(*words: str | Path) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "stderr", None) or error
        pytest.skip(f"a server that others wrote cannot be installed: {str(why)[-300:]}")


@contextmanager
def serving(
    words: Sequence[str | Path], port: int, log: Path, **environment: str
) -> Iterator[None]:
    """A server that listens on a loopback port for as long as the block runs."""
    with log.open("wb") as written:
        server = subprocess.Popen(
            words, stdout=written, stderr=written, env={**os.environ, **environment}
        )
    try:
        eventually(lambda: server.poll() is not None or accepts("127.0.0.1", port), START_SECONDS)
        assert server.poll() is None, log.read_text()[-2000:]
        yield
    finally:
        server.terminate()
        server.wait(20)
