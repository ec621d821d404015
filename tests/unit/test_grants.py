"""The rights of the write role are those that the statements of workers need."""

import re
from pathlib import Path

from processors.database.grants import ANALYZED, GRANTS, WRITE

PROCESSORS = Path(__file__).parents[2] / "processors"
VERBS = {"INSERT": "INSERT INTO", "UPDATE": "UPDATE", "DELETE": "DELETE FROM"}
TABLES = GRANTS[WRITE]


def statements() -> str:
    """The SQL of workers, comments left out, and their Python, which holds names of tables."""
    files = [*PROCESSORS.rglob("*.sql"), *PROCESSORS.rglob("*.py")]
    texts = (
        path.read_text(encoding="utf-8")
        for path in files
        if "migrations" not in path.parts and path.name not in ("migrator.py", "grants.py")
    )
    return "\n".join(re.sub(r"--.*", "", text) for text in texts)


def test_a_right_has_a_statement() -> None:
    """No table of the site is written because it might be."""
    text = statements()
    granted = {
        (table, verb) for table, rights in TABLES.items() for verb in VERBS if verb in rights
    }
    needed = {
        (table, verb)
        for table in TABLES
        for verb, words in VERBS.items()
        if re.search(rf"\b{words}\s+{table}\b", text)
        or (verb == "UPDATE" and re.search(rf"INSERT INTO {table}\b[^;]*?DO UPDATE", text))
    }

    assert granted == needed
    assert set(ANALYZED) <= TABLES.keys()


def test_every_table_of_a_statement_is_named() -> None:
    found = set(
        re.findall(
            r"\b(?:FROM|JOIN|INTO|UPDATE)\s+((?:enterprise|location|category|subcategory|reviews|core"
            r"|auth|django)_[a-z]+)\b",
            statements(),
        )
    )

    assert found <= TABLES.keys()
    assert len(found) > 8
