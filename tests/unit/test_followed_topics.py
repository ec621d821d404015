"""What a gateway knows of imports."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from producers.gateway.followed_topics import States
from producers.kafka.import_state import new_state
from schemas.records import ImportState
from tests.fix_application import Application


def state(import_id: str, version: int) -> ImportState:
    return {**new_state(id=import_id), "version": version}


async def test_a_log_that_is_read_anew_replaces_what_was_known() -> None:
    """What was forgotten while nobody followed leaves; what was submitted just now stays."""
    states = States()
    states.take({"gone": state("gone", 7), "kept": state("kept", 7)})
    states.take_new([state("new", 0)])

    with states.subscribe("gone") as gone:
        states.replace({"kept": state("kept", 9)})
        await asyncio.wait_for(gone.event.wait(), 1)

    assert {i: known["version"] for i, known in states.by_id.items()} == {"kept": 9, "new": 0}


def test_the_newest_state_holds() -> None:
    """One that comes late replaces nothing; one of the same version comes with what is new in it."""
    states = States()
    states.take({"a": state("a", 7)})
    states.take({"a": state("a", 6)})
    states.take_new([state("a", 0)])
    assert states.by_id["a"]["version"] == 7

    same = state("a", 7)
    same["waiting_for"] = "database"
    states.take({"a": same})
    assert states.by_id["a"] == same


def test_a_tombstone_takes_an_import_away() -> None:
    """And the import may come back, with a lower version than it had."""
    states = States()
    states.take({"a": state("a", 7)})
    states.take({"a": None})
    assert states.by_id == {}
    states.take({"a": state("a", 3)})
    assert states.by_id["a"]["version"] == 3


class Follower:
    """Its thread gets ready between two looks."""

    needed = True

    def __init__(self) -> None:
        self._whys: list[str | None] = ["not yet"]

    @property
    def why(self) -> str | None:
        return self._whys.pop() if self._whys else None


def test_a_follower_that_gets_ready_is_no_empty_obstacle(
    application: Callable[..., Application],
) -> None:
    """What a thread changes is looked at once."""
    gateway = application().gateway
    gateway._threads = [cast(Any, Follower())]

    assert (gateway.obstacles(), gateway.obstacles()) == (["not yet"], [])
