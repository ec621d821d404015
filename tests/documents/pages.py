"""Which pages, and which module, are made of others."""

from collections.abc import Mapping
from pathlib import Path

from tests.documents import behaviours_page, commands_page, errors_page, record_types, settings_page

_ROOT = Path(__file__).parents[2]
DOCS = _ROOT / "docs"


def written() -> Mapping[Path, str]:
    """What each of them should be."""
    errors = DOCS / "errors.md"
    enrichment = DOCS / "enrichment.md"
    return {
        DOCS / "settings.md": settings_page.page(),
        DOCS / "cli.md": commands_page.page(),
        _ROOT / "schemas" / "records.py": record_types.module(),
        errors: errors_page.filled(errors.read_text(encoding="utf-8")),
        enrichment: behaviours_page.filled(enrichment.read_text(encoding="utf-8")),
    }
