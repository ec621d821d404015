"""The import types, as data: what a file of each holds and where its rows go.

To add one: its record in schemas/avro, its entry here, its topic in schemas/topics.py, its merge
in processors/rows/merge and its table in a migration.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from schemas import topics
from schemas.values import natural_keys, public_headers, usual_headers
from schemas.values.field import Field, Kind

_POSITION: tuple[Kind, ...] = ("latitude", "longitude")


@dataclass(frozen=True)
class ImportType:
    """`topic` has the rows of upstream systems, `file_topic` those of files. `key` gives the natural key of
    a row by its `key_fields`, None if it has none; `routing` the Kafka key of one.

    `parent` is the type whose row a row belongs to, named in the field that is called as the type.
    Its natural key is the row's Kafka key, so that both lie in partitions of one number. A row whose
    parent is not there is parked. `coordinates` are headers of a column that holds "latitude,
    longitude".
    """

    name: str
    label: str
    topic: topics.Topic
    table: str
    fields: tuple[Field, ...]
    key_fields: tuple[str, ...]
    key: Callable[..., str | None]
    coordinates: tuple[str, ...] = ()
    routing: Callable[[str], str] = natural_keys.itself
    parent: "ImportType | None" = None

    def __hash__(self) -> int:
        """That of all fields would take longer than what is cached by type."""
        return hash(self.name)

    @cached_property
    def file_topic(self) -> topics.Topic:
        """The topic of rows from files; their values have the schema of `topic`."""
        return topics.file_rows(self.topic)

    def topic_of(self, options: Mapping[str, str]) -> topics.Topic:
        """Where the rows of an import with these options are.

        The previous release published rows of files to the topic of upstream systems.
        """
        return self.file_topic if "topic" in options else self.topic

    @cached_property
    def field(self) -> dict[str, Field]:
        """The fields by name."""
        return {field.name: field for field in self.fields}

    @cached_property
    def offered(self) -> tuple[Field, ...]:
        """The fields that operators are shown: neither those of registers nor those that few files have."""
        return tuple(field for field in self.fields if not (field.register or field.detail))

    @cached_property
    def position(self) -> tuple[str, ...]:
        """The fields that have a latitude and a longitude, in this order; empty without them."""
        kinds = {field.kind: field.name for field in self.fields}
        return tuple(kinds[kind] for kind in _POSITION if kind in kinds)

    def without_column(self, given: Iterable[str]) -> list[str]:
        """The fields that a file has no column for whose columns are `given` to these fields."""
        known = {*given}
        if known.intersection(self.position[:1]):
            known.update(self.position)  # one column may hold both
        return [
            one.name for one in self.fields if one.name not in known and one.taken_from not in known
        ]

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


ENTREPRISE = ImportType(
    name="ENTREPRISE",
    label="Entreprises",
    topic=topics.ROWS_ENTREPRISE,
    table="enterprise_entreprise",
    key_fields=("siren",),
    key=natural_keys.itself,
    coordinates=public_headers.COORDINATES,
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
            usual=usual_headers.COMPANIES["siren"],
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
            chains=public_headers.NAMES,
            usual=usual_headers.COMPANIES["nom"],
            alone=usual_headers.NAMES_ALONE,
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
            usual=usual_headers.COMPANIES["siret"],
        ),
        Field(
            "nom_commercial",
            "text",
            (
                "enseigne",
                "enseigne ou nom de l exploitation",
                "denominationusuelle",
                "denominationusuelle1unitelegale",
                "sigleunitelegale",
                "enseigne1etablissement",
                "dc enseigne",
            ),
            255,
            chains=public_headers.TRADE_NAMES,
            usual=usual_headers.COMPANIES["nom_commercial"],
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
            chains=public_headers.ADDRESSES,
            usual=usual_headers.COMPANIES["adresse"],
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
            usual=usual_headers.COMPANIES["code_postal"],
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
            usual=usual_headers.COMPANIES["ville_nom"],
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
            chains=public_headers.ACTIVITIES,
            usual=usual_headers.COMPANIES["naf_code"],
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
            usual=usual_headers.COMPANIES["naf_libelle"],
        ),
        Field(
            "telephone",
            "phone",
            ("tel", "phone", "numero de telephone", "dc numerotelephone1"),
            20,
            chains=public_headers.PHONES,
            usual=usual_headers.COMPANIES["telephone"],
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
            chains=public_headers.EMAILS,
            usual=usual_headers.COMPANIES["email_contact"],
        ),
        Field(
            "site_web",
            "url",
            ("site", "website", "url", "site internet", "internet", "dc sitewebetablissement 1"),
            200,
            chains=public_headers.SITES,
            usual=usual_headers.COMPANIES["site_web"],
        ),
        Field(
            "is_active",
            "boolean",
            ("actif", "active", "est actif", "etatadministratifunitelegale"),
            usual=usual_headers.COMPANIES["is_active"],
        ),
        Field(
            "naf_2025",
            "naf",
            (
                "naf25",
                "code naf 2025",
                "activiteprincipalenaf25unitelegale",
                "activiteprincipalenaf25etablissement",
                "activite principale naf25",
            ),
            chains=public_headers.ACTIVITIES_2025,
            register=True,
        ),
        Field(
            "categorie_juridique",
            "legal_category",
            ("categoriejuridiqueunitelegale",),
            register=True,
        ),
        Field(
            "statut_diffusion",
            "disclosure",
            ("statutdiffusionunitelegale", "statutdiffusionetablissement"),
            chains=public_headers.DISCLOSURES,
            register=True,
        ),
        Field(
            "code_commune",
            "commune",
            ("codecommuneetablissement",),
            register=True,
        ),
        Field(
            "etablissement_siege",
            "boolean",
            ("etablissementsiege",),
            register=True,
        ),
        Field(
            "source_date",
            "source_date",
            ("datederniertraitementunitelegale", "datederniertraitementetablissement"),
            chains=public_headers.SOURCE_DATES,
            register=True,
        ),
        Field("domain", "domain", ("nom de domaine", "domain name"), 255, detail=True),
        Field("latitude", "latitude", ("lat",), detail=True),
        Field("longitude", "longitude", ("lng", "lon", "long"), detail=True),
        Field("logo", "url", ("logo url", "url du logo"), 200, detail=True),
        Field("main_image", "url", ("image principale", "url de l image"), 200, detail=True),
        Field("nom_proprietaire", "text", ("nom du proprietaire",), 255, detail=True),
        Field("google_place_id", "place_id", ("place id",), detail=True),
        Field("original_title", "text", ("titre original",), 255, detail=True),
        Field("enrichi_insee", "boolean", detail=True),
        Field("siren_temporaire", "boolean", detail=True),
    ),
)

VILLE = ImportType(
    name="VILLE",
    label="Villes",
    topic=topics.ROWS_VILLE,
    table="location_ville",
    key_fields=("nom", "code_postal_principal"),
    key=natural_keys.ville_slug,
    coordinates=public_headers.COORDINATES,
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
            taken_from="codes_postaux",
        ),
        Field("codes_postaux", "postal_codes", ("codes postals", "postal codes")),
        Field(
            "departement",
            "departement",
            (
                "dept",
                "department",
                "code departement",
                "code dep insee",
                "dep",
                "dpt",
                "code dep",
                "dep code",
                "num dep",
                "num dpt",
                "numero departement",
                "numero de departement",
            ),
            3,
        ),
        Field("region", "text", ("nom region", "nom reg"), 100),
        Field("lat", "latitude", ("latitude", "y")),
        Field("lng", "longitude", ("longitude", "lon", "long", "x")),
        Field(
            "population",
            "integer",
            (
                "pop",
                "habitants",
                "nb habitants",
                "nombre d habitants",
                "population municipale",
                "population totale",
            ),
        ),
        Field(
            "code_insee",
            "commune",
            (
                "insee",
                "code commune insee",
                "code insee commune",
                "code insee de la commune",
                "code commune",
                "codgeo",
            ),
            chains=public_headers.COMMUNES,
            register=True,
        ),
    ),
)

_META = Field("meta_description", "text", ("meta", "description meta", "seo description"), 160)
_ORDRE = Field("ordre", "integer", ("order", "position", "rang", "ordre d affichage"))

CATEGORIE = ImportType(
    name="CATEGORIE",
    label="Catégories",
    topic=topics.ROWS_CATEGORIE,
    table="category_categorie",
    key_fields=("nom",),
    key=natural_keys.categorie_slug,
    fields=(
        Field(
            "nom",
            "slugged",
            ("categorie", "categories", "name", "category", "nom categorie", "nom de la categorie"),
            100,
            required=True,
            strict=True,
        ),
        Field("description", "text", ("descriptif",)),
        _META,
        _ORDRE,
    ),
)

SOUS_CATEGORIE = ImportType(
    name="SOUS_CATEGORIE",
    label="Sous-catégories",
    topic=topics.ROWS_SOUS_CATEGORIE,
    table="subcategory_souscategorie",
    key_fields=("categorie", "nom"),
    key=natural_keys.sous_categorie_slugs,
    routing=natural_keys.sous_categorie_parent,
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
    topic=topics.ROWS_DEPARTEMENT,
    table="location_departement",
    key_fields=("code",),
    key=natural_keys.itself,
    fields=(
        Field(
            "code",
            "departement",
            ("code departement", "code dep", "dep", "numero"),
            required=True,
            strict=True,
            usual=("departement",),
        ),
        Field(
            "nom",
            "name",
            ("name", "nom departement", "nom du departement", "nom dep", "libelle"),
            100,
            required=True,
            strict=True,
            usual=("departement",),
        ),
    ),
)

IMPORT_TYPES = {
    import_type.name: import_type
    for import_type in (ENTREPRISE, VILLE, CATEGORIE, SOUS_CATEGORIE, DEPARTEMENT)
}
