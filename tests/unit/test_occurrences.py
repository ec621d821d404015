"""Occurrence numbers of keys."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.imports import occurrences as module
from producers.imports.occurrences import _COUNT_BITS, MOST, Occurrences


@given(st.lists(st.text(max_size=3)), st.integers(0, 9))
def test_counts_as_a_dictionary_does(keys: list[str], few: int) -> None:
    """Every occurrence gets the number that an exact count gives it, whenever keys are packed."""
    occurrences, exact = Occurrences(), Counter[str]()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FEW", few)
        for key in keys:
            exact[key] += 1
            assert exact[key] == occurrences.count(key)


def test_many_keys_stay_apart_while_the_tables_grow() -> None:
    """Growing loses no count: all keys are new once, and known twice."""
    occurrences = Occurrences()
    keys = [f"{number:09d}" for number in range(100_000)]

    assert {1} == {occurrences.count(key) for key in keys}
    assert {2} == {occurrences.count(key) for key in keys}
    assert {3} == {occurrences.count(key) for key in reversed(keys)}


def test_memory_is_flat() -> None:
    """At most 24 bytes a key: 2 million take less than 48 MB."""
    occurrences = Occurrences()
    for number in range(200_000):
        occurrences.count(str(number))

    used = sum(segment.itemsize * len(segment) for segment in occurrences._segments)
    assert used <= 24 * 200_000


def test_one_key_over_and_over_takes_no_room() -> None:
    """Memory goes by distinct keys."""
    occurrences = Occurrences()
    counts = [occurrences.count("same") for _ in range(10_000)]

    assert counts[-1] == 10_000
    assert len(occurrences._few or ()) == 1


def test_one_key_among_many_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where keys are packed."""
    monkeypatch.setattr(module, "_FEW", 0)
    occurrences = Occurrences()
    counts = [occurrences.count("same") for _ in range(10_000)]

    assert counts[-1] == 10_000
    assert sum(occurrences._used) == 1


class _Colliding(str):
    def __hash__(self) -> int:
        return 7


def test_a_collision_only_miscounts() -> None:
    """Two keys of one hash count as one key."""
    occurrences = Occurrences()

    assert occurrences.count(_Colliding("a")) == 1
    assert occurrences.count(_Colliding("b")) == 2


def test_counting_stops_before_it_would_spill_into_the_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The highest number is given again and again."""
    monkeypatch.setattr(module, "_FEW", 0)
    occurrences = Occurrences()
    occurrences.count(_Colliding("a"))
    segment = occurrences._segments[7]
    slot = next(i for i, word in enumerate(segment) if word)
    segment[slot] += MOST - 2

    assert [occurrences.count(_Colliding("a")) for _ in range(3)] == [MOST] * 3
    assert MOST + 1 == 1 << _COUNT_BITS
