"""An account's uploads: bombs of every kind, and pieces with checksums."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle
from time import monotonic

import httpx

from tests.attacks.scripts.attacker import Act, Attack, Attacker
from tests.unit.test_bombs import BOMBS

_KINDS = [
    "xlsx-last-cell", "xlsx-merged", "ods-rows", "ods-spans", "xls-texts", "gzip-line", "zstd-line",
    "json-keys", "json-depth", "csv-columns", "csv-quotes", "archive-in-an-archive",
]  # fmt: skip
_AT_ONCE = 3
_PIECE_BYTES = 60 << 20
_TUS = {"Tus-Resumable": "1.0.0"}


def at_once(
    attacker: Attacker, until: float, most: int, act: Callable[[httpx.Client], None]
) -> list[str]:
    """Does something with so many clients at a time, again and again; answers of 500 and above
    but for 503 and 507.
    """
    wrong: set[str] = set()

    def note(answer: httpx.Response) -> None:
        if answer.status_code >= 500 and answer.status_code not in (503, 507):
            wrong.add(f"{answer.request.url.path}: {answer.status_code}")

    def again() -> None:
        with attacker.client() as client:
            client.event_hooks = {"response": [note]}
            while monotonic() < until:
                with suppress(httpx.TransportError):
                    act(client)

    with ThreadPoolExecutor(most) as pool:
        for done in [pool.submit(again) for _ in range(most)]:
            done.result()
    return sorted(wrong)


def _bombs(route: str) -> Callable[[Attacker], Act]:
    def prepare(attacker: Attacker) -> Act:
        files = cycle([(name, BOMBS[name][0]()) for name in _KINDS])

        def act(client: httpx.Client) -> None:
            name, content = next(files)
            client.post(
                route,
                data={"import_type": "ENTREPRISE", "force": "true"},
                files={"file": (f"{name}.{name.split('-')[0]}", content)},
            )

        return lambda until: at_once(attacker, until, _AT_ONCE, act)

    return prepare


def _pieces(attacker: Attacker) -> Act:
    piece = bytes(_PIECE_BYTES)
    digest = b64encode(hashlib.sha1(piece, usedforsecurity=False).digest()).decode()
    metadata = ",".join(
        f"{name} {b64encode(value).decode()}"
        for name, value in (("filename", b"a.csv"), ("import_type", b"ENTREPRISE"))
    )

    def act(client: httpx.Client) -> None:
        length = {**_TUS, "Upload-Length": str(2 * _PIECE_BYTES), "Upload-Metadata": metadata}
        made = client.post("/api/imports/uploads/", headers=length)
        if not made.is_success:
            return
        headers = {
            **_TUS,
            "Upload-Offset": "0",
            "Upload-Checksum": f"sha1 {digest}",
            "Content-Type": "application/offset+octet-stream",
        }
        client.patch(made.headers["Location"], content=piece, headers=headers)
        client.delete(made.headers["Location"], headers=_TUS)

    def attack(until: float) -> Iterable[str]:
        return at_once(attacker, until, 9, act)

    return attack


ATTACKS = {
    "bomb-checks": Attack(_bombs("/api/imports/preview/"), seconds=12.0),
    "bomb-uploads": Attack(_bombs("/api/imports/upload/"), seconds=12.0),
    "checksums-of-pieces": Attack(_pieces),
}
