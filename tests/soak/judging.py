"""What is wrong with what a soak has left: each function tells all that it finds, and nothing else."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from tests.soak.books import TERMINAL, Import
from tests.soak.lines import Line
from tests.soak.plan import ROUND_SECONDS, File, Kind
from tests.soak.troubles import FIRST_START
from tests.soak.watching import Sample

GROWTH_SHARE, GROWTH_MB, PEAK_MB = 0.10, 25.0, 250.0


class Intended(NamedTuple):
    """The fault that means an alert to fire, and has to where it lasts for so many seconds."""

    fault: str
    seconds: float


INTENDED: Mapping[str, Intended] = {
    # What the alerts wait themselves, a minute and five, and some looks of Prometheus.
    "FoxWorkerDown": Intended("worker SIGKILL", 80.0),
    "FoxAiBreakerOpen": Intended("model answers 503", 400.0),
}

EXPLAINED: Mapping[str, tuple[str, ...]] = {
    # Five calls that failed one after the other, and then each probe.
    "ai_breaker_open": ("model answers 503",),
    # The first group of all: Kafka makes the topic of its offsets, and aiokafka asks again.
    "Group Coordinator Request failed": (FIRST_START,),
}
"""How errors in the logs begin, by action or else by event, and the faults that each may come of."""


def imports(files: Sequence[File], found: Sequence[Import]) -> Iterator[str]:
    """Each file is one import that has ended, and every row of it is accounted for once."""
    expected = {file.name: file for file in files}
    times = Counter(one.name for one in found)
    for name in expected.keys() | times.keys():
        if times[name] != (name in expected):
            yield f"{name}: {times[name]} imports, expected {int(name in expected)}"
    for one in found:
        if one.name in expected:
            yield from (f"{one.name}: {what}" for what in _import(expected[one.name], one))


def _import(file: File, one: Import) -> Iterator[str]:
    if one.status not in TERMINAL or one.ended is None:
        yield f"has not ended: {one.status}"
    elif one.status != (status := "PARTIAL" if file.bad else "SUCCESS"):
        yield f"is {one.status}, expected {status}"
    told = (
        (one.total, file.rows, "rows in all"),
        (sum(one.settled.values()), one.total, "rows accounted for"),
        (one.settled["rejected"], file.bad, "rows rejected"),
        (one.settled["parked"], 0, "rows parked"),
        (one.texts_asked, file.asked, "texts asked for"),
        (one.texts_wait, 0, "texts without an outcome"),
    )
    for value, expected, what in told:
        if value != expected:
            yield f"{value} {what}, expected {expected}"


def tables(files: Iterable[File], rows: Mapping[Kind, int], rejects: int) -> Iterator[str]:
    """Each entity is one row, each bad row one reject."""
    sent: dict[Kind, set[int]] = {kind: set() for kind in rows}
    bad = 0
    for file in files:
        sent[file.kind].update(file.numbers())
        bad += file.bad
    for kind, count in rows.items():
        if count != len(sent[kind]):
            yield f"{kind}: {count} rows in the table, {len(sent[kind])} different ones were sent"
    if rejects != bad:
        yield f"{rejects} rejects, {bad} rows were bad"


def memory(name: str, mb: Sequence[tuple[float, float | None]], seconds: float) -> Iterator[str]:
    """Flat: what a process held after its first third, beside what it holds in the last sixth."""
    early, late = growth(mb, seconds)
    if early is None or late is None:
        yield f"{name}: its memory was not seen"
        return
    more = late - early
    if more > GROWTH_MB or more > GROWTH_SHARE * early:
        yield f"{name}: grew from {early:.0f} to {late:.0f} MB"


def growth(
    mb: Sequence[tuple[float, float | None]], seconds: float
) -> tuple[float | None, float | None]:
    """The medians of the sixth after the first third and of the last sixth, in MB."""

    def middle(begin: float, end: float) -> float | None:
        some = [value for at, value in mb if begin <= at / seconds < end and value is not None]
        return median(some) if some else None

    return middle(2 / 6, 3 / 6), middle(5 / 6, 1.0)


def peak(name: str, mb: float) -> Iterator[str]:
    if not 0 < mb < PEAK_MB:
        yield f"{name}: held {mb:.0f} MB, at most {PEAK_MB:.0f} are allowed"


def alerts(fired: Collection[str], happened: Mapping[str, float]) -> Iterator[str]:
    """No alert but of a fault; and those that a fault was long enough for. Seconds by fault."""
    for alert in sorted(fired):
        if alert not in INTENDED or INTENDED[alert].fault not in happened:
            yield f"alert {alert} fired, and no fault means it to"
    for alert, (fault, least) in INTENDED.items():
        if happened.get(fault, 0.0) > least and alert not in fired:
            yield f"alert {alert} did not fire, although {fault} lasted {happened[fault]:.0f} s"


def errors(
    lines: Iterable[Line], near: Callable[[float, tuple[str, ...]], bool]
) -> tuple[Counter[str], Counter[str]]:
    """How often each error was logged, explained by a fault and not. `near`: by one of these then."""
    explained: Counter[str] = Counter()
    unexplained: Counter[str] = Counter()
    for line in lines:
        begin = next((begin for begin in EXPLAINED if line.name.startswith(begin)), None)
        if begin is not None and near(line.moment, EXPLAINED[begin]):
            explained[begin] += 1
        else:
            unexplained[f"{line.log}: {line.event[:200]}"] += 1
    return explained, unexplained


def seen(samples: Sequence[Sample], seconds: float, every: float) -> Iterator[str]:
    """Someone has looked all the time."""
    if len(samples) < 0.8 * seconds / every:
        yield f"only {len(samples)} looks in {seconds:.0f} s"
    if not any(sample.lag_rows is not None for sample in samples):
        yield "Prometheus has told nothing"


def late(files: Sequence[File], found: Sequence[Import], began: float) -> dict[int, float]:
    """Rounds that had not ended when the next began, and how many seconds later they did."""
    ends = {one.name: one.ended for one in found}
    over: dict[int, float] = {}
    for file in files:
        number = int(file.at // ROUND_SECONDS)
        ended = ends.get(file.name)
        if ended is not None:
            late_by = ended - began - (number + 1) * ROUND_SECONDS
            over[number] = max(over.get(number, late_by), late_by)
    return {number: round(seconds, 1) for number, seconds in over.items() if seconds > 0}
