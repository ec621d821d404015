"""The points at which the fault-injection run makes processes end are in the product."""

import pytest

from tests.faults.faults import DECK, FIRST
from tests.faults.points import POINTS, MissingPointError, Point, before, sent


@pytest.mark.parametrize("name", POINTS)
def test_a_point_exists(name: str) -> None:
    """What it names is a function, which can be wrapped in the way that it says."""
    point = POINTS[name]

    owner, attribute, function = point.resolve()

    assert callable(function)
    assert getattr(owner, attribute) is function
    assert callable(point.wrap(function, lambda: None))


@pytest.mark.parametrize(
    "place",
    [
        "processors.rows.outbox:Outbox.no_such_function",
        "processors.rows.outbox:NoSuchClass.tell",
        "processors.no_such_module:tell",
    ],
)
def test_a_point_that_is_gone_is_an_error(place: str) -> None:
    with pytest.raises(MissingPointError):
        Point("worker", place, before).install(lambda: None)


def test_every_point_is_made_use_of() -> None:
    assert {kind.point for kind in DECK} == {*POINTS, None}
    assert set(FIRST) <= set(DECK) | {kind for kind in FIRST if kind.point is None}


async def test_a_trap_at_an_acknowledged_record_hands_its_offset_on() -> None:
    passed: list[str] = []

    async def send(_: str) -> int:
        return 732

    telling = sent("imports.log")(lambda: send, lambda: passed.append("passed"))()

    assert [await telling("fox.rejects"), await telling("fox.imports.log")] == [732, 732]
    assert passed == ["passed"]
