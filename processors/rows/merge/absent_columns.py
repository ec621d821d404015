"""Columns that the file of a row does not have: overwriting leaves them as they are.

A statement decides what becomes of a column by the policy of the row, and names the result after it:
`ingest.pick(s.policy, …) AS adresse`. Rows that lack columns are rare, so that only their batches have the
statement that asks for each column.
"""

import re
from functools import cache
from typing import LiteralString

_POLICY = re.compile(r"\b([sg])\.policy\b")
_RESULT = re.compile(r"\bAS (\w+)")


@cache
def keeping(statement: LiteralString) -> LiteralString:
    """The merge statement that merges the columns in `absent` of a row, whatever its policy."""

    def of_column(policy: re.Match[str]) -> str:
        result = _RESULT.search(statement, policy.end())
        column = result[1] if result else ""
        row = policy[1]
        return f"CASE WHEN '{column}' = ANY ({row}.absent) THEN 'merge' ELSE {row}.policy END"

    return _POLICY.sub(of_column, statement)
