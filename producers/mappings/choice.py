"""What is worth remembering of the way in which the columns of a file were understood."""

import hashlib
import json
from datetime import UTC, datetime

from producers.reading import Correction, Options, RefusedError, Source
from producers.reading.header import header_line
from producers.reading.header.columns import LEFT_OUT
from producers.reading.header.fingerprint import fingerprint
from producers.reading.header.matching import USUAL
from schemas.records import GatewayMapping

MOST_COLUMNS = 256
MOST_BYTES = 32 * 1024
"""Of a mapping, as JSON. Larger ones are not remembered."""


def chosen_mapping(source: Source, options: Options, account: str | None) -> GatewayMapping | None:
    """What the operator chose with `options`; None if names alone say the same, or it is too large."""
    if not options.columns or isinstance(source, Correction):
        return None
    names = [name for name in source.header if name]
    columns = {
        **dict.fromkeys(_in_all_parts(source, source.unknown_columns), LEFT_OUT),
        **dict(source.columns.assigned),
        **options.columns,
    }
    if len(names) > MOST_COLUMNS or len(json.dumps(columns).encode()) > MOST_BYTES:
        return None
    if _is_said_by_names(source):
        return None
    said = fingerprint(names)
    owner = json.dumps([account, source.import_type.name, said])
    return {
        "id": hashlib.sha256(owner.encode()).hexdigest()[:32],
        "account": account,
        "import_type": source.import_type.name,
        "fingerprint": said,
        "columns": columns,
        "sheet": options.sheet,
        "at": datetime.now(UTC),
    }


def _in_all_parts(source: Source, names: list[str]) -> list[str]:
    """Of a workbook with several sheets each is to have the columns that are left out."""
    headers = [set(part.columns.names) for part in source.parts]
    return [name for name in names if all(name in header for header in headers)]


def _is_said_by_names(source: Source) -> bool:
    try:
        plain = header_line.header_of(source.header, (), source.import_type, {})
    except RefusedError:
        return False
    is_sure = min(plain.confidence.values(), default=0.0) >= USUAL
    return is_sure and plain.mapping == source.mapping
