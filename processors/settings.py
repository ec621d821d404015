"""The worker's settings, from the environment. The only module of this package that reads it."""

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.rules import Luhn


class Settings(BaseSettings):
    """Each is `FOX_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FOX_", frozen=True)

    kafka_bootstrap: Annotated[str, Field(description="Kafka brokers, host:port,host:port.")] = (
        "localhost:9092"
    )
    schema_registry_url: Annotated[
        str, Field(description="Schema registry, the root of its Confluent API.")
    ] = "http://localhost:8081"
    database_url: Annotated[SecretStr, Field(description="PostgreSQL, a libpq URL.")] = SecretStr(
        "postgresql://foxstream@localhost/foxstream"
    )
    topic_prefix: Annotated[str, Field(description="Before every topic and consumer group.")] = (
        "fox."
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
            description="Most rows in one transaction, beyond one fetch (2,000).",
        ),
    ] = 5000
    import_luhn: Annotated[
        Luhn, Field(description="A SIREN or SIRET with a wrong check digit: error, warning or off.")
    ] = "warning"
    reject_limit: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Most of the latest 10,000 rows of a topic that may be rejected unannounced.",
        ),
    ] = 0.5
