"""How much of a workbook is held in memory at most: together less than a reading process may take."""

ADDRESS_SPACE = 1 << 30
"""That a reading process may take beyond what it has when it begins; Kafka's client takes 250 MiB."""

INFLATED_BYTES = 512 << 20
"""Of all parts, which are read block by block."""

CELLS = 4_000_000
"""That calamine holds, at 64 bytes each. Sheets beyond are read cell by cell."""

VALUES = 16_000_000
"""Of a sheet that is read cell by cell, repeated ones included."""

HELD_BYTES = 256 << 20
"""Of texts that calamine holds. Sheets beyond are read cell by cell."""

TEXT_BYTES = 1 << 30
"""Of all cells together, a text that cells share counted for each."""

WHOLE_BYTES = 32 << 20
"""Of each part besides sheets and texts that calamine may hold, such as styles and defined names."""

TEXTS = 3_000_000
"""That cells share."""
