"""What docs/database.md says of pgBouncer in transaction mode: nothing outlives a transaction."""

import re
from pathlib import Path

import pytest

from processors.database.pool import OPTIONS

FOLDER = Path(__file__).parents[2] / "processors"
SOURCES = [*FOLDER.rglob("*.sql"), *FOLDER.rglob("*.py")]

FORBIDDEN = {
    "a lock of the session": r"pg_(?:try_)?advisory_(?:unlock|lock)",
    "a setting of the session": r"set_config\([^()]*(?:\([^()]*\)[^()]*)*,\s*false\)|\bSET SESSION\b",
    "a channel": r"\b(?:LISTEN|UNLISTEN|NOTIFY) \w",
    "a cursor that outlives its transaction": r"\bWITH HOLD\b",
    "a statement prepared by name": r"\bPREPARE \w",
    "a temporary table that stays": r"CREATE TEMP(?:ORARY)? TABLE (?!\w+ ON COMMIT DROP)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_stays_in_a_session(what: str) -> None:
    """A transaction may get another server connection than the one before."""
    found = [
        path.name
        for path in SOURCES
        if re.search(FORBIDDEN[what], path.read_text(encoding="utf-8"))
    ]

    assert found == []


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("a lock of the session", "SELECT pg_advisory_lock(1)"),
        ("a setting of the session", "SELECT set_config('jit', 'off', false)"),
        ("a channel", "LISTEN rows"),
        ("a cursor that outlives its transaction", "DECLARE c CURSOR WITH HOLD FOR SELECT"),
        ("a statement prepared by name", "PREPARE one AS SELECT"),
        ("a temporary table that stays", "CREATE TEMPORARY TABLE staging AS SELECT"),
    ],
)
def test_what_would_stay_is_found(what: str, statement: str) -> None:
    """Each search can find something."""
    assert re.search(FORBIDDEN[what], statement)


CONNECTS = r"(?:\bpsycopg\.connect|Connection\.connect|ConnectionPool)\((?:[^()]|\([^()]*\))*\)"
IMPORTS = r"from psycopg(?:\.connection\w*)? import .*\bconnect\b"


def test_connections_prepare_nothing() -> None:
    """pgBouncer before 1.21 loses prepared statements: two modules connect, always in the same way."""
    assert OPTIONS["prepare_threshold"] is None
    texts = {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in SOURCES}
    connects = {
        name: found for name, text in texts.items() if (found := re.findall(CONNECTS, text))
    }
    assert connects.keys() == {"database/connection.py", "database/pool.py"}
    every = [found for some in connects.values() for found in some]
    assert [found for found in every if "**OPTIONS" not in found] == []
    assert [name for name, text in texts.items() if re.search(IMPORTS, text)] == []
