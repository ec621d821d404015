"""Check digits of SIREN and SIRET, and the rule that La Poste has to itself."""

import pytest

from schemas.values.check_digits import unchecked

SOUND = "73282932000074"


@pytest.mark.parametrize(
    ("siret", "sound"),
    [
        (SOUND, True),
        ("73282932000075", False),
        ("35600000000048", True),  # the head office of La Poste has an ordinary one
        ("35600000049837", True),  # its other offices have digits that add up to a multiple of 5
        ("35600000000001", True),
        ("35600000049838", False),
        ("73282932000004", False),  # and nobody else's may
    ],
)
def test_sirets(siret: str, sound: bool) -> None:
    """A SIRET is told by itself and among others, at its own row."""
    assert unchecked([siret], 14) == ([] if sound else [0])
    assert unchecked([SOUND, siret, None, SOUND], 14) == ([] if sound else [1])


@pytest.mark.parametrize("other", [None, "", "73282932", "7328293200", "73282932x", "73282932²"])
def test_what_is_no_number_is_passed_over(other: str | None) -> None:
    """Values that are not given, or no SIREN at all, are told by other rules, and move no row."""
    assert unchecked(["732829320", other, "732829321"], 9) == [2]
