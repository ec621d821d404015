"""Slugs, as the site makes them: public addresses depend on every character.

Source: Django's slugify without allow_unicode, which made the slugs that the site holds.
"""

import re
import unicodedata

SLUG_LENGTH = 120
"""Most characters of a slug on the site."""

_DROPPED = re.compile(r"[^\w\s-]", re.ASCII)
_RUNS = re.compile(r"[-\s]+")


def slugify(text: str) -> str:
    """`text` in ASCII, lower case, words joined by single dashes; '' where nothing is left."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return _RUNS.sub("-", _DROPPED.sub("", text.lower()).strip()).strip("-_")
