"""Settings from the environment; docs/settings.md lists every setting."""

from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from schemas.runtime.server_settings import CommonSettings, FoxSettings, SecretFileError
from schemas.values.text_prices import estimate


class SettingsError(ValueError):
    """The environment does not make sense; the message is in French."""


class Settings(CommonSettings):
    """Of the command line and of the gateway."""

    def topic(self, name: str) -> str:
        """The name of a topic in Kafka."""
        return self.topic_prefix + name

    def ai_estimate(self, import_type: str, texts: int) -> dict[str, Any] | None:
        """As schemas.values.text_prices.estimate, by the model and the prices of the environment."""
        return estimate(import_type, texts, self.ai_model, self.ai_price())


class GatewaySettings(FoxSettings):
    """`large_...` are those of resumable uploads. Limits per minute are of one account."""

    model_config = SettingsConfigDict(env_prefix="FOX_GATEWAY_")

    host: Annotated[str, Field(description="Where it listens.")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="Its port; 0: any free one, logged.")
    ] = 8080
    health_port: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            description="Port of /livez, /readyz and /metrics, which a thread of their own serves "
            "there. Unset: they are on the other port only.",
        ),
    ] = None
    spool: Annotated[
        Path,
        Field(description="Folder of uploaded files; on a disk that keeps what was synced."),
    ] = Path("spool")
    secret: Annotated[
        SecretStr | None,
        Field(
            description="Signs browser sessions; the same for gateways without a common spool. "
            "Unset: a file in the spool."
        ),
    ] = None
    trusted_proxies: Annotated[
        str,
        Field(
            description="Whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or "
            "networks, separated by commas."
        ),
    ] = "127.0.0.1"

    max_file_bytes: Annotated[int, Field(gt=0, description="Of an upload.")] = 10 * 1024 * 1024
    max_rows: Annotated[int, Field(gt=0, description="Of an upload.")] = 50_000
    large_max_file_bytes: Annotated[int, Field(gt=0, description="Of a resumable upload.")] = (
        16 * 1024**3
    )
    large_upload_hours: Annotated[
        float, Field(gt=0, description="A resumable upload that is not complete then is dropped.")
    ] = 24
    uploads_at_once: Annotated[int, Field(gt=0, description="More get 503.")] = 40
    idle_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="A client that sends nothing of a body, or reads nothing of a response, for "
            "so long is disconnected.",
        ),
    ] = 30
    head_seconds: Annotated[
        float, Field(gt=0, description="A request whose head takes longer is refused.")
    ] = 10
    connections: Annotated[
        int,
        Field(
            gt=0,
            description="Open at once, within the limit of descriptors. Beyond it, the one that has "
            "waited longest for a request is closed.",
        ),
    ] = 2000
    requests_per_client: Annotated[
        int, Field(gt=0, description="Open at once from one IP address; more get 429.")
    ] = 500

    imports_per_minute: Annotated[
        int, Field(gt=0, description="Uploads of an account, on this gateway.")
    ] = 10
    checks_per_minute: Annotated[
        int, Field(gt=0, description="Previews of an account, on this gateway.")
    ] = 30
    requests_per_minute: Annotated[
        int, Field(gt=0, description="Requests of an account, on this gateway.")
    ] = 1200
    logins_per_minute: Annotated[
        int, Field(gt=0, description="Of an IP address, false tokens included.")
    ] = 10
    followers: Annotated[int, Field(gt=0, description="Open event streams.")] = 500
    open_uploads: Annotated[
        int, Field(gt=0, description="Resumable uploads that are not complete.")
    ] = 200
    account_share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="What part one account may have of uploads at once, event streams, open "
            "resumable uploads and the disk of the spool; one of each at least.",
        ),
    ] = 0.5

    publishers: Annotated[
        int, Field(gt=0, description="Uploads published side by side, each by a process.")
    ] = 4
    large_publishers: Annotated[int, Field(gt=0, description="The same of resumable uploads.")] = 2
    tries: Annotated[int, Field(gt=0, description="Of publishing a file.")] = 4
    retry_seconds: Annotated[float, Field(ge=0, description="Between two tries.")] = 5
    soft_limit_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="Of reading and publishing, after which the file is given up cleanly; "
            "waiting for workers does not count.",
        ),
    ] = 1800
    hard_limit_seconds: Annotated[
        float, Field(gt=0, description="After which its process is ended.")
    ] = 2000
    check_seconds: Annotated[float, Field(gt=0, description="Longest preview.")] = 60
    file_days: Annotated[
        float, Field(gt=0, description="How long a published file stays in the spool.")
    ] = 30
    session_hours: Annotated[float, Field(gt=0, description="Of a browser.")] = 12
    session_idle_minutes: Annotated[
        float, Field(gt=0, description="A session in which nobody does anything for so long ends.")
    ] = 60

    @field_validator("trusted_proxies")
    @classmethod
    def _check_addresses(cls, value: str) -> str:
        for address in value.split(","):
            ip_network(address.strip())
        return value


@cache
def settings() -> Settings:
    """Read once per process. Raises SettingsError."""
    return _read(Settings)


@cache
def gateway_settings() -> GatewaySettings:
    """Read once per process. Raises SettingsError."""
    return _read(GatewaySettings)


Kind = TypeVar("Kind", bound=FoxSettings)


def _read(kind: type[Kind]) -> Kind:
    prefix = kind.model_config["env_prefix"]
    try:
        return kind()
    except ValidationError as error:
        wrong = ", ".join(f"{prefix}{problem['loc'][0]}".upper() for problem in error.errors())
        raise SettingsError(
            f"Réglage invalide ou manquant dans l'environnement : {wrong}. Voir docs/security.md."
        ) from error
    except SecretFileError as error:
        raise SettingsError(f"{error.variable} ne se lit pas : {error.reason}.") from error
