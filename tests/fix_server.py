"""The gateway's server in this process, without Kafka, and raw connections to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from producers.gateway.application import create_app
from producers.gateway.commands import _configuration
from producers.settings import GatewaySettings, gateway_settings, settings
from tests.fix_application import Application


class Peer:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> bytes:
        """All until the server closes the connection."""
        read = b""
        try:
            while block := await self.reader.read(65536):
                read += block
        except ConnectionError:
            pass
        return read

    async def flood(self, block: bytes, most: int) -> int:
        """Sends blocks until the server has had enough; how many bytes that were."""
        sent = 0
        try:
            while sent < most:
                await self.send(block)
                sent += len(block)
        except ConnectionError:
            pass
        return sent


class Server:
    """The gateway's, without Kafka."""

    def __init__(self, made: Application, limits: GatewaySettings) -> None:
        self.made = made
        app = create_app(settings(), limits)
        app.state.gateway = made.gateway
        self.configuration = _configuration(app, limits)
        self.configuration.lifespan = "off"
        self.uvicorn = uvicorn.Server(self.configuration)
        self.peers: list[Peer] = []

    async def connect(self) -> Peer:
        port = self.uvicorn.servers[0].sockets[0].getsockname()[1]
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
        self.peers.append(peer)
        return peer

    async def ask(self, request: bytes) -> bytes:
        """The answer to a whole request."""
        peer = await self.connect()
        await peer.send(request)
        return await peer.answer()

    async def health(self) -> bytes:
        return await self.ask(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


@asynccontextmanager
async def serving(folder: Path, **changed: Any) -> AsyncIterator[Server]:
    given = {name.removeprefix("FOX_GATEWAY_").lower(): value for name, value in changed.items()}
    limits = gateway_settings().model_copy(
        update={"spool": folder, "port": 0, "idle_seconds": 1.0, **given}
    )
    server = Server(Application(folder), limits)
    running = asyncio.create_task(server.uvicorn._serve())
    while not server.uvicorn.started:
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        for peer in server.peers:
            peer.writer.transport.abort()
        server.uvicorn.should_exit = True
        await running
