"""How rows are validated and written, what is measured of it, and when jobs run."""

import asyncio
import socket
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from processors.imports.state import state_of
from processors.kafka.batch import Batch
from processors.kafka.consumer import BatchTransport
from processors.monitoring.health import Health
from processors.rows.merge.targets import TARGETS
from processors.rows.writer import RelatedTypes
from processors.settings import Settings
from processors.worker import topology
from processors.worker.process import _served
from producers.commands.arguments import reading_options
from producers.imports.preview import preview_of
from schemas.import_types import ENTREPRISE
from tests.effects.case import COMMAND, WORKER, Place, Proven, Seen
from tests.effects.servers import world
from tests.unit.test_states import NOW, facts
from tests.unit.test_validation import company

WRONG_DIGIT = "123456789"
"""As a SIREN it has a wrong check digit."""


def _worker_validates(_: Place) -> str:
    """What becomes of a row with a wrong check digit."""
    record = company(siren=WRONG_DIGIT)
    batch = Batch("fox.rows.entreprise", record.partition, 0, 1, [record], object())
    validated = asyncio.run(topology._validators(world())[ENTREPRISE.name](batch))
    return validated.rejects[0].faults[0].code if validated.rejects else "taken"


def _command_checks(place: Place) -> list[dict[str, int]]:
    file = place.folder / "wrong.csv"
    file.write_text(f"siren;nom\n{WRONG_DIGIT};A\n", encoding="utf-8")
    found = preview_of(file, ENTREPRISE, reading_options(ENTREPRISE, None, None, None, None))
    return [found["errors_by_code"], found["warnings_by_code"]]


class _Gone:
    """A consumer whose partitions were taken away: it notes how large each batch is."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def is_current(self, batch: Batch) -> bool:
        self.sizes.append(len(batch.records))
        return False


def _transactions(_: Place) -> list[int]:
    """Rows in each, of three fetches of two rows that wait."""

    async def run() -> list[int]:
        nothing: Any = None
        writer = topology._writer(
            world(), TARGETS[ENTREPRISE.name], nothing, nothing, RelatedTypes()
        )
        gone, token = _Gone(), object()
        consumer: Any = gone

        async def events() -> Any:
            for start in (0, 2, 4):
                records = [company(), company()]
                yield SimpleNamespace(value=Batch("t", 0, start, start + 2, records, token))

        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await writer.run(events(), consumer)
        return gone.sizes

    return asyncio.run(run())


def _listens(_: Place) -> list[str]:
    """At which addresses /metrics is."""
    found = []
    with _served(Settings(), Health()) as port:
        for address in ("127.0.0.1", "127.0.0.2"):
            with suppress(ConnectionRefusedError), socket.create_connection((address, port), 5):
                found.append(address)
    return found


def _on_its_port(place: Place) -> bool:
    with _served(Settings(), Health()) as port:
        return str(port) == place("{port}")


def _session(_: Place) -> list[float]:
    """Session timeout, heartbeat interval and longest seek, in seconds."""
    made = topology._app(world(), "rows")
    settings = made.conf
    return [
        settings.broker_session_timeout,
        settings.broker_heartbeat_interval,
        cast(BatchTransport, made.transport).seek_seconds,
    ]


def _looks(_: Place) -> int:
    """How often parked rows were looked for after a second, at most 1."""
    nothing: Any = None
    looked = asyncio.Event()
    waiting: Any = SimpleNamespace(more_parked=asyncio.Event(), topics=[])

    def assignment() -> list[Any]:
        looked.set()
        return []

    async def run() -> int:
        sweep = asyncio.create_task(topology._sweep(world(), waiting, nothing, assignment).run())
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await looked.wait()
        sweep.cancel()
        return int(looked.is_set())

    return asyncio.run(run())


def _cancelled_alone(_: Place) -> list[str]:
    """The status of an import whose reader has not answered a cancel for 3 s, and for 5 s."""
    nothing: Any = None
    gone = topology._tracker(world(), nothing, nothing)._parameters["reader_gone"]
    silent = [NOW - timedelta(seconds=seconds) for seconds in (3, 5)]
    found = [facts(cancelled_at=since, reader_gone=gone) for since in silent]
    return [state_of(each)["status"] for each in found]


_JOBS = "tests/integration/test_jobs.py"

CASES: list[Seen | Proven] = [
    Seen("FOX_IMPORT_LUHN", WORKER, "error", _worker_validates, "taken", "checksum"),
    Seen(
        "FOX_IMPORT_LUHN", COMMAND, "error", _command_checks,
        [{}, {"checksum": 1}], [{"checksum": 1}, {}],
    ),
    Seen("FOX_BATCH_ROWS", WORKER, "4", _transactions, [6], [4, 2]),
    Proven(
        "FOX_REJECT_LIMIT", WORKER,
        "tests/integration/test_strange_records.py::test_a_topic_of_which_most_is_rejected_halts",
    ),
    Seen("FOX_METRICS_ADDRESS", WORKER, "127.0.0.2", _listens, ["127.0.0.1"], ["127.0.0.2"]),
    Seen("FOX_METRICS_PORT", WORKER, "{port}", _on_its_port, False, True),
    Seen("FOX_SESSION_SECONDS", WORKER, "4", _session, [10.0, 2.0, 20.0], [4.0, 0.8, 8.0]),
    Proven(
        "FOX_HALT_SECONDS", WORKER,
        "tests/integration/test_site_tables.py::test_a_halt_ends_when_its_cause_is_gone",
    ),
    Proven("FOX_NAF_PRIMARY", WORKER, "tests/integration/test_sirene_files.py::test_settings"),
    Proven("FOX_PARKED_ROWS", WORKER, "tests/integration/test_sirene_files.py::test_settings"),
    Seen("FOX_SWEEP_SECONDS", WORKER, "0.005", _looks, 0, 1),
    Seen("FOX_READER_GONE_SECONDS", WORKER, "4", _cancelled_alone, ["PENDING"] * 2, ["PENDING", "CANCELLED"]),
    Proven("FOX_JOBS_SCHEDULED", WORKER, f"{_JOBS}::test_two_workers_run_each_job_once"),
    Proven("FOX_JOBS_TIME_ZONE", WORKER, f"{_JOBS}::test_jobs_go_by_the_clock_of_a_time_zone"),
    Proven("FOX_RETENTION_DAYS", WORKER, f"{_JOBS}::test_cleaning_removes_what_is_old_and_nothing_else"),
]  # fmt: skip
