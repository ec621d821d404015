"""What a worker says of itself: alive while its loop turns, ready while it does its part."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
from faust.types import TP
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from processors.monitoring import health
from processors.monitoring.health import Health
from processors.monitoring.http import served
from processors.monitoring.server_checks import Servers
from schemas.runtime.logs import SERVER_BACK

A = TP("rows", 0)


@dataclass
class Kind:
    """A kind of agent, as its consumer and its lag show it."""

    waiting: str | None = None
    standing: list[TP] = field(default_factory=list)
    joining: bool = False

    def joins(self) -> bool:
        return self.joining

    def waits_for(self) -> str | None:
        return self.waiting

    def stuck(self, seconds: float) -> Sequence[TP]:
        return self.standing


def begun(kind: Kind, away: Sequence[str] = ()) -> Health:
    made = Health(lambda: away)
    made.watch("rows", lambda: kind, kind)
    made.begin()
    made.beat()
    return made


def test_a_worker_that_does_its_part_is_ready() -> None:
    assert begun(Kind()).obstacles() == []


def test_what_a_worker_is_not_ready_for() -> None:
    """Each obstacle by itself: its start, its group, tables or positions, rows that wait, a server."""
    starting = Health()
    starting.beat()
    assert starting.obstacles() == ["the worker starts"]
    assert begun(Kind("its tables")).obstacles() == ["rows waits for its tables"]
    assert begun(Kind(standing=[A])).obstacles() == [
        "rows: no row of rows[0] was written for 300 s"
    ]
    assert begun(Kind(), ["registry"]).obstacles() == ["registry does not answer"]


def test_a_loop_that_stands_still_is_neither_ready_nor_alive() -> None:
    stopped = begun(Kind())
    assert stopped.defect() is None

    stopped._beat -= health.SILENCE_SECONDS + 1

    assert stopped.defect() == "the event loop has not turned for 31 s"
    assert stopped.obstacles() == [stopped.defect()]


def test_a_worker_that_does_not_come_back_to_its_group() -> None:
    """It is restarted, unless Kafka is away, and one that has joined meanwhile starts to count anew."""
    kind, away = Kind(joining=True), list[str]()
    state = begun(kind, away)
    state._joining["rows"] -= health.JOIN_SECONDS + 1
    assert state.defect() == "rows has been joining its group for 301 s"
    assert state.obstacles() == [state.defect()]

    away.append("kafka")
    state.beat()
    assert state.defect() is None
    away.clear()
    state.beat()
    assert state.defect() is None

    state._joining["rows"] -= health.JOIN_SECONDS + 1
    kind.joining = False
    state.beat()
    assert (state.defect(), state.obstacles()) == (None, [])


def test_what_http_answers() -> None:
    """200 or 503 by the state of the moment, and the metrics say the same."""
    kind = Kind()
    state = begun(kind)
    with (
        served("127.0.0.1", 0, state) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        assert client.get("/livez").text == "ok\n"
        assert client.get("/readyz").json() == {"ready": True, "waiting_for": []}
        assert "fox_worker_ready 1.0" in client.get("/metrics").text
        assert client.get("/").status_code == 404

        kind.waiting = "its positions"
        state.beat()
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (
            503,
            {"ready": False, "waiting_for": ["rows waits for its positions"]},
        )
        assert "fox_worker_ready 0.0" in client.get("/metrics").text
        assert client.get("/livez").status_code == 200

        kind.joining = True
        state.beat()
        assert client.get("/livez").status_code == 200
        state._joining["rows"] -= health.JOIN_SECONDS + 1
        assert client.get("/livez").status_code == 503
        kind.joining = False
        state.beat()

        state._beat -= health.SILENCE_SECONDS + 1
        assert client.get("/livez").status_code == 503


async def test_servers_are_away_until_they_answer() -> None:
    """One that raises is away; the others are asked all the same."""

    async def fine() -> None:
        return None

    up: list[bool] = []

    async def refused() -> None:
        if not up:
            raise ConnectionRefusedError

    servers = Servers({"kafka": fine, "postgresql": refused, "registry": fine})
    assert servers.away() == ["kafka", "postgresql", "registry"]

    await servers.look()

    assert servers.away() == ["postgresql"]
    told = {
        name: REGISTRY.get_sample_value("fox_server_reachable", {"server": name})
        for name in ("kafka", "postgresql", "registry")
    }
    assert told == {"kafka": 1, "postgresql": 0, "registry": 1}

    up.append(True)
    with capture_logs() as logged:
        await servers.look()
        await servers.look()
    assert [(event["action"], event["server"]) for event in logged] == [(SERVER_BACK, "postgresql")]
