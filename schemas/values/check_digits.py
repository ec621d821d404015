"""The check digit of a SIREN or SIRET, for a column at once.

Source: INSEE, Luhn's formula (ISO/IEC 7812-1); a SIRET of La Poste, of SIREN 356000000, has
digits that add up to a multiple of 5 instead, its head office excepted.
"""

from collections.abc import Sequence

_POSTE = "356000000"

# What a digit at an even and at an odd place from the right, counted from 0, adds to the sum.
_SINGLE = bytes(max(0, code - 48) if code < 58 else 0 for code in range(256))
_DOUBLED = bytes(
    (2 * digit - 9 if digit > 4 else 2 * digit) if digit < 10 else 0 for digit in _SINGLE
)
_SOUND = bytes(range(0, 256, 10))


def unchecked(values: Sequence[str | None], length: int) -> list[int]:
    """The rows of which the number, of `length` digits, has a wrong check digit.

    Values that are not given or no such number are passed over.
    """
    rows: Sequence[int] = range(len(values))
    whole = "".join(filter(None, values))
    if not (len(whole) == length * len(values) and _are_numbers(whole, values, length)):
        rows = [
            row for row in rows if _are_numbers(values[row] or "", values[row : row + 1], length)
        ]
        whole = "".join([values[row] or "" for row in rows])
    digits = whole.encode()
    # A byte a row, and no sum of 14 digits comes to 256: adding numbers adds the columns.
    total = sum(
        int.from_bytes(
            digits[place::length].translate((_SINGLE, _DOUBLED)[(length - 1 - place) % 2])
        )
        for place in range(length)
    )
    sums = total.to_bytes(len(rows))
    if not sums.translate(None, _SOUND):
        return []
    return [
        row
        for row, luhn in zip(rows, sums, strict=True)
        if luhn % 10 and not _is_of_la_poste(values[row] or "")
    ]


def _are_numbers(joined: str, values: Sequence[str | None], length: int) -> bool:
    return (
        joined.isascii()
        and joined.isdigit()
        and {length}.issuperset(map(len, filter(None, values)))
    )


def _is_of_la_poste(siret: str) -> bool:
    return len(siret) == 14 and siret.startswith(_POSTE) and sum(map(int, siret)) % 5 == 0
