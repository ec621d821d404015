"""The faults of a plan, each carried out in a thread of its own at its time."""

from collections.abc import Callable, Mapping
from threading import Event, Thread
from time import monotonic, time

from tests.faults.faults import Fault as ServerFault
from tests.faults.faults import Kind
from tests.faults.outages import Outage, Outages
from tests.faults.processes import KILLED
from tests.fix_stack import eventually
from tests.soak.crew import Crew
from tests.soak.model import Model
from tests.soak.plan import Fault

FIRST_START = "first start"
"""No fault, but it explains as one does: Kafka has no groups yet, and PostgreSQL no rows."""

UNREACHABLE = 5
END_SECONDS = 30.0
READY_SECONDS = 60.0


class Troubles:
    """`failures` are faults that did not go as they had to."""

    def __init__(
        self, crew: Crew, outages: Outages, model: Model, report: Callable[[str], None]
    ) -> None:
        self._crew = crew
        self._outages = outages
        self._model = model
        self._report = report
        self._threads: list[Thread] = []
        self._work: Mapping[str, Callable[[float], None]] = {
            "gateway SIGKILL": self._kill_gateway,
            "worker SIGKILL": self._kill_worker,
            "worker SIGTERM": self._end_worker,
            "model answers 503": self._silence_model,
            "postgres stopped": self._server("postgres", "end"),
            "kafka paused": self._server("kafka", "stop"),
            "registry stopped": self._server("registry", "end"),
        }
        self.all = [Outage(FIRST_START, time())]
        self.failures: list[str] = []

    def near(self, moment: float, *names: str) -> bool:
        """Whether one of these faults, or any, explains what happened then."""
        return any(one.explains(moment) for one in self.all if not names or one.what in names)

    def started(self) -> None:
        """The first start is over."""
        self.all[0].ended = time()

    @property
    def seconds(self) -> dict[str, float]:
        """How long each fault has lasted."""
        return {one.what: (one.ended or time()) - one.began for one in self.all[1:]}

    def begin(self, fault: Fault) -> None:
        """Makes it happen now."""
        thread = Thread(target=self._run, args=[fault], daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait(self) -> None:
        """Returns when all is back that was away."""
        for thread in self._threads:
            thread.join()
        self._outages.wait()

    def _run(self, fault: Fault) -> None:
        happened = Outage(fault.name, time())
        self.all.append(happened)
        self._report(f"{fault.name} begins")
        try:
            self._work[fault.name](fault.seconds)
        except Exception as error:  # noqa: BLE001 - told at the end, in the other thread
            self.failures.append(f"{fault.name}: {error!r}")
        happened.ended = time()
        self._report(f"{fault.name} is over after {happened.ended - happened.began:.0f} s")

    def _server(self, server: str, action: str) -> Callable[[float], None]:
        def work(seconds: float) -> None:
            kind = Kind(server, action, seconds=seconds)  # type: ignore[arg-type]
            self._outages.begin(ServerFault(0, kind, 1, 0.0))
            eventually(lambda: not self._outages.away(server))

        return work

    def _kill_gateway(self, _: float) -> None:
        self._crew.served.kill()
        assert self._crew.gateway.code is not None
        self._crew.start_gateway()

    def _kill_worker(self, seconds: float) -> None:
        worker = self._crew.workers["shaken"]
        worker.guarded.kill()
        if worker.code != KILLED:
            raise ValueError(f"the worker had ended with {worker.code}")
        Event().wait(seconds)
        self._start_worker()

    def _end_worker(self, _: float) -> None:
        worker = self._crew.workers["shaken"]
        worker.end()
        eventually(lambda: worker.code is not None, END_SECONDS)
        if worker.code != 0:
            raise ValueError(f"the worker ended with {worker.code}")
        self._start_worker()

    def _start_worker(self) -> None:
        self._crew.start_worker("shaken")
        eventually(self._worker_is_up, READY_SECONDS)

    def _worker_is_up(self) -> bool:
        """Starts it again, as whoever supervises it does, where a server was away when it began."""
        worker = self._crew.workers["shaken"]
        if not worker.guarded.running:
            eventually(lambda: worker.code is not None, END_SECONDS)
            if worker.code != UNREACHABLE or not self._outages.near(time()):
                raise ValueError(f"the worker ended with {worker.code} when it began")
            self._crew.start_worker("shaken")
        return self._crew.ready("shaken")

    def _silence_model(self, seconds: float) -> None:
        self._model.away_until = monotonic() + seconds
        Event().wait(seconds)
