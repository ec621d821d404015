"""The share of an import's rows that was written, as people see it."""


def success_rate(success: int, total: int) -> float | None:
    """In percent, with two decimals; 100 only if nothing is missing, None of no rows."""
    if not total:
        return None
    return 100.0 if success == total else min(round(100 * success / total, 2), 99.99)
