"""Child processes for what takes long, so that the event loop always answers.

They are forked from a server process that has loaded everything (multiprocessing's forkserver):
a child is there in hundredths of a second, its memory is limited and ends with it, it can be killed,
and if the gateway dies it dies too.
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import connection, forkserver, get_context, parent_process
from typing import Any

from producers.gateway.processes.children_memory import MEMORY
from producers.reading import RefusedError
from producers.reading.workbook.memory_limit import limit_memory, memory_exceeded

_NICENESS = 10
_KILL_SECONDS = 10.0
_CROWDED = "Trop de gros fichiers sont lus à la fois : recommencez dans quelques secondes."


class ChildDiedError(Exception):
    """The child ended without an answer, `code` as of a process, or raised an unexpected error."""

    def __init__(self, code: int | None, why: str = "") -> None:
        super().__init__(why or f"the process ended with {code}")
        self.code = code


class Children:
    """`most` children at a time; more wait."""

    def __init__(self, most: int) -> None:
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(["__main__", "producers.gateway.processes.tasks"])
        # One thread a child: it waits for messages of the child.
        self._threads = ThreadPoolExecutor(most, "child")
        self._starting = threading.Lock()

    async def warm_up(self) -> None:
        """Loads everything now rather than for the first child."""
        await asyncio.to_thread(forkserver.ensure_running)

    async def run(
        self,
        task: Callable[..., Any],
        *arguments: object,
        seconds: float,
        niceness: int = _NICENESS,
        listen: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        """What `task` returns.

        Raises what it raises of RefusedError and tasks.AwayError, RefusedError if its memory is not
        enough, tasks.CrowdedError if that of all children is not, ChildDiedError, and TimeoutError after `seconds`, when the child is gone.
        """
        loop = asyncio.get_running_loop()
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_main, args=(theirs, task, arguments, niceness), daemon=False
        )

        def follow() -> tuple[str, Any]:
            with ours:
                with theirs, self._starting:
                    process.start()
                MEMORY.add(process)
                started.set()
                if abandoned.is_set():
                    process.kill()
                try:
                    while True:
                        kind, what = ours.recv()
                        if kind != "progress":
                            return kind, what
                        loop.call_soon_threadsafe(listen, what)
                except EOFError:
                    process.join(_KILL_SECONDS)
                    return "crowded" if MEMORY.remove(process) else "died", process.exitcode
                finally:
                    MEMORY.remove(process)

        started, abandoned = threading.Event(), threading.Event()
        answer = loop.run_in_executor(self._threads, follow)
        try:
            async with asyncio.timeout(seconds):
                kind, what = await asyncio.shield(answer)
        finally:
            abandoned.set()
            if not answer.done():
                answer.cancel()  # if it has not begun
            if started.is_set():
                await asyncio.shield(loop.run_in_executor(None, _end, process))
        return _unpacked(kind, what)

    def close(self) -> None:
        """Begins no more children; those that run are killed when their `run` is cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _end(process: Any) -> None:
    process.kill()
    process.join(_KILL_SECONDS)


def _unpacked(kind: str, what: Any) -> Any:
    match kind:
        case "done":
            return what
        case "refused":
            raise RefusedError(*what)
        case "away":
            from producers.gateway.processes.tasks import AwayError  # loads what only children need

            raise AwayError(what)
        case "crowded":
            from producers.gateway.processes.tasks import CrowdedError

            raise CrowdedError(_CROWDED)
        case "raised":
            raise ChildDiedError(None, what)
        case "died" if what == -signal.SIGABRT:  # Rust, whose allocations cannot fail otherwise
            raise memory_exceeded()
    raise ChildDiedError(what)


def _main(
    pipe: connection.Connection, task: Callable[..., Any], arguments: Any, niceness: int
) -> None:
    from producers.gateway.processes.tasks import AwayError

    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(niceness)
    limit_memory()
    try:
        message = ("done", task(lambda what: pipe.send(("progress", what)), *arguments))
    except RefusedError as error:
        message = ("refused", (error.code, error.message))
    except AwayError as error:
        message = ("away", str(error))
    except MemoryError:
        refused = memory_exceeded()
        message = ("refused", (refused.code, refused.message))
    except Exception as error:  # noqa: BLE001 - the parent logs it and decides
        message = ("raised", f"{type(error).__name__}: {error}")
    with contextlib.suppress(BrokenPipeError):
        pipe.send(message)
    pipe.close()


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
