"""From the trades of NAF rev. 2 to those of NAF 2025."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from processors.operator.naf.naf_files import Pair


def carried_over(slugs: Mapping[str, str], pairs: Iterable[Pair]) -> dict[str, str]:
    """The trades of the codes of NAF 2025 that need no decision, by code; `slugs` are those of rev. 2.

    The codes of rev. 2 that correspond to it with certainty decide; if there is none, all that
    correspond to it. They must have one trade in common. A code that `slugs` lacks has none.
    """
    certain: defaultdict[str, set[str]] = defaultdict(set)
    uncertain: defaultdict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        trades = certain if pair.certain else uncertain
        trades[pair.naf2025].add(slugs.get(pair.rev2, ""))
    deciding = {**uncertain, **certain}
    agreed = {code: trades for code, trades in deciding.items() if len(trades) == 1}
    return {code: slug for code, (slug,) in agreed.items() if slug}
