"""What the benchmark of rates sends is what the specification asks of five workers."""

from itertools import islice

import pytest

from tests.benchmarks.rates import FIVE, ROWS_AN_HOUR, Client, files
from tests.openai_server import most_in
from tests.soak.plan import File


def test_a_minute_of_files_is_what_is_asked() -> None:
    """50 imports, 25 texts, and a sixtieth of 2.5 million rows; no row is in two files."""
    minute = list(islice(files(), 10, 10 + FIVE.imports))
    rows = [(file.kind, number) for file in minute for number in file.numbers()]

    assert ROWS_AN_HOUR <= 60 * sum(file.rows for file in minute) < 1.01 * ROWS_AN_HOUR
    assert sum(file.asked for file in minute) == FIVE.calls
    assert len(set(rows)) == len(rows)
    assert len({file.name for file in minute}) == FIVE.imports


def test_what_is_refused_is_sent_again() -> None:
    """Nothing is left out, and nothing counts twice."""
    seen: list[str] = []

    def upload(file: File) -> int | None:
        seen.append(file.name)
        return 2 if len(seen) in (3, 4) else None

    client = Client(upload, 50)

    assert client.push() == 2
    assert client.send() == 2
    assert client.send() is None
    assert seen == ["0000.csv", "0001.csv", "0002.csv", "0002.csv", "0002.csv"]
    assert [one.file.name for one in client.sent] == ["0000.csv", "0001.csv", "0002.csv"]
    assert client.refused == [2, 2]


def test_a_limit_that_refuses_nothing_is_seen() -> None:
    """No measurement goes on without the limit that it is about."""
    with pytest.raises(SystemExit, match="50 a minute refuses nothing"):
        Client(lambda _: None, 50).push()


def test_the_most_in_a_window() -> None:
    """Wherever the window begins; its end is the next one's."""
    assert most_in([0, 30, 59, 60, 61, 200], 60) == 4
    assert most_in([0, 60, 120], 60) == 1
