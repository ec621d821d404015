"""What the gateway lets in, how much of it, how it publishes, and what it keeps."""

import asyncio
import hmac
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from selectors import DefaultSelector
from typing import Any
from uuid import UUID

import httpx

from producers.gateway.access import accounts
from producers.gateway.application import create_app
from producers.gateway.commands import _configuration
from producers.gateway.problems import Problem
from producers.gateway.processes.spool_publisher import Publishing
from producers.gateway.processes.tasks import AwayError
from producers.gateway.shared import Gateway
from producers.gateway.spool.spool import Spool, SpooledFile, new_upload_time, write_info
from producers.kafka.import_state import new_state
from producers.settings import gateway_settings, settings
from tests.effects.case import GATEWAY, Place, Proven, Seen
from tests.effects.rows import WRONG_DIGIT

API = "/api/imports/"
FILE = f"siren;nom\n{WRONG_DIGIT};A\n732829320;B\n".encode()
TUS = {"Tus-Resumable": "1.0.0", "Upload-Metadata": "filename YS5jc3Y=,import_type VklMTEU="}


class _Here:
    """Runs what children do in a thread of this process, and takes a moment for it."""

    async def run(self, task: Any, *arguments: Any, seconds: float, **_: Any) -> Any:
        async with asyncio.timeout(seconds):
            await asyncio.sleep(0.05)
            return await asyncio.to_thread(task, lambda _: None, *arguments)


Ask = Callable[[httpx.AsyncClient, Gateway], Awaitable[Any]]


def _gateway(ask: Ask) -> Callable[[Place], Any]:
    """What the application answers a client with every right; no server is there."""

    async def run() -> Any:
        app = create_app(settings(), gateway_settings())
        gateway = app.state.gateway = Gateway(settings(), gateway_settings())
        here: Any = _Here()
        gateway.children = here
        text, record = accounts.new_token("tests", "admin", None)
        gateway.tokens.take({record["id"]: record})
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://gateway",
            headers={"Authorization": f"Bearer {text}"},
        ) as client:  # fmt: skip
            client.headers["X-Token"] = text
            return await ask(client, gateway)

    return lambda _: asyncio.run(run())


async def _upload(client: httpx.AsyncClient, path: str = "upload/") -> httpx.Response:
    form = {"import_type": "ENTREPRISE"}
    return await client.post(API + path, data=form, files={"file": ("a.csv", FILE)})


async def _status(client: httpx.AsyncClient, _: Gateway) -> int:
    return (await _upload(client)).status_code


async def _status_beside_another(client: httpx.AsyncClient, gateway: Gateway) -> int:
    async with gateway.receiving.place("another"):
        return (await _upload(client)).status_code


async def _preview(client: httpx.AsyncClient, _: Gateway) -> int:
    return (await _upload(client, "preview/")).status_code


async def _judged(client: httpx.AsyncClient, _: Gateway) -> Any:
    found = (await _upload(client, "preview/")).json()
    return [found["errors_by_code"], found["warnings_by_code"]]


async def _log_in(client: httpx.AsyncClient, _: Gateway) -> httpx.Response:
    token = client.headers["X-Token"]
    return await client.post("/login", data={"token": token})


async def _session(client: httpx.AsyncClient, gateway: Gateway) -> str:
    cookie = (await _log_in(client, gateway)).headers["set-cookie"]
    return next(part for part in cookie.split("; ") if part.startswith("Max-Age"))


async def _idle(client: httpx.AsyncClient, gateway: Gateway) -> int:
    """Minutes after which a session ends in which nothing is done."""
    cookie = (await _log_in(client, gateway)).cookies["fox_session"]
    session = gateway.access.sessions.find(cookie)
    assert session is not None
    return round((session.idle_end - time.time()) / 60)


async def _follow(client: httpx.AsyncClient, gateway: Gateway) -> int:
    """The status of a stream beside another one; of an import that has ended, so that it ends."""
    import_id = str(UUID(int=1))
    ended = {"status": "ERROR", "completed_at": datetime.now(UTC), "version": 1}
    gateway.states.take_new([new_state(id=import_id, import_type="VILLE", **ended)])
    with gateway.followers.place("another"):
        return (await client.get(f"{API}{import_id}/events")).status_code


async def _own_streams(_: httpx.AsyncClient, gateway: Gateway) -> int:
    """How many one account may have."""
    with ExitStack() as held:
        with suppress(Problem):
            while True:
                held.enter_context(gateway.followers.place("tests"))
        return gateway.followers.held


async def _largest(client: httpx.AsyncClient, _: Gateway) -> str:
    return (await client.options(f"{API}uploads/")).headers["tus-max-size"]


async def _kept_for(client: httpx.AsyncClient, _: Gateway) -> int:
    """Hours that a resumable upload is waited for."""
    answer = await client.post(f"{API}uploads/", headers={**TUS, "Upload-Length": "9"})
    ends = parsedate_to_datetime(answer.headers["upload-expires"])
    return round((ends - datetime.now(UTC)).total_seconds() / 3600)


async def _begun_beside_another(client: httpx.AsyncClient, gateway: Gateway) -> int:
    """The status of a resumable upload beside one of another account."""
    headers = {**TUS, "Upload-Length": "9"}
    await client.post(f"{API}uploads/", headers=headers)
    for folder in gateway.spool.large.iterdir():
        info = json.loads((folder / "info.json").read_text())
        write_info(folder, {**info, "account": "another"})
    return (await client.post(f"{API}uploads/", headers=headers)).status_code


def _limit(
    ask: Callable[[httpx.AsyncClient, Gateway], Awaitable[httpx.Response]],
) -> Callable[[Place], Any]:
    """What is allowed a minute, as an answer says."""

    async def told(client: httpx.AsyncClient, gateway: Gateway) -> str:
        return (await ask(client, gateway)).headers["ratelimit-limit"]

    return _gateway(told)


async def _signs(_: httpx.AsyncClient, gateway: Gateway) -> bool:
    """Whether sessions are signed with the secret of the case."""
    own = hmac.new(b"of the case", b"csrf:x", "sha256").hexdigest()
    return gateway.access.sessions.csrf("x") == own


async def _spool(_: httpx.AsyncClient, gateway: Gateway) -> str:
    return gateway.spool.folder.name


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Answers who it takes the client for."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["client"][0].encode()})


def _server() -> Any:
    application: Any = _application
    return _configuration(application, gateway_settings())


def _listens(_: Place) -> tuple[str, int]:
    bound = _server().bind_socket()
    with bound:
        address: tuple[str, int] = bound.getsockname()
    return address


def _believes(_: Place) -> str:
    """Who a request comes from that a proxy at 10.0.0.9 says to be of 10.1.1.1."""

    async def run() -> str:
        configuration = _server()
        configuration.load()
        transport = httpx.ASGITransport(configuration.loaded_app, client=("10.0.0.9", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://g") as client:
            return (await client.get("/", headers={"X-Forwarded-For": "10.1.1.1"})).text

    return asyncio.run(run())


class _Away(Publishing):
    """Kafka is away at each try, which takes a moment."""

    running = most = tries = 0

    async def _once(self, spooled: SpooledFile) -> str:
        self.tries += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1
        raise AwayError("away")


def _spooled(number: int, max_rows: int | None) -> SpooledFile:
    """Of an account of its own."""
    now, size = new_upload_time(), 1 if max_rows else 2 << 20
    account = f"account {number}"
    import_id = str(UUID(int=number))
    return SpooledFile(import_id, "VILLE", "a.csv", "", size, account, now, max_rows=max_rows)


def _accepted(spool: Spool, count: int, max_rows: int | None = 1) -> list[SpooledFile]:
    files = [_spooled(number, max_rows) for number in range(count)]
    for spooled in files:
        received = spool.receive()
        received.open()
        received.finish()
        spool.accept(spooled, received.path)
        received.close()
    return files


def _side_by_side(max_rows: int | None) -> Callable[[Place], int]:
    """How many of eight files are published at a time."""

    async def run(folder: Path) -> int:
        spool = Spool(folder)
        files = _accepted(spool, 8, max_rows)
        publishing = _Away(spool, settings(), gateway_settings())
        tasks = [asyncio.create_task(publishing._publish(spooled.id)) for spooled in files]
        while publishing.tries < len(files):
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return publishing.most

    return lambda place: asyncio.run(run(place.folder / str(time.monotonic_ns())))


class _Hurried(asyncio.SelectorEventLoop):
    """Waits for nothing: its clock is put forward instead."""

    def __init__(self) -> None:
        super().__init__(self.Selector())

    class Selector(DefaultSelector):
        ahead = 0.0

        def select(self, timeout: float | None = None) -> Any:
            self.ahead += timeout or 0.0
            return super().select(0)

    def time(self) -> float:
        selector: Any = self._selector  # type: ignore[attr-defined]
        return super().time() + float(selector.ahead)


def _tries(place: Place) -> tuple[int, int]:
    """How often a file is tried, and seconds that the waits between take."""

    async def run() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        publishing = _Away(Spool(place.folder / "tries"), settings(), gateway_settings())
        begun = loop.time()
        await publishing._tries(_spooled(1, 1))
        return publishing.tries, round(loop.time() - begun)

    with asyncio.Runner(loop_factory=_Hurried) as runner:
        return runner.run(run())


def _file_of_20_days(place: Place) -> bool:
    """Whether a file that was published so long ago is still there when the gateway has looked."""

    async def run(spool: Spool) -> bool:
        [spooled] = _accepted(spool, 1)
        spool.published(spooled.id)
        folder = spool.import_folder(spooled.id)
        then = time.time() - 20 * 86_400
        os.utime(folder, (then, then))
        publishing = asyncio.create_task(Publishing(spool, settings(), gateway_settings()).run())
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while folder.exists():
                    await asyncio.sleep(0.01)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        return folder.exists()

    return asyncio.run(run(Spool(place.folder / str(time.monotonic_ns()))))


def _own(name: str) -> dict[str, str]:
    """A spool of the case's own."""
    return {"FOX_GATEWAY_SPOOL": f"{{folder}}/{name}/spool"}


def _seen(
    name: str, value: str, see: Callable[[Place], Any], before: Any, after: Any, **given: str
) -> Seen:
    return Seen(f"FOX_GATEWAY_{name}", GATEWAY, value, see, before, after, {**_own(name), **given})


def _proven(name: str, test: str) -> Proven:
    return Proven(f"FOX_GATEWAY_{name}", GATEWAY, f"tests/{test}")


def _bounded(name: str, test: str) -> Proven:
    return Proven(f"FOX_GATEWAY_{name}", GATEWAY, f"tests/unit/test_connections.py::test_{test}")


CASES: list[Seen | Proven] = [
    Seen(
        "FOX_IMPORT_LUHN", GATEWAY, "error", _gateway(_judged),
        [{}, {"checksum": 1}], [{"checksum": 1}, {}], given=_own("luhn"),
    ),
    Seen(
        "FOX_GATEWAY_HOST", GATEWAY, "127.0.0.2", lambda p: _listens(p)[0], "127.0.0.1", "127.0.0.2",
        given={"FOX_GATEWAY_PORT": "0"},
    ),
    _seen("PORT", "{port}", lambda p: str(_server().port) == p("{port}"), False, True),
    Proven(
        "FOX_GATEWAY_HEALTH_PORT", GATEWAY,
        "tests/unit/test_health_listener.py::test_a_loop_that_is_busy_keeps_nobody_waiting",
    ),
    _seen("SPOOL", "{folder}/other", _gateway(_spool), "spool", "other"),
    _seen("SECRET", "of the case", _gateway(_signs), False, True),
    _seen("TRUSTED_PROXIES", "10.0.0.9", _believes, "10.0.0.9", "10.1.1.1"),
    _seen("MAX_FILE_BYTES", "20", _gateway(_status), 202, 413),
    _seen("MAX_ROWS", "1", _gateway(_preview), 200, 422),
    _seen("LARGE_MAX_FILE_BYTES", "9", _gateway(_largest), str(16 << 30), "9"),
    _seen("LARGE_UPLOAD_HOURS", "3", _gateway(_kept_for), 24, 3),
    _seen("UPLOADS_AT_ONCE", "1", _gateway(_status_beside_another), 202, 503),
    _proven("IDLE_SECONDS", "integration/test_gateway.py::test_slow_and_vanished_clients"),
    _bounded("HEAD_SECONDS", "a_head_that_comes_slowly"),
    _bounded("CONNECTIONS", "connections_are_bounded"),
    _bounded("REQUESTS_PER_CLIENT", "requests_of_a_client_are_bounded"),
    _seen("IMPORTS_PER_MINUTE", "7", _limit(lambda c, _: _upload(c)), "10", "7"),
    _seen("CHECKS_PER_MINUTE", "7", _limit(lambda c, _: _upload(c, "preview/")), "30", "7"),
    _seen("REQUESTS_PER_MINUTE", "7", _limit(lambda c, _: c.get(API)), "1200", "7"),
    _seen("LOGINS_PER_MINUTE", "7", _limit(_log_in), "10", "7"),
    _seen("FOLLOWERS", "1", _gateway(_follow), 200, 503),
    _seen("OPEN_UPLOADS", "1", _gateway(_begun_beside_another), 201, 503),
    _seen("ACCOUNT_SHARE", "0.1", _gateway(_own_streams), 250, 50),
    _seen("PUBLISHERS", "3", _side_by_side(1), 4, 3, FOX_GATEWAY_TRIES="1"),
    _seen("LARGE_PUBLISHERS", "3", _side_by_side(None), 2, 3, FOX_GATEWAY_TRIES="1"),
    _seen("TRIES", "2", lambda p: _tries(p)[0], 4, 2),
    _seen("RETRY_SECONDS", "7", lambda p: _tries(p)[1], 15, 21),
    _proven("SOFT_LIMIT_SECONDS", "outages/test_gateway_deaths.py::test_the_soft_limit_stops_cleanly"),
    _proven("HARD_LIMIT_SECONDS", "outages/test_gateway_deaths.py::test_the_hard_limit_ends_the_reader"),
    _seen("CHECK_SECONDS", "0.01", _gateway(_preview), 200, 422),
    _seen("FILE_DAYS", "10", _file_of_20_days, True, False),
    _seen("SESSION_IDLE_MINUTES", "5", _gateway(_idle), 60, 5),
    _seen("SESSION_HOURS", "2", _gateway(_session), "Max-Age=43200", "Max-Age=7200"),
]  # fmt: skip
