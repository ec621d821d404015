"""What has to be true of a release and changes with the calendar: `make release-check`."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from schemas.values.text_prices import DEFAULT_MODEL, ENDS, PRICES

NOTICE = timedelta(days=62)
"""Two months: as long as a release is to serve before its model has to be changed."""


def ending(models: Sequence[str], ends: Mapping[str, date], today: date) -> list[str]:
    """Those of these models that end within two months, or have ended, each with its last day."""
    return [
        f"{model} ends on {ends[model]}"
        for model in models
        if model in ends and ends[model] <= today + NOTICE
    ]


def main() -> int:
    """Writes what is wrong; 1 if anything is."""
    found = ending([DEFAULT_MODEL, *PRICES], ENDS, datetime.now(UTC).date())
    for line in dict.fromkeys(found):
        sys.stderr.write(f"{line}: take it out of schemas/values/text_prices.py\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
