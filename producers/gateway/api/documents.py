"""What the API answers, for its description: docs and generated clients read these."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class FileError(BaseModel):
    """Why a file as a whole failed; `message` in French."""

    code: str
    message: str


class LeftOutSheet(BaseModel):
    """Lines of the import's type in a sheet or file that could not be read; `message` in French."""

    name: str
    rows: int
    message: str


class TextCost(BaseModel):
    """What the texts of one kind cost on one day (UTC), in US dollars."""

    kind: str
    day: str
    cost: float


class Import(BaseModel):
    """The state of an import (schemas/avro/import_state.avsc) and its labels in French."""

    model_config = ConfigDict(extra="allow")

    id: str
    version: int
    import_type: str
    import_type_display: str
    status: str
    status_display: str
    file_name: str
    file_sha256: str
    uploaded_by: str | None
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
    left_out_rows: int
    left_out: list[LeftOutSheet]
    other_sheets: list[str]
    encoding_hint: str | None
    dropped_rows: int
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
    created_at: str
    started_at: str | None
    completed_at: str | None
    duration: float | None
    error: FileError | None


class Page(BaseModel):
    """Fifty imports; `next` and `previous` are addresses."""

    count: int
    next: str | None
    previous: str | None
    results: list[Import]


class Accepted(BaseModel):
    """An upload that will be imported."""

    id: str
    message: str
    status: str


class Stats(BaseModel):
    """Sums over all imports; `average_success_rate` is that of all rows together, in percent."""

    total_imports: int
    by_status: dict[str, int]
    by_type: dict[str, int]
    total_rows_processed: int
    total_success_rows: int
    total_error_rows: int
    average_success_rate: float


class Remembered(BaseModel):
    """A remembered mapping: whose it is, null for the command line, and when it was chosen."""

    id: str
    account: str | None
    at: str


class Mapping(Remembered):
    """As it is remembered; `columns` are fields by column, "" for one that is not imported."""

    import_type: str
    columns: dict[str, str]
    sheet: str | None


class Preview(BaseModel):
    """What an import of a file would give, as `foxstream check --json`."""

    model_config = ConfigDict(extra="allow")

    file_name: str
    import_type: str
    refusal: FileError | None
    format: str | None
    encoding: str | None
    delimiter: str | None
    sheet: str | None
    header_line: int | None
    mapping: dict[str, str]
    unknown_columns: list[str]
    confidence: dict[str, float]
    corrects: str | None
    blank_cells: dict[str, int]
    remembered: Remembered | None
    total_rows: int
    valid_rows: int
    rejected_rows: int
    duplicate_rows: int
    blank_lines: int
    left_out_rows: int
    left_out: list[LeftOutSheet]
    other_sheets: list[str]
    encoding_hint: str | None
    errors_by_code: dict[str, int]
    warnings_by_code: dict[str, int]
    examples: list[dict[str, Any]]
    preview: list[dict[str, Any]]
    dropped_rows: int
    dropped: list[dict[str, Any]]
    untouched_rows: int
    already_imported: dict[str, Any] | None
    ai_estimate: dict[str, Any] | None


class Errors(BaseModel):
    """The first faults of an import, how many lines have which code, and the first dropped values."""

    by_code: dict[str, int]
    first: list[dict[str, Any]]
    dropped: list[dict[str, Any]]


UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "import_type"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "import_type": {"type": "string"},
                        "policy": {"type": "string", "default": "merge"},
                        "generate_ai_content": {"type": "boolean", "default": False},
                        "force": {"type": "boolean", "default": False},
                        "confirm_overwrite": {
                            "type": "boolean",
                            "default": False,
                            "description": "Blank cells may clear what is stored (policy overwrite).",
                        },
                        "encoding": {"type": "string"},
                        "delimiter": {"type": "string"},
                        "sheet": {"type": "string"},
                        "columns": {
                            "type": "string",
                            "description": 'A JSON object: field by column, "" to leave it out. '
                            "Without it a remembered mapping may say what the columns are.",
                        },
                    },
                }
            }
        },
    }
}
