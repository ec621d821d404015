"""What happens to rows and imports: outcomes, statuses and actions, with their French words."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Outcome = Literal[
    "inserted", "updated", "unchanged", "duplicate", "stale", "rejected", "parked", "cancelled"
]
AiCount = Literal["ai_requested", "ai_done", "ai_failed", "ai_left"]
Status = Literal["PENDING", "PROCESSING", "PAUSED", "SUCCESS", "PARTIAL", "ERROR", "CANCELLED"]
ActionName = Literal["cancel", "pause", "resume", "retry", "generate_ai"]


class Words(NamedTuple):
    """In French: `label` as the heading or badge of a page, `phrase` within a line of a terminal."""

    label: str
    phrase: str


SUCCESSES: tuple[Outcome, ...] = ("inserted", "updated", "unchanged", "duplicate", "stale")
ERRORS: tuple[Outcome, ...] = ("rejected", "parked")
OUTCOMES: dict[Outcome, Words] = {
    "inserted": Words("Insérées", "insérées"),
    "updated": Words("Mises à jour", "mises à jour"),
    "unchanged": Words("Inchangées", "inchangées"),
    "duplicate": Words("En double dans le fichier", "en double"),
    "stale": Words("Plus anciennes que la base", "plus anciennes que la base"),
    "rejected": Words("Rejetées", "rejetées"),
    "parked": Words("En attente de leur ligne parente", "en attente de leur ligne parente"),
    "cancelled": Words("Annulées", "annulées"),
}
"""Each row of an import has one of them in the end."""

AI_COUNTS: tuple[AiCount, ...] = ("ai_requested", "ai_done", "ai_failed", "ai_left")
"""Fields of an import state that count the texts requested for its rows."""

STATUSES: dict[str, Words] = {
    "PENDING": Words("En attente", "Import en attente d'un worker"),
    "PROCESSING": Words("En cours", "Import en cours"),
    "PAUSED": Words("Suspendu", "Import suspendu"),
    "SUCCESS": Words("Succès", "Import réussi"),
    "PARTIAL": Words("Partiel (avec erreurs)", "Import terminé avec des lignes en erreur"),
    "ERROR": Words("Erreur", "Import en échec"),
    "CANCELLED": Words("Annulé", "Import annulé"),
}
UNFINISHED: tuple[Status, ...] = ("PENDING", "PROCESSING", "PAUSED")
TERMINAL: tuple[Status, ...] = ("SUCCESS", "PARTIAL", "ERROR", "CANCELLED")

WAITING: dict[str, Words] = {
    "database": Words(
        "La base de données ne répond pas : l'import attend son retour, rien n'est perdu.",
        "la base de données ne répond pas, l'import attend son retour",
    ),
    "operator": Words(
        "L'écriture est arrêtée : prévenez l'exploitation. Rien n'est perdu.",
        "l'écriture est arrêtée, prévenez l'exploitation (voir fox_partitions_halted)",
    ),
    "parent": Words(
        "Des lignes attendent leur ligne parente : importez-la pour qu'elles suivent.",
        "des lignes attendent leur ligne parente",
    ),
    "kafka": Words(
        "Kafka ne répond pas : le fichier est gardé et sera lu à son retour.",
        "en attente de kafka",
    ),
    "cancel": Words("L'annulation est en cours.", "annulation en cours"),
}
"""By the field waiting_for of an import state."""

PARTLY_DISCLOSED = "partly-disclosed"
"""Among warnings_by_code: valid rows of partly disclosed companies (SIRENE's status P). Nothing is wrong
with them, so that an import shows them apart."""

OTHER_SHEETS = "other-sheets"
DOUBTFUL_ENCODING = "doubtful-encoding"
TRAILING_BYTES = "trailing-bytes"
BY_CONTENT = "columns-by-content"
PASSED_COLUMNS = "passed-columns"
"""Among warnings_by_code: what is to be known of the file as a whole."""

WARNINGS: dict[str, Words] = {
    PARTLY_DISCLOSED: Words(
        "entreprise à diffusion partielle", "entreprises à diffusion partielle"
    ),
    "zeros-restored": Words("zéros perdus et rétablis", "zéros perdus et rétablis"),
    "malformed": Words("valeur mal formée et ignorée", "valeurs mal formées et ignorées"),
    "corrected": Words("valeur corrigée à la lecture", "valeurs corrigées à la lecture"),
    "lost-letter": Words(
        "valeur où un « ? » remplace peut-être une lettre, gardée",
        "valeurs où un « ? » remplace peut-être une lettre, gardées",
    ),
    "formula-error": Words("erreur de tableur, ignorée", "erreurs de tableur, ignorées"),
    "other-column": Words(
        "valeur d'une seconde colonne pour le même champ, ignorée",
        "valeurs d'une seconde colonne pour le même champ, ignorées",
    ),
    "siren-from-siret": Words("SIREN tiré du SIRET", "SIREN tirés du SIRET"),
    "checksum": Words(
        "SIREN ou SIRET à la clé fausse, gardé", "SIREN ou SIRET à la clé fausse, gardés"
    ),
    "unknown-naf": Words(
        "code NAF absent de la nomenclature, gardé", "codes NAF absents de la nomenclature, gardés"
    ),
    "other-nomenclature": Words(
        "code d'une ancienne nomenclature d'activités, ignoré",
        "codes d'anciennes nomenclatures d'activités, ignorés",
    ),
    "known-company-only": Words(
        "ligne sans nom, prise en compte seulement si l'entreprise est connue",
        "lignes sans nom, prises en compte seulement si l'entreprise est connue",
    ),
    "not-disclosed": Words("valeur non diffusée, ignorée", "valeurs non diffusées, ignorées"),
    "encoding-repaired": Words(
        "ligne aux caractères mal encodés et rétablis",
        "lignes aux caractères mal encodés et rétablis",
    ),
    OTHER_SHEETS: Words(
        "feuille ou fichier d'un autre contenu, non lu",
        "feuilles ou fichiers d'un autre contenu, non lus",
    ),
    DOUBTFUL_ENCODING: Words(
        "encodage douteux : vérifiez les accents", "encodages douteux : vérifiez les accents"
    ),
    TRAILING_BYTES: Words(
        "suite illisible après la fin des données compressées, ignorée",
        "suites illisibles après la fin des données compressées, ignorées",
    ),
    BY_CONTENT: Words(
        "colonne reconnue à son contenu : vérifiez-la",
        "colonnes reconnues à leur contenu : vérifiez-les",
    ),
    PASSED_COLUMNS: Words(
        "colonne écartée pour une meilleure du même champ",
        "colonnes écartées pour une meilleure du même champ",
    ),
    "other-spelling": Words(
        "autre orthographe d'un nom déjà lu", "autres orthographes d'un nom déjà lu"
    ),
}
"""By the keys of warnings_by_code of an import state. The label is the singular."""


def partly_disclosed(count: int, shown: str) -> str:
    """So many of them, in French; `shown` is the number as people read it."""
    words = WARNINGS[PARTLY_DISCLOSED]
    return f"{shown} {words.phrase if count > 1 else words.label}"


def left_out_phrase(part: Mapping[str, Any], shown: str) -> str:
    """A sheet or file with lines of the import's type that could not be read, in French.

    `part` is one of `left_out` of an import state, `shown` the number of its rows as people read it.
    """
    lines = "1 ligne n'a pas été lue" if part["rows"] == 1 else f"{shown} lignes n'ont pas été lues"
    return f"« {part['name']} » : {lines}. {part['message']}"


SKIPPED: dict[str, Words] = {
    "ENTREPRISE": Words("Établissements secondaires ignorés", "établissements secondaires ignorés"),
    "SOUS_CATEGORIE": Words(
        "Niveaux de la nomenclature ignorés", "niveaux de la nomenclature ignorés"
    ),
}
"""What skipped_rows of an import state counts, by import type."""


class Action(NamedTuple):
    """`statuses`: of the imports that it applies to. `event`: its record in import_event.avsc."""

    statuses: tuple[Status, ...]
    label: str
    event: str | None


ACTIONS: dict[ActionName, Action] = {
    "cancel": Action(UNFINISHED, "Annuler l'import", "Cancel"),
    "pause": Action(("PENDING", "PROCESSING"), "Mettre en pause", "Pause"),
    "resume": Action(("PAUSED",), "Reprendre", "Resume"),
    "retry": Action(("ERROR", "PARTIAL", "CANCELLED"), "Réessayer sans corriger", None),
    "generate_ai": Action(("SUCCESS", "PARTIAL"), "Générer les contenus IA", "GenerateAi"),
}
"""What an operator can do with an import."""
