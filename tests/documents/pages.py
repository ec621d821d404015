"""Which pages are made of the code."""

from collections.abc import Mapping
from pathlib import Path

from tests.documents import commands_page, errors_page, settings_page

DOCS = Path(__file__).parents[2] / "docs"


def written() -> Mapping[Path, str]:
    """What each page should be."""
    errors = DOCS / "errors.md"
    return {
        DOCS / "settings.md": settings_page.page(),
        DOCS / "cli.md": commands_page.page(),
        errors: errors_page.filled(errors.read_text(encoding="utf-8")),
    }
