"""What the environment says; docs/operations.md lists every setting."""

import os
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.prices import DEFAULT_MODEL
from schemas.rules import Luhn


class SettingsError(ValueError):
    """The environment does not make sense; the message is in French."""


class Settings(BaseSettings):
    """`kafka_bootstrap` is host:port, or several joined by commas."""

    model_config = SettingsConfigDict(env_prefix="FOX_", frozen=True)

    kafka_bootstrap: str = Field(default="localhost:9092", min_length=1)
    schema_registry_url: str = Field(default="http://localhost:8081", pattern="^https?://")
    import_luhn: Luhn = "warning"
    ai_model: str = Field(default=DEFAULT_MODEL, min_length=1)
    ai_price_input: Decimal | None = Field(default=None, ge=0)
    ai_price_output: Decimal | None = Field(default=None, ge=0)
    sentry_dsn: SecretStr | None = None
    topic_prefix: str = Field(default="fox.", pattern="^[a-zA-Z0-9._-]*$")

    def topic(self, name: str) -> str:
        """The name of a topic in Kafka."""
        return self.topic_prefix + name


class GatewaySettings(BaseSettings):
    """`large_...` are those of resumable uploads. Limits per minute are of one account."""

    model_config = SettingsConfigDict(env_prefix="FOX_GATEWAY_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    spool: Path = Path("spool")
    secret: SecretStr | None = None
    trusted_proxies: str = "127.0.0.1"

    max_file_bytes: int = Field(default=10 * 1024 * 1024, gt=0)
    max_rows: int = Field(default=50_000, gt=0)
    large_max_file_bytes: int = Field(default=16 * 1024**3, gt=0)
    large_upload_hours: float = Field(default=24, gt=0)
    uploads_at_once: int = Field(default=40, gt=0)
    idle_seconds: float = Field(default=30, gt=0)

    imports_per_minute: int = Field(default=10, gt=0)
    checks_per_minute: int = Field(default=30, gt=0)
    requests_per_minute: int = Field(default=1200, gt=0)
    logins_per_minute: int = Field(default=10, gt=0)
    followers: int = Field(default=500, gt=0)

    publishers: int = Field(default=4, gt=0)
    large_publishers: int = Field(default=2, gt=0)
    tries: int = Field(default=4, gt=0)
    retry_seconds: float = Field(default=5, ge=0)
    soft_limit_seconds: float = Field(default=1800, gt=0)
    hard_limit_seconds: float = Field(default=2000, gt=0)
    check_seconds: float = Field(default=60, gt=0)
    file_days: float = Field(default=30, gt=0)
    session_hours: float = Field(default=12, gt=0)


@cache
def settings() -> Settings:
    """Read once per process. Raises SettingsError."""
    return _read(Settings, "FOX_")


@cache
def gateway_settings() -> GatewaySettings:
    """Read once per process; FOX_GATEWAY_SECRET_FILE names a file with the secret. Raises SettingsError."""
    file = os.environ.get("FOX_GATEWAY_SECRET_FILE")
    if not file:
        return _read(GatewaySettings, "FOX_GATEWAY_")
    try:
        secret = SecretStr(Path(file).read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        raise SettingsError(f"FOX_GATEWAY_SECRET_FILE ne se lit pas : {error}.") from error
    return _read(GatewaySettings, "FOX_GATEWAY_").model_copy(update={"secret": secret})


Kind = TypeVar("Kind", bound=BaseSettings)


def _read(kind: type[Kind], prefix: str) -> Kind:
    try:
        return kind()
    except ValidationError as error:
        wrong = ", ".join(f"{prefix}{problem['loc'][0]}".upper() for problem in error.errors())
        raise SettingsError(f"Réglage invalide dans l'environnement : {wrong}.") from error
