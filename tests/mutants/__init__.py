"""Guards of critical code, each with the change that would break it and the tests that notice.

A guard that matters only in a crash, in a race or for a hostile record is easily broken without any
other test failing. `make mutants` breaks each of these in a copy of the tree and runs its tests.
The data are the .toml files of this folder, by subject: a table for each mutant, by its name.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """`old`, which `file` holds once, becomes `new`; then one of `tests` (node ids) fails.

    `why` is what would go wrong.
    """

    name: str
    why: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, text: str) -> str:
        """The text of the file with the guard broken. Raises ValueError if it does not hold it once."""
        found = text.count(self.old)
        if found != 1:
            raise ValueError(f"{self.name}: {self.file} holds {self.old!r} {found} times, not once")
        return text.replace(self.old, self.new)


def known(folder: Path = Path(__file__).parent) -> Mapping[str, Mutant]:
    """All mutants by name. Raises ValueError where two have the same."""
    found: dict[str, Mutant] = {}
    for mutant in _read(folder):
        if mutant.name in found:
            raise ValueError(f"two mutants are called {mutant.name}")
        found[mutant.name] = mutant
    return found


def _read(folder: Path) -> Iterator[Mutant]:
    for path in sorted(folder.glob("*.toml")):
        for name, told in tomllib.loads(path.read_text(encoding="utf-8")).items():
            yield Mutant(name, **{**told, "tests": tuple(told["tests"])})
