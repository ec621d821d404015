"""What a run came to, as text and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.faults.check import Findings
from tests.faults.plan import Plan, Wave
from tests.faults.run import Tally


@dataclass(frozen=True)
class Result:
    """`failures` are of the run itself, `findings` of what it left."""

    plan: Plan
    waves: Sequence[Wave]
    tally: Tally
    failures: Sequence[str]
    findings: Findings
    seconds: float

    @property
    def good(self) -> bool:
        return not self.failures and not self.findings.differences

    def lines(self) -> Iterator[str]:
        """The table, and whatever is wrong below it."""
        yield f"{'fault':<50} {'asked':>6} {'seen':>6}"
        for kind, asked in sorted(self.tally.asked.items()):
            yield f"{kind:<50} {asked:>6} {self.tally.seen[kind]:>6}"
        yield f"{'all':<50} {self.tally.asked.total():>6} {self.tally.seen.total():>6}"
        for name, value in self._figures().items():
            yield f"{name:<50} {value:>13,}"
        for note, times in sorted(self.tally.notes.items()):
            yield f"{note:<50} {times:>13,}"
        for failure in self.failures:
            yield f"FAILURE: {failure}"
        for difference in self.findings.differences:
            yield f"DIFFERENCE: {difference}"
        yield "all as it has to be" if self.good else "NOT as it has to be"

    def document(self) -> dict[str, Any]:
        """For a program to read."""
        return {
            "plan": asdict(self.plan),
            "good": self.good,
            **self._figures(),
            "asked": dict(self.tally.asked),
            "seen": dict(self.tally.seen),
            "notes": dict(self.tally.notes),
            "failures": list(self.failures),
            "differences": self.findings.differences,
        }

    def _figures(self) -> dict[str, int]:
        files = [file for wave in self.waves for file in wave.files]
        return {
            "rows": sum(file.rows for file in files),
            "imports": len(files),
            "rows in tables": self.findings.rows_in_tables,
            "rejects": self.findings.rejects,
            "rejects published again": self.findings.rejects_repeated,
            "states published again": self.findings.states_repeated,
            "seconds": round(self.seconds),
        }
