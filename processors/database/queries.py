"""SQL in files: `-- name: NAME` begins a query, the next name or the file's end closes it."""

import re
from functools import cache
from importlib import resources
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(package: str, file: str) -> dict[str, LiteralString]:
    """The queries of `file` in `package`, by name. Files of the package count as literals."""
    text = (resources.files(package) / file).read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return dict(
        zip(parts[::2], (cast("LiteralString", sql.strip()) for sql in parts[1::2]), strict=True)
    )


def of_dropped_values(sql: LiteralString) -> LiteralString:
    """A statement about ingest.rejects as one about ingest.dropped_values, which has its columns."""
    return sql.replace("ingest.rejects", "ingest.dropped_values")
