"""Whether an attack did what none may: what is judged, and the line of the table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.attacks.stage import GATEWAY_BYTES, WORKER_BYTES
from tests.attacks.traffic import START_SECONDS, Measured

LEAST_SHARE = 0.8
MOST_CHECK_RATIO = 2.0
MOST_START_RATIO = 1.5
"""Where a file of two lines begins later than in START_SECONDS without an attack: on a busy machine."""
HEADINGS = (
    "attack", "rows/s", "attacked", "share", "checks", "check s", "attacked", "import s", "attacked",
    "worker MB", "gateway MB", "",
)  # fmt: skip
_WIDTHS = (20, 7, 8, 6, 7, 8, 9, 8, 8, 9, 10)


@dataclass(frozen=True)
class Verdict:
    """Of one attack. `found` is what its script and the state after it have against it."""

    name: str
    fair: bool
    quiet: Measured
    attacked: Measured
    worker_mb: float
    gateway_mb: float
    found: Sequence[str]

    @property
    def share(self) -> float:
        """Of the rate of rows."""
        return self.attacked.rows / self.quiet.rows if self.quiet.rows else 0.0

    @property
    def check_share(self) -> float:
        """Of the rate of checks."""
        return self.attacked.checks / self.quiet.checks if self.quiet.checks else 0.0

    @property
    def wrong(self) -> list[str]:
        """What is not as it has to be."""
        return [*self.found, *self._judged()]

    def cells(self) -> tuple[str, ...]:
        """Of a line of the table."""
        return (
            self.name,
            f"{self.quiet.rows:.0f}",
            f"{self.attacked.rows:.0f}",
            f"{self.share:.0%}",
            f"{self.check_share:.0%}",
            f"{self.quiet.check:.2f}",
            f"{self.attacked.check:.2f}",
            f"{self.quiet.started:.1f}",
            f"{self.attacked.started:.1f}",
            f"{self.worker_mb:.0f}",
            f"{self.gateway_mb:.0f}",
            "; ".join(self.wrong) or "ok",
        )

    def _judged(self) -> Iterator[str]:
        if self.share < LEAST_SHARE:
            yield f"rows keep {self.share:.0%} of their rate"
        if self.check_share < LEAST_SHARE:
            yield f"checks keep {self.check_share:.0%} of their rate"
        if self.fair and self.attacked.check > MOST_CHECK_RATIO * self.quiet.check:
            yield f"a check takes {self.attacked.check / self.quiet.check:.1f} times as long"
        if self.attacked.started > max(START_SECONDS, MOST_START_RATIO * self.quiet.started):
            yield f"a file of two lines begins after {self.attacked.started:.0f} s"
        if self.worker_mb * 1e6 > WORKER_BYTES:
            yield "the worker takes too much memory"
        if self.gateway_mb * 1e6 > GATEWAY_BYTES:
            yield "the gateway takes too much memory"


def line(cells: Sequence[str]) -> str:
    """Cells below each other's."""
    widths = [*_WIDTHS, 0]
    first, *others = zip(cells, widths, strict=True)
    aligned = [cell.rjust(width) if width else cell for cell, width in others]
    return "  ".join([first[0].ljust(first[1]), *aligned])
