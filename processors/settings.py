"""The worker's settings, from the environment. The only module of this package that reads it."""

import json
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from psycopg import Error
from psycopg.conninfo import conninfo_to_dict
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    field_validator,
)
from pydantic_settings import NoDecode

from schemas.runtime.server_settings import (
    CommonSettings,
    SecretFileError,
    SecretFiles,
    authorities,
)
from schemas.values.naf import Nomenclature

LEAST_RETENTION_DAYS = 8
"""More than Kafka keeps rows: where they are read again, after a restore, their import is known."""

DEFAULT_SESSION_SECONDS = 10.0

USUAL_TOKENS = 1200
"""Of a call: what schemas/values/text_prices.py takes a company's text for."""

USUAL_SECONDS = 10.0
"""Of a call, to estimate how many are made at so many at a time."""


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error


_OURS = frozenset(
    {
        "model", "messages", "response_format", "max_completion_tokens", "max_tokens",
        "reasoning_effort", "temperature", "n", "best_of", "stream", "stream_options",
    }
)  # fmt: skip
"""Fields of a call that foxstream sends itself, or that change how often it is answered, and how."""


def _extra_body(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        found = json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        raise ValueError("no JSON") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what pydantic reports
    if ours := sorted(_OURS & found.keys()):
        raise ValueError(f"foxstream itself decides about {', '.join(ours)}")
    return found


class Settings(CommonSettings):
    """Each is `FOX_` and its name in capitals."""

    database_url: Annotated[SecretStr, Field(description="PostgreSQL, a libpq URL.")] = SecretStr(
        "postgresql://foxstream@localhost/foxstream"
    )
    metrics_address: Annotated[str, Field(description="Where /metrics listens.")] = "127.0.0.1"
    metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="Port of /metrics; 0: any free one, logged.")
    ] = 0
    batch_rows: Annotated[
        int,
        Field(
            ge=1,
            le=50_000,
            description="Most rows in one transaction; what one fetch brings is not divided. Of each "
            "partition a worker holds three times as many in memory at most.",
        ),
    ] = 5000
    naf_primary: Annotated[
        Nomenclature,
        Field(
            description="The nomenclature of naf_code and naf_libelle on the site: rev2 (NAF rev. 2) or "
            "2025. The code of the other one stands there only if there is no code of this one."
        ),
    ] = "rev2"
    parked_rows: Annotated[
        int,
        Field(
            ge=0,
            description="Most rows of one import that wait for a company that is not known yet. Rows "
            "beyond are rejected: the companies have to be imported first.",
        ),
    ] = 100_000
    reject_limit: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Most of the latest 10,000 rows of a topic that may be rejected without "
            "the reader of their file having announced it; 1: no limit.",
        ),
    ] = 0.5
    session_seconds: Annotated[
        float,
        Field(
            ge=2,
            le=15,
            description="A worker that sends no heartbeat for so long is taken for dead, and its "
            "partitions move on. Transactions end after 0.8 of it, so that a stopped worker holds no "
            "row that its successor needs. Kafka's group.min.session.timeout.ms must allow it.",
        ),
    ] = DEFAULT_SESSION_SECONDS
    sweep_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="How often workers look for parked rows whose parent row the site has "
            "created by itself.",
        ),
    ] = 30.0
    halt_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="How long a halted partition waits before it is tried again: its cause may "
            "be gone. One that the reject limit halts is not tried again.",
        ),
    ] = 60.0
    reader_gone_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="After a cancel the reader of a file reports within this time how far it "
            "has read; if it does not, the import ends without it. Counted from the cancel, and "
            "again from each batch of its rows.",
        ),
    ] = 10.0
    jobs_scheduled: Annotated[
        bool, Field(description="Whether workers run jobs by the clock. false: only by hand.")
    ] = True
    jobs_time_zone: Annotated[
        str, AfterValidator(_zone), Field(description="Whose clock jobs go by, as Europe/Paris.")
    ] = "Europe/Paris"
    retention_days: Annotated[
        int,
        Field(
            ge=LEAST_RETENTION_DAYS,
            le=36_500,
            description="How long imports that have ended, and rejects, are kept.",
        ),
    ] = 90
    ai_reasoning_effort: Annotated[
        str | None,
        Field(
            pattern="^[a-z]{1,20}$",
            description="How long the model thinks, in the provider's words, such as none, minimal or "
            "low: it is paid as the answer is. Unset: none for models of the table of prices, and not sent to others.",
        ),
    ] = None
    ai_output_tokens: Annotated[
        int | None,
        Field(
            ge=100,
            le=100_000,
            description="Longest answer, thoughts included. Unset: 700, enough for an answer without "
            "thoughts. It is reserved in the budget for each call.",
        ),
    ] = None
    ai_temperature: Annotated[
        float | None,
        Field(ge=0, le=2, description="How free the model's words are. Unset: not sent."),
    ] = None
    ai_extra_body: Annotated[
        dict[str, Any] | None,
        NoDecode,
        BeforeValidator(_extra_body),
        Field(
            description="More fields for the provider, a JSON object such as "
            '{"chat_template_kwargs": {"enable_thinking": false}}. Not those that foxstream sends itself.'
        ),
    ] = None
    ai_requests_per_minute: Annotated[
        int,
        Field(ge=1, description="Most calls to the model in a window, of all workers together."),
    ] = 5
    ai_tokens_per_minute: Annotated[
        int, Field(ge=1, description="Most tokens in a window, of all workers together.")
    ] = 100_000
    ai_window_seconds: Annotated[
        float, Field(gt=0, description="The window of the two above: the provider's minute.")
    ] = 60.0
    ai_concurrency: Annotated[
        int, Field(ge=1, le=1000, description="Most calls at a time, of all workers together.")
    ] = 4
    ai_timeout_seconds: Annotated[float, Field(gt=0, description="Longest call.")] = 60.0
    ai_retry_seconds: Annotated[
        float, Field(gt=0, description="A call that failed is made again within this time.")
    ] = 60.0
    ai_retries: Annotated[int, Field(ge=0, description="Of a call that failed.")] = 2
    ai_import_seconds: Annotated[
        float, Field(gt=0, description="What of an import's texts is not written then is left.")
    ] = 3600.0
    ai_breaker_failures: Annotated[
        int, Field(ge=1, description="Calls that fail one after the other: the breaker opens.")
    ] = 5
    ai_breaker_seconds: Annotated[
        float, Field(gt=0, description="Then one call probes; twice as long after each failure.")
    ] = 60.0
    ai_budget_import: Annotated[
        Decimal | None,
        Field(ge=0, description="Most that is spent for one import. Unset: no limit."),
    ] = None
    ai_budget_day: Annotated[
        Decimal | None, Field(ge=0, description="Most that is spent a day, UTC. Unset: no limit.")
    ] = None
    ai_budget_month: Annotated[
        Decimal | None, Field(ge=0, description="Most that is spent a month, UTC. Unset: no limit.")
    ] = None
    ai_nightly_requests: Annotated[
        int, Field(ge=0, description="Most texts that may wait after a nightly plan.")
    ] = 2000
    ai_batch: Annotated[
        bool,
        Field(description="The night's texts by OpenAI's Batch API: half the price, in a day."),
    ] = False
    ai_batch_seconds: Annotated[
        float, Field(gt=0, description="How often a batch is asked after.")
    ] = 60.0
    ai_kinds: Annotated[
        str,
        Field(
            description="Kinds of texts that are written, as VILLE,AVIS. Empty: all. Rows of the "
            "others are never sent."
        ),
    ] = ""
    ai_leave_out: Annotated[
        str,
        Field(
            description="Fields that are not sent, as ville.code_postal,avis.date: those of "
            "docs/enrichment.md, by kind."
        ),
    ] = ""
    openai_api_key: Annotated[
        SecretStr,
        Field(
            validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key"),
            description="Key of the model's provider.",
        ),
    ] = SecretStr("")
    openai_base_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("OPENAI_BASE_URL", "openai_base_url"),
            description="Root of an API like OpenAI's, ending in /v1. Unset: OpenAI.",
        ),
    ] = None

    ai_ca: Annotated[
        FilePath | None,
        AfterValidator(authorities),
        Field(
            description="PEM file of the authorities of the model's server. Unset: the system's."
        ),
    ] = None

    def ai_texts_per_hour(self) -> int:
        """About how many texts all workers together may write: by calls, by tokens, by calls at a time."""
        windows = 3600 / self.ai_window_seconds
        return int(
            min(
                self.ai_requests_per_minute * windows,
                self.ai_tokens_per_minute * windows / USUAL_TOKENS,
                self.ai_concurrency * 3600 / USUAL_SECONDS,
            )
        )

    def current_key(self) -> str:
        """The key of the model's provider, read anew from its file: it may have changed."""
        name = "openai_api_key"
        try:
            found, *_ = SecretFiles(Settings).get_field_value(Settings.model_fields[name], name)
        except SecretFileError:  # it is being replaced: the key of the start
            found = None
        return self.openai_api_key.get_secret_value() if found is None else str(found)

    def ai_budgets(self) -> dict[str, Decimal | None]:
        """US dollars by the kind of budget; None: no limit."""
        return {
            "import": self.ai_budget_import,
            "day": self.ai_budget_day,
            "month": self.ai_budget_month,
        }

    @field_validator("database_url")
    @classmethod
    def _understood(cls, url: SecretStr) -> SecretStr:
        try:
            conninfo_to_dict(url.get_secret_value())
        except Error:
            # Without its cause: libpq quotes what it does not understand, passwords included.
            raise ValueError(
                "no URL that libpq understands (is a character not %-coded?)"
            ) from None
        return url
