"""What processes cost: CPU seconds and peak memory. Memory is read from /proc: Linux only."""

import json
import os
import platform
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil  # type: ignore[import-untyped]

RESULTS = Path(__file__).parent / "results"
POLL_SECONDS = 0.02


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants, those that have ended included."""
    try:
        root = psutil.Process(pid)
        return sum(map(_own_cpu, [root, *root.children(recursive=True)]))
    except psutil.NoSuchProcess:
        return 0.0


def _own_cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    ended = times.children_user + times.children_system
    return float(times.user + times.system + ended)


def peak_mb(pid: int) -> float:
    """The most memory that a process has held (VmHWM), 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0  # a zombie


def forget_peak(pid: int) -> None:
    """From here on `peak_mb` tells what comes after (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    output: str
    seconds: float
    cpu_seconds: float
    peak_mb: float


class Command:
    """A command that is watched while it runs."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._began = perf_counter()
        self._process = subprocess.Popen(
            argv,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._peak = 0.0
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def wait(self) -> Ran:
        """To be called once."""
        assert self._process.stdout is not None
        output = self._process.stdout.read()
        _, status, usage = os.wait4(self._process.pid, 0)
        seconds = perf_counter() - self._began
        self._ended.set()
        self._watcher.join()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._process.stdout.close()
        return Ran(
            self._process.returncode,
            output,
            seconds,
            usage.ru_utime + usage.ru_stime,
            self._peak,
        )

    def terminate(self) -> None:
        """SIGTERM; `wait` still has to be called."""
        self._process.terminate()

    def _watch(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._peak = peak_mb(self._process.pid) or self._peak


def save(name: str, results: Any, **parameters: Any) -> None:
    """Writes results/NAME.json, with what it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    document = {"surroundings": surroundings(), "parameters": parameters, "results": results}
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def surroundings() -> dict[str, Any]:
    """What figures depend on, without the name of any machine."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{
            name: version(name)
            for name in ("faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "psycopg")
        },
    }
