"""The import types, as data: what a file of each holds and where its rows go.

To add one: its record in schemas/avro, its entry here, its topic in schemas/topics.py, its merge
in processors/rows/merge and its table in a migration.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from schemas.topics import (
    ROWS_CATEGORIE,
    ROWS_DEPARTEMENT,
    ROWS_ENTREPRISE,
    ROWS_SOUS_CATEGORIE,
    ROWS_VILLE,
    Topic,
)
from schemas.values.slugs import slugify

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
    "phone",
    "email",
    "url",
    "boolean",
    "integer",  # 0 or more
    "latitude",  # degrees
    "longitude",  # degrees
]


@dataclass(frozen=True)
class Field:
    """A column of a file and of its table.

    `aliases` are other headers that name it, compared without case, accents and punctuation.
    `chains` are headers of public registers, "a > b > c + d": where column a is blank, b is read,
    then c and d joined by a space; b, c and d beside a are no second column for the field. In
    "a + b > c", b must be there and a may.
    A malformed value of a field that is not `strict` is a warning and stored as nothing. A value
    that is not given is the beginning of the field `taken_from`, where that is given.
    """

    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    max_length: int | None = None
    required: bool = False
    strict: bool = False
    chains: tuple[str, ...] = ()
    taken_from: str | None = None


def itself(key: str) -> str:
    """A field that is the natural key, or a natural key that is the Kafka key, as it is."""
    return key


@dataclass(frozen=True)
class ImportType:
    """`key` gives the natural key of a row by its `key_fields`, None where it has none; `routing` the
    Kafka key of one.

    `parent` is the type whose row a row belongs to, named in the field that is called as the type.
    Its natural key is the row's Kafka key, so that both lie in partitions of one number. A row whose
    parent is not there is parked. `coordinates` are headers of a column that holds "latitude,
    longitude".
    """

    name: str
    label: str
    topic: Topic
    table: str
    fields: tuple[Field, ...]
    key_fields: tuple[str, ...]
    key: Callable[..., str | None]
    coordinates: tuple[str, ...] = ()
    routing: Callable[[str], str] = itself
    parent: "ImportType | None" = None

    @cached_property
    def field(self) -> dict[str, Field]:
        """The fields by name."""
        return {field.name: field for field in self.fields}

    def keys(self, columns: Mapping[str, Sequence[Any]]) -> list[str | None]:
        """The natural keys of rows of which there is a column a field."""
        return list(map(self.key, *(columns[name] for name in self.key_fields)))

    def key_of(self, row: Mapping[str, Any]) -> str | None:
        """The natural key of a row that has its fields by name."""
        return self.key(*(row[name] for name in self.key_fields))

    def parent_name(self, values: Sequence[Any]) -> str:
        """The parent as a row spells it, whose values are in the order of the fields."""
        assert self.parent is not None  # noqa: S101 - of types that have one
        name: str = values[list(self.field).index(self.parent.name.lower())]
        return name


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


# INSEE names a legal person, a person in their own name and a shop in different columns.
_NAMES = (
    "denominationUniteLegale > denominationUsuelle1UniteLegale > denominationUsuelleEtablissement"
    " > prenomUsuelUniteLegale + nomUniteLegale > nomUniteLegale",
    "denominationUsuelleEtablissement > enseigne1Etablissement",
    "NOMEN_LONG > NOM",
)
_TRADE_NAMES = (
    "enseigne1Etablissement > denominationUsuelleEtablissement > denominationUsuelle1UniteLegale",
)
_ACTIVITIES = ("activitePrincipaleEtablissement > activitePrincipaleUniteLegale",)

_ADDRESSES = (
    "numeroVoieEtablissement + indiceRepetitionEtablissement + typeVoieEtablissement"
    " + libelleVoieEtablissement",
    "dc_numerodansvoie + dc_libnomrue",
    "L4_NORMALISEE > L4_DECLAREE",
)
_EMAILS = ("dc_adressemailetablissement > dc_emailcorrespondant",)
_PHONES = ("dc_numerotelephone1 > dc_telephonecorrespondant",)
_SITES = ("dc_sitewebetablissement_1 > dc_sitewebetablissement_2 > dc_urlentreprise",)

ENTREPRISE = ImportType(
    name="ENTREPRISE",
    label="Entreprises",
    topic=ROWS_ENTREPRISE,
    table="enterprise_entreprise",
    key_fields=("siren",),
    key=itself,
    fields=(
        Field(
            "siren",
            "siren",
            (
                "numero siren",
                "n siren",
                "no siren",
                "identifiant entreprise",
                "identifiant de l entreprise",
            ),
            required=True,
            strict=True,
            taken_from="siret",
        ),
        Field(
            "nom",
            "name",
            (
                "name",
                "raison sociale",
                "denomination",
                "denomination sociale",
                "nom entreprise",
                "nom de l entreprise",
                "nom ou raison sociale de l entreprise",
                "denominationunitelegale",
                "denominationusuelleetablissement",
                "nomen long",
                "dc raisonsocialeentreprise",
                "nom beneficiaire",
                "nom du beneficiaire",
            ),
            255,
            required=True,
            strict=True,
            chains=_NAMES,
        ),
        Field(
            "siret",
            "siret",
            (
                "numero siret",
                "n siret",
                "no siret",
                "siretetablissement",
                "dc siretetablissement",
                "id beneficiaire",
                "identification du beneficiaire",
                "siret ou ridet",
            ),
            strict=True,
        ),
        Field(
            "nom_commercial",
            "text",
            (
                "enseigne",
                "enseigne ou nom de l exploitation",
                "denominationusuelle",
                "denominationusuelle1unitelegale",
                "enseigne1etablissement",
                "dc enseigne",
            ),
            255,
            chains=_TRADE_NAMES,
        ),
        Field(
            "adresse",
            "text",
            (
                "address",
                "adresse complete",
                "adresse postale",
                "l4 normalisee",
                "quatrieme ligne de l adressage de l etablissement",
                "libellevoieetablissement",
                "dc libnomrue",
            ),
            chains=_ADDRESSES,
        ),
        Field(
            "code_postal",
            "postal_code",
            (
                "cp",
                "codpos",
                "codpost",
                "code post",
                "postal code",
                "zip",
                "codepostaletablissement",
                "dc codepostal",
            ),
        ),
        Field(
            "ville_nom",
            "text",
            (
                "ville",
                "commune",
                "city",
                "nom ville",
                "nom commune",
                "libcom",
                "libellecommuneetablissement",
                "libelle de la commune de localisation de l etablissement",
            ),
            100,
        ),
        Field(
            "naf_code",
            "naf",
            (
                "naf",
                "ape",
                "code naf",
                "code ape",
                "apet700",
                "activiteprincipale",
                "activiteprincipaleunitelegale",
                "activiteprincipaleetablissement",
                "activite principale de l etablissement",
                "dc nafrev2 id",
            ),
            chains=_ACTIVITIES,
        ),
        Field(
            "naf_libelle",
            "text",
            (
                "libelle naf",
                "libelle ape",
                "libapet",
                "activite",
                "libelle activite",
                "libelle de l activite principale de l etablissement",
            ),
            255,
        ),
        Field(
            "telephone",
            "phone",
            ("tel", "phone", "numero de telephone", "dc numerotelephone1"),
            20,
            chains=_PHONES,
        ),
        Field(
            "email_contact",
            "email",
            (
                "email",
                "e mail",
                "mail",
                "courriel",
                "adresse mail",
                "adr mail",
                "contact email",
                "dc adressemailetablissement",
            ),
            254,
            chains=_EMAILS,
        ),
        Field(
            "site_web",
            "url",
            ("site", "website", "url", "site internet", "internet", "dc sitewebetablissement 1"),
            200,
            chains=_SITES,
        ),
        Field(
            "is_active", "boolean", ("actif", "active", "est actif", "etatadministratifunitelegale")
        ),
    ),
)

VILLE = ImportType(
    name="VILLE",
    label="Villes",
    topic=ROWS_VILLE,
    table="location_ville",
    key_fields=("nom", "code_postal_principal"),
    key=ville_slug,
    coordinates=(
        "coordonnees gps",
        "coordonnees",
        "coordonnees geographiques",
        "geo point 2d",
        "geo point",
        "geopoint",
        "geolocalisation",
    ),
    fields=(
        Field(
            "nom",
            "name",
            (
                "ville",
                "villes",
                "name",
                "commune",
                "communes",
                "commune name",
                "nom commune",
                "ville nom",
                "nom ville",
                "nom de la commune",
            ),
            100,
            required=True,
            strict=True,
        ),
        Field(
            "code_postal_principal",
            "postal_code",
            ("code postal", "cp", "postal code", "zip"),
            required=True,
            strict=True,
        ),
        Field("codes_postaux", "postal_codes", ("codes postals", "postal codes")),
        Field(
            "departement",
            "departement",
            ("dept", "department", "code departement", "code dep insee", "dep"),
            3,
        ),
        Field("region", "text", ("nom region", "nom reg"), 100),
        Field("lat", "latitude", ("latitude", "y")),
        Field("lng", "longitude", ("longitude", "lon", "long", "x")),
        Field("population", "integer", ("pop", "habitants", "nb habitants")),
    ),
)

_META = Field("meta_description", "text", ("meta", "description meta", "seo description"), 160)
_ORDRE = Field("ordre", "integer", ("order", "position", "rang"))

CATEGORIE = ImportType(
    name="CATEGORIE",
    label="Catégories",
    topic=ROWS_CATEGORIE,
    table="category_categorie",
    key_fields=("nom",),
    key=categorie_slug,
    fields=(
        Field(
            "nom",
            "slugged",
            ("categorie", "categories", "name", "category", "nom categorie", "nom de la categorie"),
            100,
            required=True,
            strict=True,
        ),
        Field("description", "text"),
        _META,
        _ORDRE,
    ),
)

SOUS_CATEGORIE = ImportType(
    name="SOUS_CATEGORIE",
    label="Sous-catégories",
    topic=ROWS_SOUS_CATEGORIE,
    table="subcategory_souscategorie",
    key_fields=("categorie", "nom"),
    key=sous_categorie_slugs,
    routing=sous_categorie_parent,
    parent=CATEGORIE,
    fields=(
        Field(
            "nom",
            "slugged",
            (
                "sous categorie",
                "sous categories",
                "name",
                "subcategory",
                "nom sous categorie",
                "nom de la sous categorie",
            ),
            100,
            required=True,
            strict=True,
        ),
        Field(
            "categorie",
            "slugged",
            (
                "category",
                "categorie nom",
                "nom categorie",
                "nom de la categorie",
                "categorie parente",
                "parent",
            ),
            100,
            required=True,
            strict=True,
        ),
        Field("description", "text"),
        _META,
        Field("mots_cles", "text", ("mots clefs", "keywords", "tags")),
        _ORDRE,
    ),
)

DEPARTEMENT = ImportType(
    name="DEPARTEMENT",
    label="Départements",
    topic=ROWS_DEPARTEMENT,
    table="location_departement",
    key_fields=("code",),
    key=itself,
    fields=(
        Field(
            "code",
            "departement",
            ("departement", "code departement", "code dep", "dep", "numero"),
            required=True,
            strict=True,
        ),
        Field(
            "nom",
            "name",
            ("name", "nom departement", "nom du departement", "nom dep", "libelle"),
            100,
            required=True,
            strict=True,
        ),
    ),
)

IMPORT_TYPES = {
    import_type.name: import_type
    for import_type in (ENTREPRISE, VILLE, CATEGORIE, SOUS_CATEGORIE, DEPARTEMENT)
}
