"""The server process, and its quick end."""

from types import FrameType

import uvicorn
from fastapi import FastAPI


def serve(server: uvicorn.Server, application: FastAPI) -> None:
    """Until a signal; open event streams end first, so that they delay nothing."""
    _Ending(server, application).install()
    server.run()


class _Ending:
    def __init__(self, server: uvicorn.Server, application: FastAPI) -> None:
        self._application = application
        self._server = server
        self._handle = server.handle_exit

    def install(self) -> None:
        """Passes a signal to the gateway before the server waits for open connections."""
        self._server.handle_exit = self._on_signal  # type: ignore[assignment, method-assign]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        gateway = getattr(self._application.state, "gateway", None)
        if gateway is not None:
            gateway.stopping.set()
        self._handle(number, frame)
