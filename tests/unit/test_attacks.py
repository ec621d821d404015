"""What `make attacks` takes for a failure."""

from dataclasses import replace

import pytest

from tests.attacks.scripts import ATTACKS
from tests.attacks.traffic import Measured
from tests.attacks.verdict import HEADINGS, Verdict, line

QUIET = Measured(rows=100.0, checks=1.0, check=0.5, started=2.0)
VERDICT = Verdict("a", True, QUIET, QUIET, 200.0, 300.0, [])


@pytest.mark.parametrize(
    ("attacked", "wrong"),
    [
        ({"rows": 81.0, "checks": 0.81, "check": 0.9, "started": 9.0}, []),
        ({"rows": 79.0}, ["rows keep 79% of their rate"]),
        ({"checks": 0.5}, ["checks keep 50% of their rate"]),
        ({"check": 1.1}, ["a check takes 2.2 times as long"]),
        ({"started": 11.0}, ["a file of two lines begins after 11 s"]),
    ],
)
def test_what_traffic_keeps(attacked: dict[str, float], wrong: list[str]) -> None:
    found = replace(VERDICT, attacked=replace(QUIET, **attacked))

    assert found.wrong == wrong
    assert line(found.cells()).endswith("; ".join(wrong) or "ok")
    assert len(found.cells()) == len(HEADINGS)


def test_a_busy_machine() -> None:
    """A start that is late without an attack is compared with that; checks only for what is shared."""
    slow = replace(QUIET, started=12.0)
    attacked = replace(slow, started=17.0, check=2.0)

    assert replace(VERDICT, fair=False, quiet=slow, attacked=attacked).wrong == []
    assert replace(VERDICT, quiet=slow, attacked=replace(slow, started=19.0)).wrong != []


def test_memory_and_findings() -> None:
    """Memory is limited, and whatever the script or the state after it found is a failure."""
    found = replace(VERDICT, worker_mb=1100.0, gateway_mb=2200.0, found=["the worker ended"])

    assert len(found.wrong) == 3


def test_attacks_of_every_kind() -> None:
    """Each attack has a time and competes for what is shared only if an account does it."""
    assert len(ATTACKS) > 30
    assert {name for name, attack in ATTACKS.items() if attack.fair} == {
        "many-checks", "many-imports", "many-streams", "many-uploads",
    }  # fmt: skip
