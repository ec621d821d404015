"""The driver: waves of imports, workers that are started again, and faults on all of it."""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic, time

import psycopg

from tests.faults import upstream
from tests.faults.faults import Fault
from tests.faults.files import REFUSED_TOWN, File
from tests.faults.outages import Outages
from tests.faults.plan import Plan, Wave
from tests.faults.processes import ENDED, KILLED, Process, Starter
from tests.fix_stack import Site, eventually

WORKERS = 3
MOST_WORKERS = 5
STUCK_SECONDS = 240.0
HELD_SECONDS = 25.0
RETIRED_SECONDS = 60.0
END_SECONDS = 90.0
"""A worker that is told to end has to be gone by then."""

TICK_SECONDS = 0.05
AT_ONCE = 3
"""Faults at any time that may last side by side."""

MOST_WAITING = 4
"""Faults of a program that wait for its next start."""

EXPECTED_CODES = (0, 3)
UNREACHABLE, ALREADY = 5, 4
"""Any other exit code is a failure, whatever was away."""


class StuckError(Exception):
    """Nothing moves although all servers and workers are there."""


@dataclass
class Import:
    """An import on its way: its command is run again until it ends by itself."""

    file: File
    path: Path
    not_before: float
    process: Process | None = None
    starts: int = 0
    ended: bool = False


@dataclass
class Tally:
    """What happened: `asked` and `seen` by kind of fault."""

    asked: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


class Watch(Thread):
    """How far the imports are, asked of PostgreSQL in a thread: it may not answer for a while."""

    def __init__(self, site: Site, away: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._site = site
        self._away = away
        self._stopping = Event()
        self._figures: tuple[int, ...] = ()
        self.moved_at = monotonic()

    def run(self) -> None:
        while not self._stopping.wait(0.5):
            if self._away():
                self.moved_at = monotonic()
                continue
            try:
                self._look()
            except psycopg.Error:
                continue

    def _look(self) -> None:
        with psycopg.connect(self._site.database_url, connect_timeout=3) as connection:
            figures = connection.execute(
                """
                SELECT (SELECT sum(next_offset) FROM ingest.positions),
                    (SELECT count(*) FROM ingest.imports WHERE completed_at IS NOT NULL)
                """
            ).fetchone()
        if figures is not None and figures != self._figures:
            self._figures = figures
            self.moved_at = monotonic()

    def stop(self) -> None:
        self._stopping.set()
        self.join(20)


class Driver:
    """One run on a site that is ready for workers."""

    def __init__(
        self, site: Site, plan: Plan, directory: Path, report: Callable[[str], None]
    ) -> None:
        self.site = site
        self._plan = plan
        self._directory = directory
        self._report = report
        self._chance = random.Random(f"{plan.seed} driver")
        self._faults = plan.faults_in_order()
        self._next_fault = next(self._faults)
        self._launched = 0
        self._launch_at = monotonic()
        self._traps: dict[str, deque[Fault]] = {"worker": deque(), "foxstream": deque()}
        self._armed_at: dict[int, float] = {}
        self._starter = Starter(site)
        self._workers: list[Process] = []
        self._imports: list[Import] = []
        self.tally = Tally()
        self.outages = Outages(site.stack, self._happened)
        self._watch = Watch(site, lambda: self.outages.away("postgres"))
        self.waves: list[Wave] = []

    @property
    def processes(self) -> list[Process]:
        return self._starter.started

    def run(self) -> None:
        """Returns when rows and faults are reached and everything has come to rest."""
        self._prepare()
        self._upstream = upstream.Upstream(self.site)
        self._watch.start()
        try:
            for wave in self._plan.waves():
                if self._enough():
                    break
                self._wave(wave)
            self._rest()
        finally:
            self._watch.stop()
            self.outages.close()
            self._kill_all()

    def _prepare(self) -> None:
        self.site.settings = {"FOX_BATCH_ROWS": "1000"}
        with psycopg.connect(self.site.database_url) as connection:
            connection.execute(
                "ALTER TABLE enterprise_entreprise ADD CONSTRAINT on_earth"
                f" CHECK (ville_nom <> '{REFUSED_TOWN}')".encode()
            )

    def _enough(self) -> bool:
        rows = sum(wave.rows for wave in self.waves)
        return rows >= self._plan.rows and self.tally.seen.total() >= self._plan.faults

    # --- waves

    def _wave(self, wave: Wave) -> None:
        """Imports the files of a wave to their ends."""
        self.waves.append(wave)
        began = monotonic()
        self._imports = [
            Import(file, file.write(self._directory), monotonic() + self._chance.uniform(0, 1.5))
            for file in wave.files
        ]
        publishing = Thread(target=self._publish, args=[wave.seed], daemon=True)
        publishing.start()
        while publishing.is_alive() or not all(one.ended for one in self._imports):
            self._tick()
        for one in self._imports:
            one.path.unlink()
        self._report(
            f"wave {wave.number}: {len(wave.files)} imports, {wave.rows:,} rows, "
            f"{monotonic() - began:.0f} s; in all {sum(done.rows for done in self.waves):,} rows, "
            f"{self.tally.seen.total()} faults"
        )

    def _publish(self, seed: int) -> None:
        try:
            for transaction in upstream.transactions(seed):
                self._upstream.publish(transaction)
            self._upstream.publish_unreadable(upstream.unreadable(seed))
        except Exception as error:  # noqa: BLE001 - told at the end, in the other thread
            self._fail(f"the upstream system failed: {error!r}")

    def _tick(self) -> None:
        """Looks after everything once."""
        for process in self._alive():
            process.wake()
            self._look_at(process)
        self._look_after_workers()
        for one in self._imports:
            self._look_after_import(one)
        self._launch()
        self._check_moving()
        Event().wait(TICK_SECONDS)

    def _alive(self) -> Iterator[Process]:
        yield from self._workers
        yield from (one.process for one in self._imports if one.process is not None)

    # --- faults

    def _quota(self) -> float:
        """How many faults may have been begun by now, so that they are spread over the run."""
        rows = sum(wave.rows for wave in self.waves)
        return self._plan.faults * min(1.0, rows / self._plan.rows) + 2

    def _launch(self) -> None:
        """Begins the next fault when its time has come."""
        now = monotonic()
        if now < self._launch_at or now - self._watch.moved_at > HELD_SECONDS:
            return
        begun = self.tally.seen.total() + len(self._traps["worker"]) + len(self._traps["foxstream"])
        if begun >= self._quota() or all(one.ended for one in self._imports):
            return
        fault = self._next_fault
        if self._begin(fault):
            self._report(f"  asked {fault.number}: {fault.kind}")
            self._launch_at = now + fault.pause
            self._next_fault = next(self._faults)

    def _begin(self, fault: Fault) -> bool:
        """Whether it could be begun."""
        kind = fault.kind
        if kind.point is not None:
            waiting = self._traps[kind.target]
            if len(waiting) >= MOST_WAITING:
                return False
            waiting.append(fault)
        elif kind.target in ("worker", "foxstream"):
            candidates = [
                process
                for process in self._alive()
                if process.program == kind.target and process.free
            ]
            if not candidates or self._lasting() >= AT_ONCE:
                return False
            self._chance.choice(candidates).suffer(fault)
        elif self.outages.away(kind.target) or self._lasting() >= AT_ONCE:
            return False
        else:
            self.outages.begin(fault)
        self.tally.asked[str(kind)] += 1
        return True

    def _lasting(self) -> int:
        stopped = sum(process.resume_at is not None for process in self._alive())
        return stopped + sum(outage.ended is None for outage in self.outages.all)

    def _look_at(self, process: Process) -> None:
        if (fault := process.happened()) is not None:
            self._happened(fault)
        elif process.code is not None and process.fault is not None and process.fault.kind.point:
            # It ended otherwise before it came there: the next one may.
            self._traps[process.program].append(process.fault)
            process.fault = None

    def _happened(self, fault: Fault) -> None:
        self.tally.seen[str(fault.kind)] += 1
        self._report(f"  seen  {fault.number}: {fault.kind}")

    # --- workers

    def _look_after_workers(self) -> None:
        for worker in list(self._workers):
            self._end_late(worker)
            if worker.code is not None:
                self._workers.remove(worker)
                self._judge_end(worker)
        self._retire()
        running = [worker for worker in self._workers if worker.resume_at is None]
        traps = self._traps["worker"]
        armed = sum(worker.fault is not None for worker in self._workers)
        if len(running) < WORKERS or (traps and len(self._workers) < MOST_WORKERS):
            # One at the least has nothing to die of, or nothing would ever be done.
            fault = traps.popleft() if traps and armed < MOST_WORKERS - 1 else None
            worker = self._starter.start("worker", ["run", "rows", "imports"], fault)
            self._workers.append(worker)
            self._armed_at[id(worker)] = monotonic()

    def _retire(self) -> None:
        """Ends one worker more than there have to be, or whose point is never passed."""
        idle = [worker for worker in self._workers if worker.free and worker.told_to_end_at is None]
        if len(self._workers) > WORKERS and len(idle) > WORKERS:
            idle[0].end()
        for worker in self._workers:
            fault = worker.fault
            if (
                fault is not None
                and fault.kind.point is not None
                and worker.told_to_end_at is None
                and monotonic() - self._armed_at[id(worker)] > RETIRED_SECONDS
            ):
                worker.end()

    def _end_late(self, worker: Process) -> None:
        """Kills a worker that does not end although it was told to."""
        told_at = worker.told_to_end_at
        if told_at is None or worker.resume_at is not None or worker.code is not None:
            return
        if time() - told_at > END_SECONDS:
            self._fail(f"{worker.log.name} does not end: {worker.guarded.log_tail()[-800:]}")
            worker.guarded.kill()

    def _judge_end(self, worker: Process) -> None:
        """Notes a failure where a worker may not have ended like this."""
        self._look_at(worker)
        code, ended_at = worker.code, worker.ended_at or time()
        if code == KILLED or (code in ENDED and worker.told_to_end_at):
            return
        self.tally.notes[f"worker ended with {code}"] += 1
        if code != UNREACHABLE or not (self.outages.near(ended_at) or worker.drowsy(ended_at)):
            self._fail(f"{worker.log.name} ended with {code}: {worker.guarded.log_tail()[-1500:]}")

    # --- the commands that import

    def _look_after_import(self, one: Import) -> None:
        if one.ended or monotonic() < one.not_before:
            return
        if one.process is None:
            self._start_import(one)
        elif one.process.code is not None:
            self._judge_import(one, one.process)

    def _start_import(self, one: Import) -> None:
        traps = self._traps["foxstream"]
        words = ("--type", one.file.kind, "--policy", one.file.policy, "--yes", "--json")
        fault = traps.popleft() if traps else None
        one.process = self._starter.start("foxstream", ["import", one.path, *words], fault)
        one.starts += 1

    def _judge_import(self, one: Import, process: Process) -> None:
        self._look_at(process)
        code = process.code
        one.process = None
        if code in EXPECTED_CODES or (
            code == ALREADY and one.starts > 1 and process.already_imported
        ):
            one.ended = True
            return
        one.not_before = monotonic() + 0.2
        if code == KILLED:
            return
        self.tally.notes[f"foxstream ended with {code}"] += 1
        if code != UNREACHABLE or not self.outages.near(process.ended_at or time()):
            self._fail(
                f"{process.log.name} ended with {code}: {process.guarded.log_tail()[-1500:]}"
            )
            one.ended = one.starts > 20

    # --- the end

    def _check_moving(self) -> None:
        if monotonic() - self._watch.moved_at > STUCK_SECONDS:
            raise StuckError(self._where())

    def _where(self) -> str:
        held = self.site.query("SELECT topic, partition, next_offset FROM ingest.positions")
        unfinished = self.site.query(
            "SELECT file_name, status, total_rows FROM ingest.imports WHERE completed_at IS NULL"
        )
        tails = "\n".join(
            f"{worker.log.name} {worker.code}: {worker.guarded.log_tail()[-800:]}"
            for worker in self._workers
        )
        return f"nothing moves: {sorted(held)}, {unfinished}\n{tails}"

    def _rest(self) -> None:
        """Lets the workers settle all that is published, then ends them in order."""
        self.outages.wait()
        self._upstream.publish_unreadable(upstream.last())
        self._launch_at = float("inf")
        for waiting in self._traps.values():
            waiting.clear()
        while not self._settled() or any(worker.asleep for worker in self._workers):
            self._tick()
        for worker in self._workers:
            worker.end()
        eventually(self._all_ended, END_SECONDS + 15)
        for worker in self._workers:
            self._judge_end(worker)
        self._workers.clear()

    def _all_ended(self) -> bool:
        for worker in self._workers:
            self._look_at(worker)
            worker.wake(at_once=True)
            self._end_late(worker)
        return all(worker.code is not None for worker in self._workers)

    def _settled(self) -> bool:
        """Whether nothing is left to do for the workers."""
        [(left,)] = self.site.query(
            """
            SELECT (SELECT count(*) FROM ingest.rejects WHERE published_at IS NULL)
                + (SELECT count(*) FROM ingest.imports
                    WHERE completed_at IS NULL OR published_version < version
                        OR stray_offset > published_offset)
            """
        )
        stored = {
            (topic, partition): next_offset
            for topic, partition, next_offset in self.site.query(
                "SELECT topic, partition, next_offset FROM ingest.positions"
            )
        }
        return left == 0 and stored == upstream.ends(self.site)

    def _kill_all(self) -> None:
        for process in self.processes:
            process.guarded.kill()

    def _fail(self, text: str) -> None:
        self.tally.failures.append(text)
        self._report(f"FAILURE: {text}")
