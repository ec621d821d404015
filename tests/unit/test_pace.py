"""When a batch that a server did not take is tried again."""

from processors.rows.batch_loop import LONGEST_PAUSE_SECONDS, _Pace


def test_at_once_then_later_and_by_chance() -> None:
    pauses = [_Pace() for _ in range(50)]

    firsts = [pause(TimeoutError()) for pause in pauses]
    for pause in pauses:
        for _ in range(10):
            pause(TimeoutError())
    lasts = [pause(TimeoutError()) for pause in pauses]

    assert max(firsts) <= 0.05
    assert min(lasts) >= LONGEST_PAUSE_SECONDS / 2
    assert max(lasts) <= LONGEST_PAUSE_SECONDS
    assert len(set(lasts)) > 40


def test_what_does_not_pass_is_not_tried_again() -> None:
    assert _Pace()(ValueError("x")) is False
