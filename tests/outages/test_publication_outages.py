"""Servers that go while the gateway publishes a file, and come back: its import ends soon after."""

from collections.abc import Callable
from time import monotonic, sleep

from producers.gateway.processes.tasks import STALL_SECONDS
from tests.fix_companies import logged
from tests.fix_gateway import Served, companies
from tests.fix_stack import eventually

ROWS = 200

RETRY_SECONDS = 30.0
"""After its tries the gateway waits so long (`_AWAY_SECONDS`) before it tries again."""


def events_bytes(served: Served) -> int:
    """The size of the log of events, in which publishing begins with Submitted."""
    logs = served.site.stack.kafka.data / "logs"
    folders = logs.glob(f"{served.site.prefix}imports.events-*")
    return sum(path.stat().st_size for folder in folders for path in folder.glob("*.log"))


def test_kafka_goes_as_publishing_begins(gateway: Callable[..., Served]) -> None:
    """The registry was away before. What was waited for does not count: the limit is far shorter."""
    served = gateway(FOX_GATEWAY_TRIES="2", FOX_GATEWAY_HARD_LIMIT_SECONDS="15")
    worker = served.site.worker()
    eventually(lambda: logged(worker, "worker_started"))
    registry, kafka = served.site.stack.registry, served.site.stack.kafka
    registry.stop()
    try:
        import_id = served.upload("a.csv", companies(900_000_000, ROWS)).json()["id"]
        eventually(lambda: served.state(import_id)["waiting_for"] == "kafka")
    finally:
        registry.start()
    until = monotonic() + 120
    while not events_bytes(served):
        assert monotonic() < until
        sleep(0.005)
    kafka.kill()
    kafka.start()

    state = eventually(
        lambda: found if (found := served.state(import_id))["completed_at"] else None,
        STALL_SECONDS + 2 * RETRY_SECONDS,
    )

    assert state is not None
    assert (state["status"], state["inserted"], state["error"]) == ("SUCCESS", ROWS, None)
