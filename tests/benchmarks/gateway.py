"""The gateway under load: ten uploads of 10 MiB at once, while clients poll and follow events.

    python -m tests.benchmarks.gateway [POLLERS [FOLLOWERS [ROUNDS]]]

Writes results/gateway.json. The clients run in a process of their own beside the gateway, a worker,
Kafka and PostgreSQL: on few cores all of them wait for each other.
"""

import asyncio
import json
import sys
from contextlib import suppress
from statistics import quantiles
from time import perf_counter
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]

from deploy.local.processes.ports import free_port
from tests.benchmarks.measuring import save
from tests.benchmarks.stage import Site, site
from tests.fix_gateway import companies

POLLERS, FOLLOWERS, ROUNDS = 200, 50, 3
UPLOADS = 10
FILE_BYTES = 10 * 1024 * 1024
POLL_SECONDS = 1.0
CHUNK = 64 << 10
BOUNDARY = "foxstream-benchmark"


def percentiles(seconds: list[float]) -> dict[str, float]:
    """In milliseconds."""
    if len(seconds) < 2:
        return {}
    cuts = quantiles(sorted(seconds), n=100, method="inclusive")
    at = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(seconds)}
    return {name: round(1000 * value, 1) for name, value in at.items()} | {"count": len(seconds)}


class Connection:
    """A kept connection, plain: a client library with 250 of them measures itself."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._address = (host, port)
        self._head = f"Host: {host}\r\nAuthorization: Bearer {token}\r\n"

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(*self._address)

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes, float]:
        """Status, body, and seconds from the last byte sent to the whole answer."""
        kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{kind}Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode())
        for at in range(0, len(body), CHUNK):
            self.writer.write(body[at : at + CHUNK])
            await self.writer.drain()
        sent = perf_counter()
        status, length = await self.answer()
        content = await self.reader.readexactly(length)
        return status, content, perf_counter() - sent

    async def answer(self) -> tuple[int, int]:
        """Status and Content-Length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length: ")[2].split("\r\n")[0]
        return int(head.split()[1]), int(length or 0)

    async def ask_for_events(self, path: str) -> None:
        self.writer.write(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())
        await self.answer()


class Load:
    """Clients and what they measured."""

    def __init__(self, url: str, token: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._token = (host, int(port), token)
        self.reads: list[float] = []
        self.answers: list[float] = []
        self.gaps: list[float] = []
        self.own_delays: list[float] = []
        self.failures: list[str] = []
        self.ids: list[str] = []
        self.memory = 0.0
        self.memory_of_all = 0.0

    async def connected(self) -> Connection:
        made = Connection(*self._token)
        await made.open()
        return made

    async def poll(self, number: int) -> None:
        """A client that asks once a second for the list, an import or the sums."""
        await asyncio.sleep(number / POLLERS * POLL_SECONDS)
        connection = await self.connected()
        while True:
            one = f"{self.ids[number % len(self.ids)]}/"
            path = ("", one, "stats/", "?status=SUCCESS")[number % 4]
            status, _, seconds = await connection.request("GET", f"/api/imports/{path}")
            self.reads.append(seconds)
            if status != 200:
                self.failures.append(f"{path} {status}")
            await asyncio.sleep(POLL_SECONDS)

    async def follow(self, number: int) -> None:
        """A client that follows the newest imports, one after another."""
        while True:
            connection = await self.connected()
            path = f"/api/imports/{self.ids[-1 - number % min(UPLOADS, len(self.ids))]}/events"
            await connection.ask_for_events(path)
            seen = perf_counter()
            while line := await connection.reader.readline():
                if line == b"event: state\n":
                    self.gaps.append(perf_counter() - seen)
                    seen = perf_counter()
                if line == b"event: end\n":
                    break
            connection.writer.close()
            await asyncio.sleep(0.5)

    async def upload(self, content: bytes, name: str) -> None:
        """Sends a file; measured from its last byte."""
        connection = await self.connected()
        status, answer, seconds = await connection.request("POST", "/api/imports/upload/", content)
        self.answers.append(seconds)
        if status == 202:
            self.ids.append(json.loads(answer)["id"])
        else:
            self.failures.append(f"{name} {status} {answer[:200]!r}")
        connection.writer.close()

    async def wait_for_itself(self) -> None:
        """How late this process wakes up: so much of every figure is its own."""
        while True:
            begun = perf_counter()
            await asyncio.sleep(0.05)
            self.own_delays.append(perf_counter() - begun - 0.05)

    async def weigh(self, server: psutil.Process) -> None:
        """The most that the gateway, and it with its child processes, held at a time, in MB."""
        while True:
            own = server.memory_info().rss / 1e6
            of_all = own
            for child in server.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    of_all += child.memory_info().rss / 1e6
            self.memory = max(self.memory, own)
            self.memory_of_all = max(self.memory_of_all, of_all)
            await asyncio.sleep(1.0)

    async def ended(self) -> None:
        """Waits until all imports have."""
        connection = await self.connected()
        while True:
            _, answer, _ = await connection.request("GET", "/api/imports/stats/")
            by_status = json.loads(answer)["by_status"]
            if by_status["PENDING"] + by_status["PROCESSING"] == 0:
                return
            await asyncio.sleep(1.0)


def multipart(number: int) -> bytes:
    """A form with a file of almost 10 MiB and 50,000 rows at most."""
    rows = 49_000
    padding = " " + "x" * (FILE_BYTES // rows - 34)
    content = companies(number * rows, rows, extra=padding)[: FILE_BYTES - 10]
    content = content[: content.rindex(b"\n")]
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="import_type"\r\n\r\nENTREPRISE\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{number}.csv"\r\n\r\n'
    )
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


async def run(
    load: Load, server: psutil.Process, pollers: int, followers: int, rounds: int
) -> None:
    """Rounds of ten uploads at once, with everybody else around them."""
    files = [multipart(number) for number in range(1 + rounds * UPLOADS)]
    await load.upload(files.pop(), "first")
    load.answers.clear()
    tasks = [asyncio.create_task(load.weigh(server)), asyncio.create_task(load.wait_for_itself())]
    tasks += [asyncio.create_task(load.poll(number)) for number in range(pollers)]
    tasks += [asyncio.create_task(load.follow(number)) for number in range(followers)]
    for _ in range(rounds):
        await asyncio.gather(*[load.upload(files.pop(), str(at)) for at in range(UPLOADS)])
        await load.ended()
    load.failures += [repr(task.exception()) for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def serve(found: Site) -> tuple[Any, str, str]:
    """A gateway without limits on requests; its process, address and a token."""
    port = free_port()
    environment = {
        **found.stage.environment(found.prefix, found.database_url),
        "FOX_GATEWAY_PORT": str(port),
        "FOX_GATEWAY_SPOOL": str(found.stage.directory / "spool"),
        "FOX_GATEWAY_IMPORTS_PER_MINUTE": "10000",
        "FOX_GATEWAY_REQUESTS_PER_MINUTE": "10000000",
    }
    module = [sys.executable, "-m", "producers.gateway.commands"]
    process = found.stage.spawn("gateway", [*module, "run"], environment)
    made = found.stage.stack.directory / "logs"
    token_process = found.stage.spawn(
        "token", [*module, "token", "create", "--name", "bench", "--scope", "admin"], environment
    )
    token_process.wait(180)
    token = next(
        line
        for path in made.glob("token*.log")
        for line in path.read_text().splitlines()
        if line.startswith("fox_")
    )
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(600):
        try:
            if (
                httpx.get(f"{url}/api/imports/", headers=headers, trust_env=False).status_code
                == 200
            ):
                return process, url, token
        except httpx.TransportError:
            pass
        asyncio.run(asyncio.sleep(0.1))
    raise TimeoutError(process.log_tail())


def own_seconds(url: str, name: str, told: str) -> dict[str, int]:
    """How many took up to so many seconds, by the gateway's own clock: a histogram's counts."""
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    sums: dict[str, int] = {}
    for line in text.splitlines():
        if line.startswith(f"{name}_bucket{{") and told in line:
            limit = line.split('le="')[1].split('"')[0]
            sums[limit] = sums.get(limit, 0) + int(float(line.rsplit(" ", 1)[1]))
    return sums


def main(pollers: int, followers: int, rounds: int) -> None:
    with site() as found:
        worker = found.worker()
        process, url, token = serve(found)
        load = Load(url, token)
        asyncio.run(run(load, psutil.Process(process.pid), pollers, followers, rounds))
        results = {
            "202 after the last byte, ms": percentiles(load.answers),
            "202 by the gateway's clock, up to s": own_seconds(url, "fox_upload_seconds", ""),
            "reads by the gateway's clock, up to s": own_seconds(
                url, "fox_gateway_request_seconds", 'method="GET"'
            ),
            "reads, ms": percentiles(load.reads),
            "between events, ms": percentiles(load.gaps),
            "of these the client's own delay, ms": percentiles(load.own_delays),
            "failures": load.failures[:10],
            "failed": len(load.failures),
            "gateway MB": round(load.memory, 1),
            "gateway and its children MB": round(load.memory_of_all, 1),
        }
        worker.stop()
    print(json.dumps(results, indent=1, ensure_ascii=False))
    save("gateway", results, pollers=pollers, followers=followers, rounds=rounds)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [POLLERS, FOLLOWERS, ROUNDS][len(given) :]))
