"""Legitimate traffic: rows of another upstream system, checks and small files of another account."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from statistics import median
from threading import Event, Thread
from time import monotonic
from typing import Any, TypeVar

from confluent_kafka import Producer

from tests.attacks.stage import Stage
from tests.fix_stack import eventually
from tests.row_records import Companies

ROWS_A_SECOND = 100
CHECKS_A_SECOND = 1
START_SECONDS = 10.0
FIRST_UPSTREAM, FIRST_OF_FILES, END = 500_000_000, 600_000_000, 700_000_000
"""SIRENs of legitimate rows. Attackers use those beyond."""

_DRAIN_SECONDS = 120.0
_CHECKED = b"siren;nom\n443061841;A\n552100554;B\n"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Measured:
    """Of one stretch of time. Rates are per second, the others are seconds."""

    rows: float
    checks: float
    check: float
    started: float


@dataclass(frozen=True)
class _Check:
    ended: float
    seconds: float


class Traffic:
    """Runs from its entry to its exit. `failures` says what was not answered as it has to be."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._companies = Companies(stage.secured.settings("fox-producer"))
        self._producer = Producer(
            {
                **stage.secured.settings("fox-producer").librdkafka(),
                "log_level": 0,
                "partitioner": "murmur2_random",
            }
        )
        self._client = stage.served.client(stage.legitimate)
        self._stopping = Event()
        self._threads = [Thread(target=each, daemon=True) for each in (self._send, self._check)]
        self._pool = ThreadPoolExecutor(1)
        self._sent = 0
        self._files = count()
        self._checks: list[_Check] = []
        self.imports: list[str] = []
        self.failures: list[str] = []

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(120)
        self._pool.shutdown()
        self._producer.flush(30)

    def measured(self, act: Callable[[], Answer]) -> tuple[Measured, Answer]:
        """What the traffic does during `act`, and what `act` returns; a small file is imported beside it.

        Rows count when they are written.
        """
        began, before = monotonic(), self._sent
        small: Future[float] = self._pool.submit(self._import)
        answer = act()
        seconds, sent = monotonic() - began, self._sent
        checks = [each for each in self._checks if each.ended > began]
        try:
            eventually(lambda: self._written() >= sent, _DRAIN_SECONDS)
        except AssertionError as error:
            self.failures.append(f"rows that were sent are not written: {error}")
        written_after = monotonic() - began
        started = small.result()
        return (
            Measured(
                (sent - before) / written_after,
                len(checks) / seconds,
                median(each.seconds for each in checks) if checks else seconds,
                started,
            ),
            answer,
        )

    def _written(self) -> int:
        """Rows of the upstream system in the table that have the name that was sent."""
        [(found,)] = self._stage.secured.execute(
            "SELECT count(*) FROM enterprise_entreprise"
            f" WHERE siren >= '{FIRST_UPSTREAM}' AND siren < '{FIRST_OF_FILES}'"
            " AND nom = 'Juste ' || siren"
        )
        return int(found)

    def _send(self) -> None:
        began = monotonic()
        while not self._stopping.wait(0.05):
            while self._sent < (monotonic() - began) * ROWS_A_SECOND:
                siren = f"{FIRST_UPSTREAM + self._sent}"
                value = self._companies.value(siren, nom=f"Juste {siren}")
                self._producer.produce(self._companies.topic, value, siren)
                self._sent += 1
            self._producer.poll(0)

    def _check(self) -> None:
        while True:
            began = monotonic()
            answer = self._ask(
                "preview/", data={"import_type": "ENTREPRISE"}, files={"file": ("a.csv", _CHECKED)}
            )
            ended = monotonic()
            if answer.get("total_rows") == 2:
                self._checks.append(_Check(ended, ended - began))
            if self._stopping.wait(max(0.0, 1 / CHECKS_A_SECOND - (ended - began))):
                return

    def _import(self) -> float:
        """Seconds until a file of two lines is begun; returns when it is written."""
        first = FIRST_OF_FILES + 2 * next(self._files)
        content = f"siren;nom\n{first};Fichier {first}\n{first + 1};Fichier {first + 1}\n"
        began = monotonic()
        made = self._ask(
            "upload/",
            data={"import_type": "ENTREPRISE"},
            files={"file": (f"{first}.csv", content.encode())},
        )
        if "id" not in made:
            return float("inf")
        self.imports.append(made["id"])

        def state(*statuses: str) -> bool:
            answer = self._client.get(f"/api/imports/{made['id']}/")
            return answer.status_code == 200 and answer.json()["status"] not in statuses

        try:
            eventually(lambda: state("PENDING"), 60)
            started = monotonic() - began
            eventually(lambda: state("PENDING", "PROCESSING"), 60)
        except AssertionError as error:
            self.failures.append(f"a file of two lines: {error}")
            return float("inf")
        return started

    def _ask(self, route: str, **request: Any) -> dict[str, Any]:
        try:
            answer = self._client.post(f"/api/imports/{route}", **request)
            if answer.is_success:
                document: dict[str, Any] = answer.json()
                return document
            self.failures.append(f"{route}: {answer.status_code} {answer.text[:200]}")
        except Exception as error:  # noqa: BLE001 - reported at the end
            self.failures.append(f"{route}: {error!r}")
        return {}
