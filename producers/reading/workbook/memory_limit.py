"""How much of a workbook is held in memory at most."""

INFLATED_BYTES = 512 << 20
CELLS = 16_000_000
"""Of 32 bytes each in calamine."""

TEXT_BYTES = 1 << 30
"""Of all cells together, a text that cells share counted for each."""
