"""Health is served on a port of its own, also while the event loop does nothing."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.processes.ports import free_port
from producers.gateway.monitoring import health_listener
from producers.gateway.monitoring.health_listener import HealthEndpoints, HealthListener
from producers.gateway.shared import Gateway
from producers.settings import GatewaySettings, settings

AWAY = ["registry"]


class Loop:
    failure: str | None = None
    age = 0.2


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def client(loop: Loop) -> Iterator[httpx.Client]:
    obstacles: list[str] = []
    endpoints = HealthEndpoints(
        lambda: loop.failure, lambda: obstacles, lambda: AWAY, lambda: 3, lambda: loop.age
    )
    listener = HealthListener(endpoints, "127.0.0.1", 0)
    listener.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.port}", trust_env=False) as made:
        yield made
    listener.stop()


def test_what_it_answers(client: httpx.Client, loop: Loop) -> None:
    """As the endpoints of the other port do; and it has no others."""
    assert client.get("/livez").text == "ok\n"
    ready = {"ready": True, "waiting_for": [], "away": AWAY, "loop_age_seconds": 0.2}
    assert client.get("/readyz").json() == ready
    assert "fox_gateway_unpublished_files 3.0" in client.get("/metrics").text
    assert client.get("/api/imports/").status_code == 404
    loop.failure = "nothing is published any more"
    answer = client.get("/livez")
    assert (answer.status_code, answer.text) == (503, "nothing is published any more\n")


def test_a_loop_that_hangs(client: httpx.Client, loop: Loop) -> None:
    """It is reported, so that the process is restarted."""
    loop.age = health_listener._HUNG_SECONDS + 1
    assert client.get("/livez").status_code == 503
    assert "the event loop" in client.get("/livez").text


async def test_a_loop_that_is_busy_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes while the event loop is held, and has its age."""
    port = free_port()
    monkeypatch.setenv("FOX_GATEWAY_HEALTH_PORT", str(port))
    monkeypatch.setenv("FOX_GATEWAY_SPOOL", str(tmp_path))
    gateway = Gateway(settings(), GatewaySettings())
    gateway.listen()
    # The loop itself waits here for the other thread.
    answer = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False)
    assert gateway.listener is not None
    gateway.listener.stop()
    assert answer.status_code == 200
    assert answer.json()["loop_age_seconds"] >= 0
