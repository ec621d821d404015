"""Runs one server and ends it when its parent is gone, however the parent went.

The parent holds the other end of this program's standard input. The kernel closes that end when
the parent dies, SIGKILL included, on every Unix. A process forked from the parent may hold a copy
of it, so the parent's id is watched as well.

Run by path with `-P`, so that no module beside it hides another; it imports nothing of foxstream:
`guard.py STOP_SIGNAL OWNER ARGV...`, OWNER `user:group` in numbers or `-` to stay the same user. It prints the server's
process id and exits with the server's exit code, 128 + signal if a signal ended it.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from types import FrameType

import psutil  # type: ignore[import-untyped]  # it ships no types

PARENT_CHECK_S = 1.0
ORPHAN_GRACE_S = 3.0


def signal_family(root: psutil.Process, number: signal.Signals) -> list[psutil.Process]:
    """Sends SIGKILL, SIGSTOP or SIGCONT to a process and all its descendants; returns them.

    Process groups are not enough: every PostgreSQL backend is the leader of its own.
    """
    members: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        if number is not signal.SIGCONT:
            root.suspend()  # first, so that it starts no more children while they are listed
        members = [root, *root.children(recursive=True)]
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(number)
    return members


def _start(argv: list[str], owner: str) -> subprocess.Popen[bytes]:
    user, group = (None, None) if owner == "-" else map(int, owner.split(":"))
    return subprocess.Popen(  # nosec B603 # our own programs and words, no shell
        argv,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        user=user,
        group=group,
        extra_groups=None if user is None else [],
    )


def _end(server: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(server.pid)
        signal_family(root, signal.SIGCONT)  # a paused server could not obey
        server.send_signal(stop)
        try:
            server.wait(ORPHAN_GRACE_S)
        except subprocess.TimeoutExpired:
            signal_family(root, signal.SIGKILL)
    server.wait()


def _watch(
    server: subprocess.Popen[bytes], parent: int, wake: int, stopping: threading.Event
) -> bool:
    """Returns True when the server must be ended, False when it ended by itself."""
    while server.poll() is None:
        readable, _, _ = select.select([sys.stdin.fileno(), wake], [], [], PARENT_CHECK_S)
        if wake in readable:
            os.read(wake, 512)
        if sys.stdin.fileno() in readable or stopping.is_set() or os.getppid() != parent:
            return True
    return False


def main(arguments: list[str]) -> int:
    """Runs the server to its end; returns its exit code."""
    parent = os.getppid()
    stop, owner, argv = signal.Signals(int(arguments[0])), arguments[1], arguments[2:]
    stopping = threading.Event()

    def note(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            stopping.set()

    wake, wakened = os.pipe()
    os.set_blocking(wakened, False)
    signal.set_wakeup_fd(wakened)
    # A handler, not SIG_IGN: the server would inherit an ignored signal.
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, note)

    try:
        server = _start(argv, owner)
    except OSError as error:
        sys.stderr.write(f"{argv[0]} cannot be run: {error}\n")
        return 127
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.close()
    if _watch(server, parent, wake, stopping):
        _end(server, stop)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGKILL)  # what it left behind
    code = server.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
