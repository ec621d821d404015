"""Five workers with the specification's limits for five: 50 imports and 25 calls to the model a minute.

    python -m tests.benchmarks.rates [MINUTES]

One client sends files to one gateway: as many at once as the limit lets through, then one every 1.2
seconds for so many minutes, and at each full minute again as many as the limit lets through. All
rows are new: companies, 2.5 million rows an hour of them, and in every tenth file cities that ask
for texts. Then imports that ask for texts alone, with the limits of one worker and of five.
Writes results/rates.json; ends with code 1 where any row, text or limit is not as it has to be.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from threading import Event
from time import monotonic, time
from typing import Any, NamedTuple

from deploy.local.processes.ports import free_port
from tests.benchmarks.gateway import percentiles
from tests.benchmarks.measuring import cpu_seconds, peak_mb, save
from tests.benchmarks.stage import Stage, stage, words
from tests.faults.processes import Process, Starter
from tests.fix_gateway import Served
from tests.fix_stack import Site, eventually, prepared
from tests.long_run import report, worker_ready
from tests.openai_server import Reply, ScriptedOpenAI, most_in
from tests.soak import books, judging
from tests.soak.files import content
from tests.soak.plan import File

MINUTES = 5
ROWS_AN_HOUR = 2_500_000
TEXTS = 5
"""Of every tenth file: as many a minute as five workers may ask for."""

TEXTS_EVERY = 10
PARTITIONS = 8
"""More than workers: of the four of the default one worker would have none."""

ANSWER_SECONDS = (2.0, 4.0)
MINUTE = 60.0
SETTLE_SECONDS = 600.0


class Limits(NamedTuple):
    """So many workers, and the specification's limits a minute for them."""

    workers: int
    imports: int
    calls: int


ONE, FIVE = Limits(1, 10, 5), Limits(5, 50, 25)
COMPANIES = -(-ROWS_AN_HOUR // (60 * (FIVE.imports - FIVE.imports // TEXTS_EVERY)))
"""Rows of a file of companies."""

ALONE = ((ONE, 10), (ONE, 15), (FIVE, 10), (FIVE, 75))
"""Texts of an import that has the model for itself: ten, and what three minutes of calls are."""


class Sent(NamedTuple):
    """A file that the gateway took; `at` in seconds of the epoch, before its first byte."""

    file: File
    at: float


@dataclass
class Running:
    """Workers, a gateway and a model of their own."""

    site: Site
    limits: Limits
    workers: Sequence[Process]
    served: Served
    model: ScriptedOpenAI

    def upload(self, file: File) -> int | None:
        """Sends a file; the seconds of Retry-After where the limit refuses it."""
        texts = {"generate_ai_content": "true"} if file.texts else {}
        answer = self.served.upload(file.name, content(file), file.kind, **texts)
        if answer.status_code == 202:
            return None
        assert answer.status_code == 429, f"{answer.status_code}: {answer.text}"
        return int(answer.headers["Retry-After"])

    def settled(self, imports: int) -> None:
        """Returns when so many imports have ended with all their texts."""
        eventually(
            lambda: len(books.imports(self.site)) >= imports and not books.unsettled(self.site),
            SETTLE_SECONDS,
        )

    def last_texts(self) -> dict[str, float]:
        """When the last text of an import was written, in seconds of the epoch, by its file."""
        found = self.site.query(
            """
            SELECT i.file_name, extract(epoch FROM max(e.finished_at))::float
            FROM ingest.enrichment e JOIN ingest.imports i ON i.id = e.import_id GROUP BY 1
            """
        )
        return dict(found)

    def check(self, files: Sequence[File]) -> None:
        """Raises SystemExit where a row, a text, a call or a worker is not as it has to be."""
        imports = books.imports(self.site)
        texts = {"done": sum(file.asked for file in files)}
        most = self.model.most_in(MINUTE)
        wrong = [
            *judging.imports(files, imports),
            *judging.tables(files, books.rows_in_tables(self.site), books.rejects(self.site)),
            *(
                f"{one.name}: {one.settled['inserted']} rows inserted of {one.total}"
                for one in imports
                if one.settled["inserted"] != one.total
            ),
            *([f"texts: {books.texts(self.site)}"] if books.texts(self.site) != texts else []),
            *([f"{most} calls in {MINUTE:.0f} s"] if most > self.limits.calls else []),
            *(f"paid {1 + n} times: {prompt}" for prompt, n in self.model.repeats().items()),
            *(f"{one.log.name} ended with {one.code}" for one in self.workers if one.code is not None),
        ]  # fmt: skip
        if wrong:
            raise SystemExit("\n".join(wrong))


@contextmanager
def running(on: Stage, limits: Limits) -> Iterator[Running]:
    """Ready, with topics and a database of their own."""
    site = prepared(on.stack, quick=False)
    widened = site.foxstream_worker("topics", "--partitions", str(PARTITIONS))
    assert widened.code == 0, widened.stderr
    starter = Starter(site)
    spool = on.directory / f"{site.prefix}spool"
    own = {
        "FOX_GATEWAY_IMPORTS_PER_MINUTE": str(limits.imports),
        "FOX_GATEWAY_RETRY_SECONDS": "5",  # the default, which the tests' own gateways do not have
    }
    served = Served(site, spool, free_port(), own)
    chance = random.Random(732)
    with ScriptedOpenAI() as model:
        model.script = lambda _: Reply(hang=chance.uniform(*ANSWER_SECONDS))
        site.settings = {**model.environment, "FOX_AI_REQUESTS_PER_MINUTE": str(limits.calls)}
        try:
            ports = [free_port() for _ in range(limits.workers)]
            workers = [
                starter.start("worker", ["run"], None, FOX_METRICS_PORT=str(port)) for port in ports
            ]
            for worker, port in zip(workers, ports, strict=True):
                eventually(partial(worker_ready, worker, port))
            yield Running(site, limits, workers, served.start(), model)
        finally:
            served.close()
            for process in (*site.spawned, *(one.guarded for one in starter.started)):
                process.stop()


@dataclass
class Client:
    """Sends files one after another; one that is refused is sent again.

    `upload` sends a file, and tells the seconds of Retry-After where it is refused, as `refused`
    keeps them. `limit`: uploads a minute.
    """

    upload: Callable[[File], int | None]
    limit: int
    sent: list[Sent] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._files = files()
        self._next = next(self._files)

    def send(self) -> int | None:
        """The next file; the seconds of Retry-After where it is refused."""
        at = time()
        wait = self.upload(self._next)
        if wait is None:
            self.sent.append(Sent(self._next, at))
            self._next = next(self._files)
        else:
            self.refused.append(wait)
        return wait

    def push(self) -> int:
        """Sends until one is refused; its Retry-After."""
        for _ in range(2 * self.limit):
            if (wait := self.send()) is not None:
                return wait
        raise SystemExit(f"the limit of {self.limit} a minute refuses nothing")

    def go(self, minutes: int) -> None:
        """Evenly, and at each full minute until one is refused."""
        first, began = len(self.sent), time()
        for minute in range(minutes):
            if minute:
                self.push()
            while (sent := len(self.sent) - first) < self.limit * (minute + 1):
                Event().wait(max(0.0, began + sent * MINUTE / self.limit - time()))
                while wait := self.send():
                    Event().wait(wait)


def files() -> Iterator[File]:
    """One after another, without end; no row is in two of them."""
    cities = companies = 0
    for number in count():
        if number % TEXTS_EVERY == 0:
            yield File(f"{number:04d}.csv", "VILLE", "upload", 0.0, cities, TEXTS, texts=True)
            cities += TEXTS
        else:
            yield File(f"{number:04d}.csv", "ENTREPRISE", "upload", 0.0, companies, COMPANIES)
            companies += COMPANIES


class Meter:
    """CPU seconds of workers together, of the gateway and of the servers, from now on."""

    def __init__(self, on: Stage, place: Running) -> None:
        assert place.served.process is not None
        self._pids = {
            "workers": [one.guarded.pid for one in place.workers],
            "gateway": [place.served.process.pid],
            **{name: [pid] for name, pid in on.server_pids().items()},
        }
        self._before = self._all()

    def _all(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._pids.items()}

    def used(self) -> dict[str, float]:
        return {name: round(all_ - self._before[name], 1) for name, all_ in self._all().items()}


def together(on: Stage, minutes: int) -> dict[str, Any]:
    """What the limits of five workers let through, and how long it takes."""
    with running(on, FIVE) as place:
        client = Client(place.upload, FIVE.imports)
        wait = client.push()
        burst = list(client.sent)
        Event().wait(wait)
        meter = Meter(on, place)
        began, clock = time(), monotonic()
        client.go(minutes)
        lasted = time() - began
        cpu = meter.used()
        calls = sum(clock <= call.at < clock + lasted for call in place.model.calls)
        report(f"{len(client.sent)} files are taken, {len(client.refused)} were refused")
        place.settled(len(client.sent))
        place.check([one.file for one in client.sent])
        return {
            **of_imports(place, burst, client.sent[len(burst) :], MINUTE * minutes),
            "refused": len(client.refused),
            "Retry-After": [min(client.refused), max(client.refused)],
            "texts": sum(one.file.asked for one in client.sent),
            "calls a minute": round(calls * MINUTE / lasted, 1),
            "most calls in a minute": place.model.most_in(MINUTE),
            "CPU s": cpu,
            "of s": round(lasted, 1),
            "worker MB": [round(peak_mb(one.guarded.pid)) for one in place.workers],
        }


def of_imports(
    place: Running, burst: Sequence[Sent], steady: Sequence[Sent], planned: float
) -> dict[str, Any]:
    """Rates and times of what came at once, and of what then came evenly in the seconds planned.

    Raises SystemExit where more was taken than the limit allows.
    """
    taken = most_in([one.at for one in steady], MINUTE)
    if taken > FIVE.imports + 1:  # less than one was left, and clocks differ by a moment
        raise SystemExit(f"{taken} uploads were taken in a minute")
    ended = {one.name: one.ended or 0.0 for one in books.imports(place.site)}
    texts = place.last_texts()
    rows = sum(one.file.rows for one in steady)
    seconds = max(planned, max(ended[one.file.name] for one in steady) - steady[0].at)
    return {
        "at once": {
            "imports": len(burst),
            "rows": sum(one.file.rows for one in burst),
            "last ended after s": round(max(ended[one.file.name] for one in burst) - burst[0].at, 1),
        },
        "imports": len(steady),
        "rows": rows,
        "seconds": round(seconds, 1),
        "imports a minute": round(len(steady) * MINUTE / seconds, 1),
        "rows a second": round(rows / seconds),
        "most imports taken in a minute": taken,
        "from upload to end, ms": percentiles([ended[one.file.name] - one.at for one in steady]),
        "from upload to the last text, ms": percentiles(
            [texts[one.file.name] - one.at for one in steady if one.file.texts]
        ),
    }  # fmt: skip


def alone(on: Stage, limits: Limits, texts: int) -> dict[str, Any]:
    """One import that asks for so many texts, with nothing beside it."""
    with running(on, limits) as place:
        file = File("cities.csv", "VILLE", "upload", 0.0, 0, texts, texts=True)
        at = time()
        assert place.upload(file) is None
        place.settled(1)
        place.check([file])
        [one] = books.imports(place.site)
        assert one.ended is not None
        return {
            "workers": limits.workers,
            "calls a minute": limits.calls,
            "texts": texts,
            "import ended after s": round(one.ended - at, 2),
            "last text after s": round(place.last_texts()[file.name] - at, 1),
            "most calls in a minute": place.model.most_in(MINUTE),
        }


def main(minutes: int) -> None:
    with stage() as on:
        results: dict[str, Any] = {"together": together(on, minutes), "alone": []}
        print(json.dumps(results["together"], indent=1))
        for limits, texts in ALONE:
            results["alone"].append(alone(on, limits, texts))
            print(results["alone"][-1])
    save("rates", results, minutes=minutes, answer_seconds=ANSWER_SECONDS)


if __name__ == "__main__":
    main(*words([MINUTES]))
