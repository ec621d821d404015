"""A schema as the registry and fastavro take it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


Schema = dict[str, Any]


class SchemaUnknownError(LookupError):
    """The registry does not hold this schema."""
