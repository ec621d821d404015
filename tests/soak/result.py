"""What a soak came to, as text and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.soak.books import SETTLED, Import
from tests.soak.judging import growth
from tests.soak.plan import SHARE, File, Plan
from tests.soak.watching import Sample


@dataclass(frozen=True)
class Result:
    """`happened` and `late` in seconds by fault and round; `wrong` is empty where all held."""

    plan: Plan
    files: Sequence[File]
    imports: Sequence[Import]
    companies: int
    texts: Mapping[str, int]
    calls: int
    late: Mapping[int, float]
    settled_seconds: float
    samples: Sequence[Sample]
    worker_peak_mb: float
    happened: Mapping[str, float]
    fired: Sequence[str]
    explained: Mapping[str, int]
    again: Mapping[str, int]
    wrong: Sequence[str]

    def lines(self) -> Iterator[str]:
        """A line a figure, and whatever is wrong below."""
        for name, value in self.document().items():
            if name not in ("wrong", "samples"):
                yield f"{name:<24} {value}"
        yield from (f"WRONG: {text}" for text in self.wrong)
        yield "NOT as it has to be" if self.wrong else "all as it has to be"

    def document(self) -> dict[str, Any]:
        """For a program to read."""
        rows = {way: self._rows(way) for way in ("command", "upload")}
        worker = growth([(s.at, s.worker_mb) for s in self.samples], self.plan.seconds)
        gateway = growth([(s.at, s.gateway_mb) for s in self.samples], self.plan.seconds)
        return {
            "capacity": round(self.plan.capacity),
            "share": SHARE,
            "rows a round": self.plan.rows_a_round,
            "rows": sum(rows.values()),
            "rows by way": rows,
            "rows a second": round(sum(rows.values()) / self.plan.seconds),
            "imports": len(self.imports),
            "outcomes": {name: sum(one.settled[name] for one in self.imports) for name in SETTLED},
            "companies": self.companies,
            "bad rows": sum(file.bad for file in self.files),
            "texts": dict(self.texts),
            "calls of the model": self.calls,
            "late rounds": {str(number): seconds for number, seconds in self.late.items()},
            "settled after": round(self.settled_seconds, 1),
            "worker MB": worker,
            "worker peak MB": round(self.worker_peak_mb),
            "gateway MB": gateway,
            "most unfinished": max((s.unfinished or 0 for s in self.samples), default=0),
            "most lag rows": max((s.lag_rows or 0 for s in self.samples), default=0),
            "faults": {name: round(seconds, 1) for name, seconds in self.happened.items()},
            "alerts": list(self.fired),
            "explained errors": dict(self.explained),
            "done again": dict(self.again),
            "samples": [
                [s.at, s.worker_mb, s.gateway_mb, s.unfinished, s.lag_rows, sorted(s.firing)]
                for s in self.samples
            ],
            "wrong": list(self.wrong),
        }

    def _rows(self, way: str) -> int:
        """Of the load itself: what measured the capacity came before."""
        return sum(file.rows for file in self.files[2:] if file.way == way)
