"""A field of an import type, and the kinds of values that fields have."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "text",  # any text
    "name",  # a text with more in it than dashes, dots and spaces
    "slugged",  # a name that has a slug, of SLUG_LENGTH characters at most
    "siren",  # 9 digits
    "siret",  # 14 digits
    "postal_code",  # 5 digits
    "postal_codes",  # several of them
    "departement",  # 2 or 3 characters, such as 01, 2A, 971
    "naf",  # 62.01Z
    "commune",  # INSEE's code: 5 digits, or 2A or 2B and 3 digits
    "legal_category",  # 4 digits
    "disclosure",  # O or P
    "source_date",  # an ISO 8601 date or time, which sorts; a second date may follow a space
    "phone",
    "email",
    "url",
    "domain",  # the host of a web address
    "place_id",  # of Google Maps
    "boolean",
    "integer",  # 0 or more
    "latitude",  # degrees
    "longitude",  # degrees
]


@dataclass(frozen=True)
class Field:
    """A column of a file and of its table.

    `aliases` are other headers that name it, compared without case, accents and punctuation.
    `usual` are headers that name it in a file that has no column of the name or an alias; of an
    optional field they come after these. `alone` are headers that name it only if none of all these does.
    `chains` are headers of public registers, "a > b > c + d": if column a is blank, b is read,
    then c and d joined by a space; b, c and d beside a are not a second column for the field. In
    "a + b > c", b must be there and a may.
    A malformed value of a field that is not `strict` is a warning and stored as nothing. A value
    that is not given is taken from the field `taken_from`, if that is given: the SIREN is the beginning
    of the SIRET, the principal postal code the first of several. Fields of the
    `register` only files of INSEE and La Poste have: foxstream keeps them beside the site's tables, and
    the template for operators leaves them out. A `detail` is a column of the site that few files have:
    the template leaves it out too, and statements name it only for batches in which a row has one.
    """

    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    max_length: int | None = None
    required: bool = False
    strict: bool = False
    chains: tuple[str, ...] = ()
    taken_from: str | None = None
    register: bool = False
    detail: bool = False
    usual: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
