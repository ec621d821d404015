"""The names in content.xml of an .ods workbook (OpenDocument 1.3, part 3), with their namespaces."""

_ODF = "urn:oasis:names:tc:opendocument:xmlns:"
_TABLE = _ODF + "table:1.0 "
_OFFICE = _ODF + "office:1.0 "
_TEXT = _ODF + "text:1.0 "
_STYLE = _ODF + "style:1.0 "
_CALC = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0 "

TABLE = _TABLE + "table"
COLUMN = _TABLE + "table-column"
ROW = _TABLE + "table-row"
CELL, COVERED = _TABLE + "table-cell", _TABLE + "covered-table-cell"
CELL_TAGS = (CELL, COVERED)
NAME = _TABLE + "name"
FORMULA = _TABLE + "formula"
VISIBILITY = _TABLE + "visibility"
TABLE_STYLE = _TABLE + "style-name"
DISPLAY = _TABLE + "display"
ROWS_REPEATED, COLUMNS_REPEATED = (
    _TABLE + "number-rows-repeated",
    _TABLE + "number-columns-repeated",
)
ROWS_SPANNED, COLUMNS_SPANNED = _TABLE + "number-rows-spanned", _TABLE + "number-columns-spanned"

VALUE_TYPE, VALUE = _OFFICE + "value-type", _OFFICE + "value"
STRING_VALUE, BOOLEAN_VALUE = _OFFICE + "string-value", _OFFICE + "boolean-value"
DATE_VALUE, TIME_VALUE = _OFFICE + "date-value", _OFFICE + "time-value"
CALCULATED_TYPE = _CALC + "value-type"

PARAGRAPH = _TEXT + "p"
SPACES, BLANKS = _TEXT + "s", _TEXT + "c"
ASIDES = (_TEXT + "ruby-text", _TEXT + "note", _OFFICE + "annotation")
"""Elements within a paragraph that are not part of its text."""
TAB, LINE_BREAK = _TEXT + "tab", _TEXT + "line-break"

STYLE, STYLE_NAME = _STYLE + "style", _STYLE + "name"
PROPERTIES = _STYLE + "table-properties"
