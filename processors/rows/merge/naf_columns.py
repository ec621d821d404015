"""The activities of companies in the order of the site's nomenclature."""

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.values.naf import Nomenclature, nomenclature


def in_order(
    columns: Mapping[str, Sequence[Any]], primary: Nomenclature = "rev2"
) -> tuple[Sequence[str | None], Sequence[str | None]]:
    """Each company's activity in the nomenclature of the site, and in the other one. Both columns are
    empty if `naf_code` has all codes and all are of the site's nomenclature.

    A code belongs to one nomenclature only, which its last letter shows, whatever its column.
    """
    codes, codes_2025 = columns["naf_code"], columns["naf_2025"]
    if primary == "rev2" and not any(codes_2025) and not any(map(_is_2025, set(codes))):
        return codes_2025, codes_2025  # nothing
    rev2 = [None if _is_2025(code) else code for code in codes]
    new = [
        other or (code if _is_2025(code) else None)
        for code, other in zip(codes, codes_2025, strict=True)
    ]
    return (rev2, new) if primary == "rev2" else (new, rev2)


def _is_2025(code: str | None) -> bool:
    return code is not None and nomenclature(code) == "2025"
