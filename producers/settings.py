"""What the environment says; docs/operations.md lists every setting."""

from functools import cache

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.rules import Luhn


class SettingsError(ValueError):
    """The environment does not make sense; the message is in French."""


class Settings(BaseSettings):
    """`kafka_bootstrap` is host:port, or several joined by commas."""

    model_config = SettingsConfigDict(env_prefix="FOX_", frozen=True)

    kafka_bootstrap: str = Field(default="localhost:9092", min_length=1)
    schema_registry_url: str = Field(default="http://localhost:8081", pattern="^https?://")
    import_luhn: Luhn = "warning"
    topic_prefix: str = Field(default="fox.", pattern="^[a-zA-Z0-9._-]*$")

    def topic(self, name: str) -> str:
        """The name of a topic in Kafka."""
        return self.topic_prefix + name


@cache
def settings() -> Settings:
    """Read once per process. Raises SettingsError."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = ", ".join(f"FOX_{problem['loc'][0]}".upper() for problem in error.errors())
        raise SettingsError(f"Réglage invalide dans l'environnement : {wrong}.") from error
