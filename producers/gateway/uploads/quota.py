"""What the spool still takes: of all accounts together, and of each."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from producers.gateway.problems import Problem
from producers.gateway.shared import Gateway
from producers.gateway.spool.shares import too_many


def check_file(gateway: Gateway, account: str) -> None:
    """Room for another plain upload. Raises Problem 507."""
    free, size = gateway.spool.room()
    largest = gateway.limits.max_file_bytes
    own = gateway.publishing.unpublished_bytes(account)
    if free < largest or (own and own + largest > size * gateway.limits.account_share):
        raise _full()


def begin_upload(gateway: Gateway, upload_id: str, info: dict[str, Any]) -> None:
    """Begins a resumable upload if there is room for all of it. Raises Problem. Blocks.

    One at a time: what another one has begun is seen.
    """
    limits = gateway.limits
    with gateway.beginning:
        open_ = list(_open(gateway))
        own = [length for account, length, _ in open_ if account == info["account"]]
        if len(open_) >= limits.open_uploads:
            raise Problem(
                503, "busy", "Trop d'envois sont ouverts : recommencez plus tard.",
                headers={"Retry-After": "60"},
            )  # fmt: skip
        most = max(1, int(limits.open_uploads * limits.account_share))
        if len(own) >= most:
            raise too_many(most)
        free, size = gateway.spool.room()
        promised = sum(length - here for _, length, here in open_)
        if free - promised - limits.max_file_bytes < info["length"]:
            raise _full()
        if own and sum(own) + info["length"] > size * limits.account_share:
            raise _full()
        gateway.spool.begin_upload(upload_id, info)


def _open(gateway: Gateway) -> Iterator[tuple[str, int, int]]:
    """Account, length and what is here of each upload that is not complete."""
    for folder in gateway.spool.large.iterdir():
        with suppress(FileNotFoundError, ValueError):
            info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
            yield info["account"], int(info["length"]), (folder / "data").stat().st_size


def _full() -> Problem:
    return Problem(
        507,
        "disk-full",
        "Le disque n'a plus de place pour ce fichier : recommencez dans quelques minutes.",
        headers={"Retry-After": "60"},
    )
