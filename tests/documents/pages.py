"""Which pages, and which module, are made of others."""

from collections.abc import Mapping
from pathlib import Path

from processors.database import grants
from tests.documents import (
    behaviours_page,
    commands_page,
    errors_page,
    record_types,
    recoveries_page,
    settings_page,
)

_ROOT = Path(__file__).parents[2]
DOCS = _ROOT / "docs"


def written() -> Mapping[Path, str]:
    """What each of them should be."""
    errors = DOCS / "errors.md"
    enrichment = DOCS / "enrichment.md"
    operations = DOCS / "operations.md"
    roles = _ROOT / "deploy" / "postgres" / "roles.sql"
    return {
        DOCS / "settings.md": settings_page.page(),
        DOCS / "cli.md": commands_page.page(),
        _ROOT / "schemas" / "records.py": record_types.module(),
        errors: errors_page.filled(errors.read_text(encoding="utf-8")),
        roles: _granted(roles.read_text(encoding="utf-8")),
        operations: recoveries_page.filled(operations.read_text(encoding="utf-8")),
        enrichment: behaviours_page.filled(enrichment.read_text(encoding="utf-8")),
    }


def _granted(text: str) -> str:
    """The file of roles with the rights that the code names."""
    before, mark, rest = text.partition("`python -m tests.documents`\n")
    _, end, after = rest.partition("-- </grants>\n")
    return f"{before}{mark}{grants.statement()};\n{end}{after}"
