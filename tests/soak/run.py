"""One soak from its servers to its result."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic, time

from deploy.local.stack import Stack
from tests.benchmarks.measuring import peak_mb
from tests.faults.logs import tracebacks
from tests.faults.outages import Outages
from tests.faults.processes import Process
from tests.fix_prometheus import Watcher, started
from tests.fix_stack import Site, eventually, prepared
from tests.openai_server import ScriptedOpenAI
from tests.soak import books, judging, lines
from tests.soak.crew import SETTINGS, Crew
from tests.soak.load import Load
from tests.soak.model import Model
from tests.soak.plan import CAPACITY, FIRST_CATEGORIES, Fault, File, Plan
from tests.soak.result import Result
from tests.soak.troubles import Troubles
from tests.soak.watching import SCRAPE_SECONDS, SECONDS, Watch

SETTLE_SECONDS = 600.0
END_SECONDS = 30.0

Report = Callable[[str], None]


def soak(minutes: float, directory: Path, report: Report) -> Result:
    """On servers of its own below a directory that is there."""
    with ScriptedOpenAI() as model, Stack(directory / "stack", keep_schemas=True) as stack:
        site = prepared(stack, quick=False)
        site.settings = {**model.environment, **SETTINGS}
        crew = Crew(site, directory / "spool")
        try:
            return _Run(site, crew, model, directory, report).result(minutes)
        finally:
            crew.kill()


class _Run:
    def __init__(
        self, site: Site, crew: Crew, model: ScriptedOpenAI, directory: Path, report: Report
    ) -> None:
        self._site = site
        self._crew = crew
        self._model = model
        self._directory = directory
        self._report = report
        self._script = model.script = Model()
        self._outages = Outages(site.stack, lambda _: None)
        self._troubles = Troubles(crew, self._outages, self._script, report)
        self._load = Load(crew, directory, self._away)
        self._wrong: list[str] = []

    def _away(self, moment: float) -> bool:
        return self._outages.near(moment) or self._troubles.near(moment, "gateway SIGKILL")

    def result(self, minutes: float) -> Result:
        prometheus = self._prepare()
        self._troubles.started()
        capacity = self._capacity()
        plan = Plan(minutes, capacity)
        self._report(f"{capacity:,.0f} rows/s: {plan.rows_a_round:,} rows every 20 s")
        steady = self._crew.workers["steady"]
        watch = Watch(prometheus, lambda: steady, lambda: self._crew.gateway)
        watch.start()
        began = time()
        self._go(plan)
        settled = self._settle()
        watch.stop()
        fired = watch.fired()
        if steady.code is not None:
            self._wrong.append(f"the steady worker ended with {steady.code}")
        worker_peak = peak_mb(steady.guarded.pid)
        self._end()
        return self._judged(plan, watch, fired, began, settled, worker_peak)

    def _prepare(self) -> Watcher:
        """Returns when all are ready and watched."""
        for name in self._crew.ports:
            self._crew.start_worker(name)
        for name in self._crew.ports:
            eventually(partial(self._crew.ready, name))
        self._crew.start_gateway()
        ports = {
            "foxstream-worker": list(self._crew.ports.values()),
            "foxstream-gateway": [self._crew.served.port],
        }
        found = started(self._site.stack, self._directory, ports, SCRAPE_SECONDS)
        eventually(lambda: len(found.query("up == 1")) == 3)
        return found

    def _capacity(self) -> float:
        """Rows/s of one import by command, on a system that does nothing else."""
        self._load.send(FIRST_CATEGORIES)
        begun = monotonic()
        self._load.send(CAPACITY)
        seconds = monotonic() - begun
        if self._load.failures:
            raise SystemExit("\n".join(self._load.failures))
        return CAPACITY.rows / seconds

    def _go(self, plan: Plan) -> None:
        """Begins files and faults at their times; returns when the plan's time is over."""
        begun = monotonic()
        every: list[File | Fault] = [*plan.files, *plan.faults]
        steps = sorted(every, key=lambda step: step.at)
        minute = 0
        for step in steps:
            Event().wait(max(0.0, step.at - (monotonic() - begun)))
            if isinstance(step, Fault):
                self._troubles.begin(step)
            else:
                self._load.begin(step)
            if step.at // 60 > minute:
                minute = int(step.at // 60)
                self._report(f"minute {minute}: {self._rows_sent():,} rows sent")
        Event().wait(max(0.0, plan.seconds - (monotonic() - begun)))
        self._report(f"the last file is sent: {self._rows_sent():,} rows")

    def _rows_sent(self) -> int:
        return sum(file.rows for file in self._load.sent)

    def _settle(self) -> float:
        """Returns when nothing is left to do; seconds."""
        begun = monotonic()
        self._load.wait()
        self._troubles.wait()
        try:
            eventually(lambda: books.unsettled(self._site) == 0, SETTLE_SECONDS)
        except AssertionError:
            left = books.unsettled(self._site)
            self._wrong.append(f"{left} things are left to do {SETTLE_SECONDS:.0f} s later")
        return monotonic() - begun

    def _end(self) -> None:
        """Ends the workers in order, so that what they log at their end is looked at as well."""
        for name, worker in self._crew.workers.items():
            if worker.code is None:
                worker.end()
                eventually(partial(_over, worker), END_SECONDS)
            if worker.code != 0:
                self._wrong.append(f"the {name} worker ended with {worker.code}")
        self._crew.gateway.guarded.stop()
        self._outages.close()

    def _judged(
        self,
        plan: Plan,
        watch: Watch,
        fired: frozenset[str],
        began: float,
        settled: float,
        worker_peak: float,
    ) -> Result:
        files = [FIRST_CATEGORIES, CAPACITY, *self._load.sent]
        imports = books.imports(self._site)
        rows, rejects = books.rows_in_tables(self._site), books.rejects(self._site)
        happened = self._troubles.seconds
        explained, unexplained = judging.errors(
            lines.errors(self._crew.processes),
            lambda moment, names: self._troubles.near(moment, *names),
        )
        worker_mb = [(sample.at, sample.worker_mb) for sample in watch.samples]
        gateway_mb = [(sample.at, sample.gateway_mb) for sample in watch.samples]
        found = (
            *self._load.failures,
            *self._troubles.failures,
            *watch.failures,
            *judging.seen(watch.samples, plan.seconds, SECONDS),
            *judging.imports(files, imports),
            *judging.tables(files, rows, rejects),
            *judging.memory("worker", worker_mb, plan.seconds),
            *judging.memory("gateway", gateway_mb, plan.seconds),
            *judging.peak("worker", worker_peak),
            *judging.alerts(fired, happened),
            *(f"error in the log, {times}×: {name}" for name, times in unexplained.items()),
            *(f"traceback: {text}" for text in self._tracebacks()),
        )
        return Result(
            plan=plan,
            files=files,
            imports=imports,
            companies=rows["ENTREPRISE"],
            texts=books.texts(self._site),
            calls=len(self._model.calls),
            late=judging.late(self._load.sent, imports, began),
            settled_seconds=settled,
            samples=watch.samples,
            worker_peak_mb=worker_peak,
            happened=happened,
            fired=sorted(fired),
            explained=explained,
            again=self._load.notes,
            wrong=[*self._wrong, *found],
        )

    def _tracebacks(self) -> Iterator[str]:
        return tracebacks(self._crew.processes, self._outages)


def _over(process: Process) -> bool:
    return process.code is not None
