"""One account that asks for all it can get, within the right it has."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from threading import get_ident
from time import monotonic

import httpx

from tests.attacks.scripts.attacker import FIRST, Act, Attack, Attacker
from tests.attacks.scripts.uploads import at_once

_SECONDS = 12.0
_CLIENTS = 30
_ROWS = 20_000
_numbers = count()


def _file(rows: int) -> bytes:
    """New each time, so that it is a new import; of an attacker's companies."""
    first = FIRST + 10_000_000
    lines = [f"{first + number};Hostile {next(_numbers)}" for number in range(rows)]
    return "\n".join(["siren;nom", *lines]).encode()


def _asked(
    made: Callable[[Attacker], Callable[[httpx.Client], None]], clients: int = _CLIENTS
) -> Attack:
    def prepare(attacker: Attacker) -> Act:
        act = made(attacker)
        return lambda until: at_once(attacker, until, clients, act)

    return Attack(prepare, _SECONDS, fair=True)


def _posts(route: str, rows: int) -> Callable[[Attacker], Callable[[httpx.Client], None]]:
    def made(_: Attacker) -> Callable[[httpx.Client], None]:
        base = _file(rows)

        def act(client: httpx.Client) -> None:
            content = base + f"\n{FIRST + 10_000_000};{get_ident()} {next(_numbers)}\n".encode()
            client.post(
                f"/api/imports/{route}/",
                data={"import_type": "ENTREPRISE"},
                files={"file": ("a.csv", content)},
            )

        return act

    return made


def _streams(attacker: Attacker) -> Act:
    def prepared(client: httpx.Client) -> str:
        made = client.post(
            "/api/imports/upload/",
            data={"import_type": "ENTREPRISE"},
            files={"file": ("a.csv", _file(10) + f"\n{FIRST};{monotonic()}\n".encode())},
        )
        return str(made.json()["id"])

    def attack(until: float) -> Iterable[str]:
        with attacker.client() as client:
            import_id = prepared(client)

        def act(client: httpx.Client) -> None:
            with client.stream("GET", f"/api/imports/{import_id}/events") as stream:
                for _ in stream.iter_bytes():
                    if monotonic() > until:
                        return

        return at_once(attacker, until, 300, act)

    return attack


def _slow_uploads(attacker: Attacker) -> Act:
    def act(client: httpx.Client) -> None:
        def body() -> Iterable[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
            yield b"siren;nom\n" + b"a" * 10_000_000
            yield b"\r\n--x--\r\n"

        with suppress(httpx.TransportError):
            client.post(
                "/api/imports/upload/",
                content=body(),
                headers={"Content-Type": "multipart/form-data; boundary=x"},
            )

    return lambda until: at_once(attacker, until, _CLIENTS, act)


ATTACKS = {
    "many-checks": _asked(_posts("preview", _ROWS)),
    "many-imports": _asked(_posts("upload", _ROWS)),
    "many-uploads": Attack(_slow_uploads, _SECONDS, fair=True),
    "many-streams": Attack(_streams, _SECONDS, fair=True),
}
