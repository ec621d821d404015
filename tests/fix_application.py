"""The gateway's application in this process, without servers, and what may happen to a request."""

import asyncio
import base64
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from producers.gateway import shared
from producers.gateway.access import accounts
from producers.gateway.application import create_app
from producers.gateway.spool import multipart
from producers.settings import gateway_settings, settings

UPLOADS = "/api/imports/uploads/"
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass
class Answer:
    """Header names are in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@cache
def _routes() -> FastAPI:
    """They are the same for every gateway."""
    return create_app(settings(), gateway_settings())


class Application:
    """Of a gateway with its spool in `folder`. Another one of the same folder is a restart."""

    def __init__(self, folder: Path) -> None:
        enough = dict.fromkeys(("imports_per_minute", "requests_per_minute"), 1_000_000)
        limits = gateway_settings().model_copy(update={"spool": folder, **enough})
        self.gateway = shared.Gateway(settings(), limits)
        self.spool = self.gateway.spool
        token = {**accounts.new_token("tests", "import", None)[1], "id": "tests"}
        token["sha256"] = accounts._hash("fox_tests_x")
        self.gateway.tokens.take({"tests": token})

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        blocks: Iterable[bytes] = (),
        *,
        answered: Callable[[], None] = lambda: None,
    ) -> Answer:
        """`blocks` are the body, as they arrive; `answered` is called when the answer begins."""
        answer = Answer()
        waiting = iter(blocks)

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            block = next(waiting, None)
            return {"type": "http.request", "body": block or b"", "more_body": block is not None}

        async def send(message: dict[str, Any]) -> None:
            await asyncio.sleep(0)
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {
                    name.decode(): value.decode() for name, value in message["headers"]
                }
                answered()
            else:
                answer.body += message["body"]

        told = {"authorization": "Bearer fox_tests_x", **(headers or {})}
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
            "server": ("gateway", 80), "client": ("127.0.0.1", 1),
            "headers": [(k.lower().encode(), v.encode()) for k, v in told.items()],
        }  # fmt: skip
        app: Any = _routes()
        app.state.gateway = self.gateway
        await app(scope, receive, send)
        return answer

    async def upload(
        self,
        content: bytes,
        *,
        answered: Callable[[], None] = lambda: None,
        headers: Mapping[str, str] | None = None,
        path: str = "/api/imports/upload/",
        **fields: str,
    ) -> Answer:
        """POST of a plain upload, or of a file to check, in blocks of forty bytes."""
        told = {"import_type": "ENTREPRISE", **fields}
        parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in told.items()]
        parts.append(b'name="file"; filename="a.csv"\r\n\r\n' + content)
        begin = b"--x\r\nContent-Disposition: form-data; "
        body = b"".join(begin + part + b"\r\n" for part in parts) + b"--x--\r\n"
        return await self.ask(
            "POST",
            path,
            {"Content-Type": "multipart/form-data; boundary=x", **(headers or {})},
            [body[at : at + 40] for at in range(0, len(body), 40)],
            answered=answered,
        )

    async def begin(self, length: int) -> str:
        """The address of a new resumable upload."""
        return (await self.create(length)).headers["location"]

    async def create(
        self,
        length: int,
        answered: Callable[[], None] = lambda: None,
        name: str = "a.csv",
        **more: str,
    ) -> Answer:
        """POST of a resumable upload; `more` are further fields."""
        fields = {"filename": name, "import_type": "ENTREPRISE", **more}
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items()
        )
        headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata}
        return await self.ask("POST", UPLOADS, headers, answered=answered)

    async def offset(self, where: str) -> int:
        """What HEAD says."""
        return int((await self.ask("HEAD", where, TUS)).headers["upload-offset"])

    async def send(
        self,
        where: str,
        offset: int,
        blocks: Iterable[bytes],
        *,
        answered: Callable[[], None] = lambda: None,
        **headers: str,
    ) -> Answer:
        """PATCH of a resumable upload."""
        told = {
            **TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }  # fmt: skip
        return await self.ask("PATCH", where, told, blocks, answered=answered)


class _Silent:
    """An audit without Kafka."""

    def __init__(self, _: object) -> None: ...

    def write(self, *_: object) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Application]:
    """Makes applications, by default of one spool."""
    monkeypatch.setattr(shared, "Audit", _Silent)
    return lambda folder=tmp_path / "spool": Application(folder)


class Threads:
    """An executor without threads, whose result is there after a while.

    The work is done as soon as it is handed over, or `late`: just before the result is there.
    """

    WHILE = 30
    """Turns of the event loop: longer than a request takes to end once it is cancelled."""

    def __init__(self, *, late: bool) -> None:
        self._late = late

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()
        loop = asyncio.get_running_loop()
        outcome: list[Callable[[], None]] = []

        def run() -> None:
            try:
                result = work(*arguments)
            except Exception as error:  # noqa: BLE001 - as an executor does
                failure = error
                outcome.append(lambda: done.set_exception(failure))
            else:
                outcome.append(lambda: done.set_result(result))

        def turn(left: int) -> None:
            if left:
                loop.call_soon(turn, left - 1)
                return
            if self._late:
                run()
            outcome[0]()

        if not self._late:
            run()
        turn(self.WHILE)
        return done


@pytest.fixture(params=[False, True], ids=["done", "late"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Threads:
    """What the gateway does in threads is done when its request is cancelled, or not begun."""
    made = Threads(late=request.param)
    monkeypatch.setattr(multipart, "ThreadPoolExecutor", lambda *_: made)
    return made


async def at_wait(
    number: int,
    work: Coroutine[Any, Any, Any],
    do: Callable[[], object],
    *,
    again: bool = False,
) -> bool:
    """Runs `work`, and calls `do` when it waits for the `number`-th time; whether it did.

    `again`: each time from then on. `do` may cancel the running task.
    """
    stepped = _Stepped(work, lambda waits: waits == number or (again and waits > number), do)

    async def run() -> None:
        await stepped

    with suppress(asyncio.CancelledError):
        await asyncio.create_task(run())
    return stepped.waits >= number


def cancel() -> None:
    """As a server that ends does with a request."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


class _Stepped:
    def __init__(
        self,
        work: Coroutine[Any, Any, Any],
        at: Callable[[int], bool],
        do: Callable[[], object],
    ) -> None:
        self._work = work
        self._at = at
        self._do = do
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        raised: BaseException | None = None
        while True:
            try:
                awaited = self._work.throw(raised) if raised else self._work.send(None)
            except StopIteration as end:
                return end.value
            self.waits += 1
            if self._at(self.waits):
                self._do()
            try:
                yield awaited
                raised = None
            except BaseException as error:  # noqa: BLE001 - it is for the work
                raised = error
