"""How long texts wait that would be asked for now, by what workers publish of their queue."""

from collections.abc import Mapping
from math import ceil
from typing import Any

Stats = Mapping[str, Mapping[str, Any]]


def minutes(stats: Stats, texts: int) -> int | None:
    """Until the last of so many texts is written, at most; None if nobody knows, or none is written now.

    All that is as urgent is written first, at the pace that the limits allow (`per_hour` of the subject
    `ai` of schemas/avro/stats.avsc). Imports take turns, so that it may be sooner.
    """
    known = stats.get("ai")
    if known is None or known["trouble"]:
        return None
    counts = known["counts"]
    pace: int = counts.get("per_hour", 0)
    if not pace:
        return None
    waiting: int = counts.get("urgent", 0) + counts["running"] + texts
    return ceil(waiting * 60 / pace)
