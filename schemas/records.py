"""The records of schemas/avro as types, made of them: `make docs`.

A union of several records is a tuple: the full name of one of them, and that record.
"""

from datetime import datetime
from typing import Literal, TypedDict

Policy = Literal["merge", "overwrite", "fill_missing", "insert_only"]


class Fault(TypedDict):
    column: str | None
    code: str
    message: str


class RejectedLine(TypedDict):
    id: str
    line: int
    sheet: str | None


class DroppedValue(TypedDict):
    column: str
    code: str
    message: str
    value: str


class ImportLine(TypedDict):
    id: str
    number: int
    line: int
    sheet: str | None
    occurrence: int
    policy: Policy
    cells: list[str] | None
    faults: list[Fault]
    settles: RejectedLine | None
    dropped: list[DroppedValue] | None
    absent: list[str] | None


CategorieRow = TypedDict(
    "CategorieRow",
    {
        "nom": str | None,
        "description": str | None,
        "meta_description": str | None,
        "ordre": int | None,
        "observed_at": datetime | None,
        "import": ImportLine | None,
    },
)


DepartementRow = TypedDict(
    "DepartementRow",
    {
        "code": str | None,
        "nom": str | None,
        "observed_at": datetime | None,
        "import": ImportLine | None,
    },
)


class EnrichmentRequest(TypedDict):
    kind: str
    entity: str
    id: str | None
    import_id: str | None
    reason: str
    priority: int
    generation: int | None


class EnrichmentResult(TypedDict):
    prompt_hash: str
    kind: str
    model: str
    prompt_version: str
    input_hash: str
    content: str | None
    code: str | None
    message: str | None
    tokens_in: int
    tokens_out: int
    cost: str
    answered_at: datetime
    reported_model: str | None
    request_id: str | None


EntrepriseRow = TypedDict(
    "EntrepriseRow",
    {
        "siren": str | None,
        "nom": str | None,
        "siret": str | None,
        "nom_commercial": str | None,
        "adresse": str | None,
        "code_postal": str | None,
        "ville_nom": str | None,
        "naf_code": str | None,
        "naf_libelle": str | None,
        "telephone": str | None,
        "email_contact": str | None,
        "site_web": str | None,
        "is_active": bool | None,
        "naf_2025": str | None,
        "categorie_juridique": str | None,
        "statut_diffusion": str | None,
        "code_commune": str | None,
        "etablissement_siege": bool | None,
        "source_date": str | None,
        "domain": str | None,
        "latitude": float | None,
        "longitude": float | None,
        "logo": str | None,
        "main_image": str | None,
        "nom_proprietaire": str | None,
        "google_place_id": str | None,
        "original_title": str | None,
        "enrichi_insee": bool | None,
        "siren_temporaire": bool | None,
        "observed_at": datetime | None,
        "import": ImportLine | None,
    },
)


class GatewayAudit(TypedDict):
    at: datetime
    account: str
    token_id: str | None
    action: str
    import_id: str | None
    detail: str | None
    address: str | None


class GatewayMapping(TypedDict):
    id: str
    account: str | None
    import_type: str
    fingerprint: str
    columns: dict[str, str]
    sheet: str | None
    at: datetime


class GatewaySession(TypedDict):
    id: str
    ended_at: datetime
    expires_at: datetime


class GatewayToken(TypedDict):
    id: str
    name: str
    sha256: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    group: str | None


class Submitted(TypedDict):
    import_type: str
    file_name: str
    file_sha256: str
    uploaded_by: str | None
    generate_ai_content: bool
    header: list[str]
    options: dict[str, str]
    parent: str | None


class LeftOut(TypedDict):
    name: str
    rows: int
    message: str


class ReadingFinished(TypedDict):
    total_rows: int
    warnings_by_code: dict[str, int]
    skipped_rows: int
    stopped_after: int | None
    left_out_rows: int
    left_out: list[LeftOut]
    other_sheets: list[str]
    encoding_hint: str | None


class ReadingFailed(TypedDict):
    code: str
    message: str


class Progress(TypedDict):
    topic: str
    partition: int
    revision: int
    watermark: int
    accounted: int


class Cancel(TypedDict):
    by: str | None


class Pause(TypedDict):
    by: str | None


class Resume(TypedDict):
    by: str | None


class Settled(TypedDict):
    rejects: int


class GenerateAi(TypedDict):
    by: str | None


class ImportEvent(TypedDict):
    import_id: str
    at: datetime
    event: tuple[
        str,
        Submitted
        | ReadingFinished
        | ReadingFailed
        | Progress
        | Cancel
        | Pause
        | Resume
        | Settled
        | GenerateAi,
    ]


class TextCost(TypedDict):
    kind: str
    day: str
    cost: float


class FileError(TypedDict):
    code: str
    message: str


class ImportState(TypedDict):
    id: str
    version: int
    import_type: str
    status: str
    file_name: str
    file_sha256: str
    uploaded_by: str | None
    header: list[str]
    options: dict[str, str]
    parent: str | None
    settles: int
    total_rows: int | None
    success_rows: int
    error_rows: int
    success_rate: float | None
    inserted: int
    updated: int
    unchanged: int
    duplicate: int
    stale: int
    rejected: int
    parked: int
    cancelled: int
    released: int
    skipped_rows: int
    warnings_by_code: dict[str, int]
    rows_per_second: float | None
    waiting_for: str | None
    generate_ai_content: bool
    ai_generation_started: bool
    ai_generation_completed: bool
    ai_requested: int
    ai_done: int
    ai_failed: int
    ai_left: int
    ai_cost: float
    ai_costs: list[TextCost]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    duration: float | None
    error: FileError | None
    watermarks: dict[str, int]
    stopped_after: int | None
    left_out_rows: int
    left_out: list[LeftOut]
    other_sheets: list[str]
    encoding_hint: str | None
    dropped_rows: int


class NafReference(TypedDict):
    libelle: str
    sous_categorie: str


SousCategorieRow = TypedDict(
    "SousCategorieRow",
    {
        "nom": str | None,
        "categorie": str | None,
        "description": str | None,
        "meta_description": str | None,
        "mots_cles": str | None,
        "ordre": int | None,
        "observed_at": datetime | None,
        "import": ImportLine | None,
    },
)


class Stats(TypedDict):
    name: str
    at: datetime
    counts: dict[str, int]
    amounts: dict[str, float]
    estimated: list[str]
    trouble: str | None
    notice: str | None


VilleRow = TypedDict(
    "VilleRow",
    {
        "nom": str | None,
        "code_postal_principal": str | None,
        "codes_postaux": list[str] | None,
        "departement": str | None,
        "region": str | None,
        "lat": float | None,
        "lng": float | None,
        "population": int | None,
        "code_insee": str | None,
        "observed_at": datetime | None,
        "import": ImportLine | None,
    },
)
