"""Gateways that die or share a spool, and files that cannot be published at once."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from producers.gateway.spool.spool import Spool
from tests.fix_gateway import Served, companies
from tests.fix_stack import Site, eventually

ROWS = 30_000


def rows_in(site: Site, first: int, rows: int) -> list[tuple[int]]:
    """How many companies of a file are in the table."""
    return site.query(
        "SELECT count(*) FROM enterprise_entreprise WHERE siren BETWEEN %s AND %s",
        f"{first:09d}",
        f"{first + rows - 1:09d}",
    )


def test_killed_at_any_moment(gateway: Callable[..., Served]) -> None:
    """SIGKILL while files arrive and are published: each accepted one is imported once, none is left over."""
    served = gateway()
    served.site.worker()
    accepted: dict[str, int] = {}
    for round_ in range(3):
        first = 100_000_000 * (round_ + 1)
        for number in range(3):
            start = first + number * ROWS
            with suppress(httpx.TransportError):
                answer = served.upload(f"{start}.csv", companies(start, ROWS))
                accepted[answer.json()["id"]] = start
        eventually(lambda: served.site.messages("imports.events"))
        time.sleep(0.4 * round_)
        served.kill()
        served.start()
    orphan = Spool(served.spool).receive()
    orphan.open()
    orphan.write(b"x")

    for import_id, start in accepted.items():
        state = served.ended(import_id)
        assert (state["status"], state["inserted"], state["total_rows"]) == ("SUCCESS", ROWS, ROWS)
        assert rows_in(served.site, start, ROWS) == [(ROWS,)]
    eventually(lambda: list((served.spool / "pending").iterdir()) == [])
    held = orphan.path
    assert Spool(served.spool).clean(30, now=time.time() + 7200) == 0, (
        "a file that is received stays"
    )
    orphan._file.close()
    Spool(served.spool).clean(30, now=time.time() + 7200)
    assert not held.exists()
    assert Spool(served.spool).clean(30, now=time.time() + 31 * 86_400) >= len(accepted)
    assert list((served.spool / "imports").iterdir()) == []


def test_gateways_that_share_a_spool(gateway: Callable[..., Served]) -> None:
    """Each file is published by one of them, and where one dies by the other; both show every import."""
    one, other = gateway(), gateway()
    one.site.worker()
    ids = []
    for number in range(4):
        taker = (one, other)[number % 2]
        content = companies(500_000_000 + number * ROWS, ROWS)
        ids.append(taker.upload(f"{number}.csv", content).json()["id"])
    one.kill()

    for import_id in ids:
        assert other.ended(import_id)["inserted"] == ROWS
    published = other.site.messages("file-rows.entreprise")
    assert rows_in(other.site, 500_000_000, 4 * ROWS) == [(4 * ROWS,)]
    assert len(published) >= 4 * ROWS
    log = "".join(
        path.read_text()
        for path in (other.site.stack.directory / "logs").glob(f"{one.site.prefix}gateway*")
    )
    done = [json.loads(line) for line in log.splitlines() if '"upload published"' in line]
    assert len({event["import_id"] for event in done}) == len(done)


def test_kafka_away(gateway: Callable[..., Served], site: Site) -> None:
    """Without topics a file is kept and the import says why it waits; published once they are there."""
    served = gateway(FOX_GATEWAY_TRIES="2")
    served.site.stack.kafka.pause()
    try:
        import_id = served.upload("a.csv", companies(600_000_000, 10)).json()["id"]
        eventually(lambda: served.state(import_id)["waiting_for"] == "kafka", 120)
        assert served.state(import_id)["status"] == "PENDING"
    finally:
        served.site.stack.kafka.resume()
    served.site.worker()
    state = eventually(
        lambda: found if (found := served.state(import_id))["status"] == "SUCCESS" else None, 120
    )
    assert state is not None
    assert (state["inserted"], state["waiting_for"]) == (10, None)


def test_the_soft_limit_stops_cleanly(gateway: Callable[..., Served]) -> None:
    """A file whose reading takes too long ends as ERROR with that reason."""
    served = gateway(FOX_GATEWAY_SOFT_LIMIT_SECONDS="0.000001")
    served.site.worker()

    state = served.ended(served.upload("a.csv", companies(700_000_000, 5_000)).json()["id"])

    assert (state["status"], state["error"]["code"]) == ("ERROR", "time-limit")
    assert list((Path(served.spool) / "pending").iterdir()) == []


def test_the_hard_limit_ends_the_reader(gateway: Callable[..., Served]) -> None:
    """A reader that does not end by itself is killed, and the import says so."""
    served = gateway(FOX_GATEWAY_HARD_LIMIT_SECONDS="0.000001")
    served.site.worker()

    import_id = served.upload("a.csv", companies(800_000_000, 400_000)[: 10 << 20]).json()["id"]
    state = served.ended(import_id)

    assert state["status"] == "ERROR"
    assert state["error"]["code"] in ("time-limit", "too-many-rows")
