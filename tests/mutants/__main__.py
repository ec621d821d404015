"""`python -m tests.mutants [NAME...]`: breaks guards one by one, and says which test notices.

Nothing of the checkout is changed. The exit code is 1 where a mutant survives or where its tests
fail without it.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue

from tests.mutants import Mutant, known
from tests.mutants.lane import Lane, lane

LANES = 2


def main(names: Sequence[str]) -> int:
    mutants = known()
    if unknown := [name for name in names if name not in mutants]:
        print(f"no such mutant: {', '.join(unknown)}", file=sys.stderr)
        return 2
    chosen = [mutants[name] for name in names] or list(mutants.values())
    with ExitStack() as stack, ThreadPoolExecutor(LANES) as pool:
        lanes = [stack.enter_context(lane()) for _ in range(min(LANES, len(chosen)))]
        code, output = lanes[0].run({test: None for mutant in chosen for test in mutant.tests})
        if code != 0:
            print(output, "The tests fail without any mutant.", sep="\n")
            return 1
        free: SimpleQueue[Lane] = SimpleQueue()
        for one in lanes:
            free.put(one)

        def killer(mutant: Mutant) -> str | None:
            taken = free.get()
            try:
                return taken.killer(mutant)
            finally:
                free.put(taken)

        width = max(len(mutant.name) for mutant in chosen)
        survivors = 0
        for mutant, test in zip(chosen, pool.map(killer, chosen), strict=True):
            survivors += test is None
            print(f"{mutant.name:{width}}  {test or f'SURVIVED: {mutant.why}'}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants are killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
