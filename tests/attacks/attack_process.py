"""An attack in a process of its own, so that it takes no time from the legitimate clients."""

import os
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

from tests.attacks.scripts import ATTACKS
from tests.attacks.scripts.attacker import Attacker

_NICENESS = 10
"""As the gateway's readers have: an attacker on another machine would take no CPU time here."""


class AttackProcess:
    """The attack of that name."""

    def __init__(self, name: str, attacker: Attacker) -> None:
        context = get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, name, attacker), daemon=True)
        self._process.start()
        theirs.close()

    def prepared(self) -> None:
        """Returns when it is ready to begin."""
        self._answer()

    def attack(self) -> list[str]:
        """Returns when the attack is over: what was not as it has to be."""
        self._ours.send("go")
        found: list[str] = self._answer()
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        try:
            return self._ours.recv()
        except EOFError:
            return ["the attack ended without an answer"]


def _run(pipe: Connection, name: str, attacker: Attacker) -> None:
    os.nice(_NICENESS)
    attack = ATTACKS[name]
    act = attack.prepare(attacker)
    pipe.send(None)
    pipe.recv()
    until = monotonic() + attack.seconds
    try:
        pipe.send(list(act(until)))
    except Exception as error:  # noqa: BLE001 - reported with the attack
        pipe.send([f"the attack failed: {error!r}"])
