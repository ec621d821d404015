"""A multipart body, streamed to the spool: counted and hashed as it comes, and copied once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from producers.gateway.problems import Problem
from producers.gateway.spool.shares import Places
from producers.gateway.spool.spool import Receiver, Spool

P = ParamSpec("P")
T = TypeVar("T")

_BLOCK = 256 << 10
_HEAD = 1024
_FIELD_BYTES = 64 << 10
_PARTS = 32
_ENVELOPE_BYTES = 1 << 20
_EPILOGUE_BYTES = 64 << 10


@dataclass
class Upload:
    """What came: the form's fields, and the file, on the disk if `sha256` is set.

    `received_at` (monotonic) is when the last byte was here.
    """

    fields: dict[str, str] = field(default_factory=dict)
    file_name: str | None = None
    content_type: str = ""
    head: bytes = b""
    sha256: str = ""
    received_at: float = 0.0


class Receiving:
    """Receives files, each in one of `places`."""

    def __init__(self, spool: Spool, max_bytes: int, places: Places) -> None:
        self._spool = spool
        self._max_bytes = max_bytes
        self._places = places
        self._none = asyncio.Event()
        self._none.set()
        # One for each place: the disk of an account that has all of its places keeps no other waiting.
        self._threads = ThreadPoolExecutor(places.most, "spool")

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs what waits for the disk, to its end: nothing goes on behind a task that is cancelled.

        `work` touches nothing that belongs to the event loop.
        """
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))
        cancelled = None
        while not working.done():
            try:
                await asyncio.wait({working})
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled from working.exception()
        return working.result()

    @asynccontextmanager
    async def place(self, account: str) -> AsyncIterator[None]:
        """One of those who send. Raises Problem if there are too many."""
        with self._places.place(account):
            self._none.clear()
            try:
                yield
            finally:
                if self._places.held == 1:
                    self._none.set()

    async def ended(self) -> None:
        """Waits for all who send: those that are cancelled still write what they took."""
        await self._none.wait()

    @asynccontextmanager
    async def receive(
        self, request: Request, account: str
    ) -> AsyncIterator[tuple[Upload, Receiver]]:
        """The upload and its file, which is removed after the block unless it was moved away.

        Raises Problem.
        """
        async with self.place(account):
            boundary = _boundary(request)
            if int(request.headers.get("content-length") or 0) > self._max_bytes + _ENVELOPE_BYTES:
                raise self._too_large()
            receiver = self._spool.receive()
            try:
                await self.in_thread(receiver.open)
                yield await self._receive(request, boundary, receiver), receiver
            finally:
                await self.in_thread(receiver.close)

    async def blocks(self, request: Request) -> AsyncIterator[bytes]:
        """The body. Raises Problem if the connection breaks off."""
        try:
            async for block in request.stream():
                if block:
                    yield block
        except ClientDisconnect:
            raise _gone() from None

    async def _receive(self, request: Request, boundary: bytes, receiver: Receiver) -> Upload:
        form = _Form()
        epilogue = 0
        try:
            parser = MultipartParser(boundary, form.callbacks())
            async for block in self.blocks(request):
                if form.complete:
                    epilogue += len(block)
                    if epilogue > _EPILOGUE_BYTES:
                        raise Problem(400, "malformed-form", "Le formulaire continue après sa fin.")
                    continue
                parser.write(block)
                if receiver.size + form.waiting > self._max_bytes:
                    raise self._too_large()
                if form.waiting >= _BLOCK:
                    await self.in_thread(receiver.write, form.taken())
            form.upload.received_at = monotonic()
            parser.finalize()
        except FormParserError as error:
            raise Problem(400, "malformed-form", "Le formulaire est mal formé.") from error
        return await self._finished(form, receiver)

    async def _finished(self, form: "_Form", receiver: Receiver) -> Upload:
        if not form.complete:
            raise Problem(400, "malformed-form", "Le formulaire s'arrête avant sa fin.")
        upload = form.upload
        if upload.file_name is None:
            missing = {"field": "file", "code": "missing", "message": "Joignez un fichier."}
            raise Problem(422, "missing-file", "Aucun fichier n'est joint.", errors=[missing])

        def end() -> str:
            receiver.write(form.taken())
            return receiver.finish()

        upload.sha256 = await self.in_thread(end)
        if not receiver.size:
            raise Problem(
                422,
                "empty-file",
                "Le fichier est vide : exportez-le à nouveau ou choisissez-en un autre.",
            )
        return upload

    def _too_large(self) -> Problem:
        return Problem(
            413,
            "too-large",
            f"Le fichier dépasse {self._max_bytes / (1 << 20):.0f} Mio : découpez-le, ou envoyez-le "
            "comme grand fichier (envoi reprenable, /api/imports/uploads/).",
            max_bytes=self._max_bytes,
        )


class _Form:
    """The parts of a form, as the parser calls. Of several files the first counts."""

    def __init__(self) -> None:
        self.upload = Upload()
        self.complete = False
        self.waiting = 0
        self._blocks: list[bytes] = []
        self._headers: dict[str, str] = {}
        self._header = [b"", b""]
        self._name = ""
        self._parts = 0
        self._is_file = False
        self._value = bytearray()

    def callbacks(self) -> Any:
        """What the parser calls, by its names."""
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._on_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._on_header(1, data[start:end]),
            "on_header_end": self._header_ended,
            "on_headers_finished": self._part_begins,
            "on_part_data": self._part_goes_on,
            "on_part_end": self._part_ended,
            "on_end": self._ended,
        }

    def taken(self) -> bytes:
        """The bytes of the file since the last call."""
        block = b"".join(self._blocks)
        self._blocks.clear()
        self.waiting = 0
        return block

    def _on_header(self, part: int, data: bytes) -> None:
        self._header[part] += data

    def _header_ended(self) -> None:
        name, value = self._header
        self._headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")
        self._header = [b"", b""]

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise Problem(413, "too-large", "Le formulaire est trop grand.")
        disposition = self._headers.get("content-disposition", "").encode()
        _, options = parse_options_header(disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = (
            self._name == "file" and b"filename" in options and self.upload.file_name is None
        )
        self._value.clear()
        if self._is_file:
            self.upload.file_name = options[b"filename"].decode("utf-8", "replace")
            self.upload.content_type = self._headers.get("content-type", "")

    def _part_goes_on(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            block = data[start:end]
            if len(self.upload.head) < _HEAD:
                self.upload.head += block[: _HEAD - len(self.upload.head)]
            self._blocks.append(block)
            self.waiting += len(block)
            return
        self._value += data[start:end]
        if len(self._value) > _FIELD_BYTES:
            raise Problem(413, "too-large", "Le formulaire est trop grand.")

    def _part_ended(self) -> None:
        if not self._is_file:
            self.upload.fields[self._name] = self._value.decode("utf-8", "replace")

    def _ended(self) -> None:
        self.complete = True


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Problem(
            415, "not-a-form", "Envoyez le fichier en multipart/form-data, dans le champ « file »."
        )
    return boundary


def _gone() -> Problem:
    return Problem(400, "gone", "L'envoi a été interrompu.")
