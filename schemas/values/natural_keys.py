"""Natural keys of rows, from the values of their fields; None if a value is missing."""

from schemas.values.slugs import slugify


def itself(key: str) -> str:
    """A field that is the natural key, or a natural key that is the Kafka key, as it is."""
    return key


def ville_slug(nom: str | None, postal_code: str | None) -> str | None:
    """slugify(nom-code_postal_principal), the city's address on the site; at most 106 long."""
    return slugify(f"{nom}-{postal_code}") if nom and postal_code else None


def categorie_slug(nom: str | None) -> str | None:
    """slugify(nom): every spelling of a name is the same category."""
    return (slugify(nom) or None) if nom else None


def sous_categorie_slugs(categorie: str | None, nom: str | None) -> str | None:
    """slugify(categorie)/slugify(nom): no slug holds a slash."""
    slugs = (slugify(categorie), slugify(nom)) if nom and categorie else ("", "")
    return "/".join(slugs) if all(slugs) else None


def sous_categorie_parent(key: str) -> str:
    """The category's part of a sub-category's key."""
    return key.partition("/")[0]
