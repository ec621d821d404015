"""What a run does, all of it from a seed: which files are imported when, and which faults come."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from tests.faults.faults import Fault, faults
from tests.faults.files import File, Kind

LARGEST = 100_000
SMALLEST = 300
_POLICIES = ("merge",) * 6 + ("overwrite", "overwrite", "fill_missing", "insert_only")


@dataclass(frozen=True)
class Wave:
    """Files that are imported at the same time: no two have a key in common."""

    number: int
    files: tuple[File, ...]
    seed: int

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)


@dataclass(frozen=True)
class Plan:
    """A run of at least so many rows and faults."""

    seed: int
    rows: int
    faults: int

    def waves(self) -> Iterator[Wave]:
        """Without an end: those after `rows` rows are small."""
        chance = random.Random(f"{self.seed} files")
        sizes = self._sizes(random.Random(f"{self.seed} sizes"))
        known: dict[int, tuple[Kind, int]] = {}
        numbers = count(1)
        for number in count():
            files: list[File] = []
            old = list(known)
            for _ in range(chance.choice((3, 4, 4))):
                updates = bool(old) and chance.random() < 0.55
                family = old.pop(chance.randrange(len(old))) if updates else len(known) + 1
                kind: Kind = "ville" if chance.random() < 0.35 else "entreprise"
                kind, before = known.get(family, (kind, 0))
                policy = chance.choice(_POLICIES)
                seed = chance.getrandbits(32)
                file = File(next(numbers), kind, family, policy, next(sizes), before, seed)
                known[family] = kind, before + file.fresh
                files.append(file)
            yield Wave(number, tuple(files), chance.getrandbits(32))

    def faults_in_order(self) -> Iterator[Fault]:
        """Without an end."""
        return faults(random.Random(f"{self.seed} faults"))

    def _sizes(self, chance: random.Random) -> Iterator[int]:
        """From a few hundred rows to 100,000, as many small files as large ones."""
        largest = max(10 * SMALLEST, min(LARGEST, self.rows // 6))
        left = self.rows
        while left > 0:
            size = round(SMALLEST * (largest / SMALLEST) ** chance.random())
            left -= size
            yield size
        while True:
            yield chance.randrange(SMALLEST, 10 * SMALLEST)
