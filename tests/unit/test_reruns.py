"""A run that needs more than three second tries fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLAKY = """
import pytest
tries = []
@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize("number", range({count}))
def test_flaky(number):
    tries.append(number)
    assert tries.count(number) == 2
"""


@pytest.mark.parametrize(("count", "code"), [(3, 0), (4, 1)])
def test_more_than_three_second_tries(tmp_path: Path, count: int, code: int) -> None:
    """All tests passed in the end in both runs; each says how many needed a second try."""
    (tmp_path / "test_flaky.py").write_text(FLAKY.format(count=count), encoding="utf-8")
    argv = ["-m", "pytest", "-q", "-p", "tests.reruns", "-p", "pytest_rerunfailures"]

    done = subprocess.run(
        [sys.executable, *argv, "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        timeout=60,
        check=False,
    )

    assert (done.returncode, f"{count} passed" in done.stdout) == (code, True), done.stdout
    assert f"reruns: {count} of at most 3" in done.stdout
