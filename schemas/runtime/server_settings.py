"""How both sides reach Kafka and the schema registry: one set of variables for every process.

A secret also comes from a file: `NAME_FILE` names one that holds the value of `NAME`.
"""

import os
import ssl
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, FilePath, SecretStr, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.rules import Luhn
from schemas.runtime.registry import Registry
from schemas.runtime.schema_cache import SchemaCache
from schemas.values.text_prices import DEFAULT_MODEL, Price, price

_CERTIFICATE = "kafka_security_certificate"


def authorities(path: Path | None) -> Path | None:
    """A PEM file of authorities, for a validator. Raises ValueError if it holds none."""
    if path is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:
            raise ValueError(f"{path} holds no certificate: {error}") from None
    return path


class SecretFileError(ValueError):
    """The file that a `NAME_FILE` names cannot be read."""

    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"{variable}: {reason}")
        self.variable = variable
        self.reason = reason


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets by `NAME_FILE`. The last line's end is not part of the secret; `NAME` goes before."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """None where the setting is no secret, or no file is named."""
        if SecretStr not in (field.annotation, *get_args(field.annotation)):
            return None, field_name, False
        name = field_name if field.validation_alias else self.config["env_prefix"] + field_name
        variable = f"{name}_FILE".upper()
        path = os.environ.get(variable)
        if not path or name.upper() in os.environ:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except OSError as error:
            raise SecretFileError(variable, f"{path}: {error.strerror}") from error
        except UnicodeDecodeError:
            # Without its cause, which holds what was read.
            raise SecretFileError(variable, f"{path} is no UTF-8") from None

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


class FoxSettings(BaseSettings):
    """From the environment, with secrets also from files; errors never quote a value."""

    model_config = SettingsConfigDict(
        env_prefix="FOX_", frozen=True, hide_input_in_errors=True, defer_build=True
    )

    @field_validator("*")
    @classmethod
    def _encodable(cls, value: Any) -> Any:
        if isinstance(value, SecretStr):
            try:
                value.get_secret_value().encode()
            except UnicodeEncodeError:
                # Later such an error would hold the secret.
                raise ValueError("no UTF-8") from None
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then variables, then files of secrets."""
        return init_settings, env_settings, SecretFiles(settings_cls)


class ServerSettings(FoxSettings):
    """Half a set of credentials is an error, and so are credentials that would go unencrypted."""

    kafka_bootstrap: Annotated[
        str, Field(min_length=1, description="Kafka brokers, host:port,host:port.")
    ] = "localhost:9092"
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Field(description="How Kafka is spoken to; docs/security.md."),
    ] = "PLAINTEXT"
    kafka_security_mechanism: Annotated[
        Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"],
        Field(description="How SASL knows the user; PLAIN only with SASL_SSL."),
    ] = "SCRAM-SHA-512"
    kafka_security_username: Annotated[
        str | None, Field(description="User of Kafka, with SASL.")
    ] = None
    kafka_security_password: Annotated[
        SecretStr | None, Field(description="Its password, with SASL.")
    ] = None
    kafka_security_ca: Annotated[
        FilePath | None,
        Field(description="PEM file of the authorities of Kafka. Unset: the system's."),
    ] = None
    kafka_security_certificate: Annotated[
        FilePath | None, Field(description="PEM file of our own certificate, for mutual TLS.")
    ] = None
    kafka_security_key: Annotated[
        FilePath | None,
        Field(description="PEM file of its key, without a password."),
    ] = None
    schema_registry_url: Annotated[
        str,
        Field(
            pattern="^https?://[^@]+$",
            description="Schema registry, the root of its Confluent API, without credentials.",
        ),
    ] = "http://localhost:8081"
    schema_registry_ca: Annotated[
        FilePath | None,
        Field(description="PEM file of the authorities of the registry. Unset: the system's."),
    ] = None
    schema_registry_username: Annotated[
        str | None, Field(description="User of the registry, by https only.")
    ] = None
    schema_registry_password: Annotated[
        SecretStr | None, Field(description="The user's password.")
    ] = None
    schema_cache: Annotated[
        str,
        Field(
            description="Folder that keeps the registry's answers, for when it cannot be reached: "
            "only a schema that is new waits then. Empty: none is kept; so it is if the folder "
            "cannot be written."
        ),
    ] = "~/.cache/foxstream/schemas"
    topic_prefix: Annotated[
        str,
        Field(pattern="^[a-zA-Z0-9._-]*$", description="Before every topic and consumer group."),
    ] = "fox."

    @field_validator("kafka_security_mechanism")
    @classmethod
    def _never_in_the_clear(cls, mechanism: str, info: ValidationInfo) -> str:
        if mechanism == "PLAIN" and info.data.get("kafka_security_protocol") != "SASL_SSL":
            raise ValueError("PLAIN sends the password as it is: only with SASL_SSL")
        return mechanism

    @field_validator("kafka_security_username", "kafka_security_password")
    @classmethod
    def _with_sasl(cls, value: Any, info: ValidationInfo) -> Any:
        sasl = str(info.data.get("kafka_security_protocol")).startswith("SASL_")
        if sasl != bool(value):
            raise ValueError("needed with FOX_KAFKA_SECURITY_PROTOCOL=SASL_…, and only then")
        return value

    @field_validator("kafka_security_ca", "schema_registry_ca")
    @classmethod
    def _authorities(cls, path: Path | None) -> Path | None:
        return authorities(path)

    @field_validator("kafka_security_ca", "kafka_security_certificate")
    @classmethod
    def _with_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value and not str(info.data.get("kafka_security_protocol")).endswith("SSL"):
            raise ValueError("only with FOX_KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL")
        return value

    @field_validator("kafka_security_key")
    @classmethod
    def _with_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if bool(key) != bool(info.data.get(_CERTIFICATE)):
            raise ValueError("needed with FOX_KAFKA_SECURITY_CERTIFICATE, and only then")
        if key is not None:
            try:
                _load_own(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), info.data[_CERTIFICATE], key)
            except OSError as error:
                raise ValueError(f"not the key of the certificate, in PEM: {error}") from None
        return key

    @field_validator("schema_registry_ca", "schema_registry_username")
    @classmethod
    def _with_https(cls, value: Any, info: ValidationInfo) -> Any:
        if value and not str(info.data.get("schema_registry_url")).startswith("https:"):
            raise ValueError("only with an https FOX_SCHEMA_REGISTRY_URL")
        return value

    @field_validator("schema_registry_password")
    @classmethod
    def _with_username(cls, password: Any, info: ValidationInfo) -> Any:
        if bool(password) != bool(info.data.get("schema_registry_username")):
            raise ValueError("needed with FOX_SCHEMA_REGISTRY_USERNAME, and only then")
        return password

    def librdkafka(self) -> dict[str, Any]:
        """Settings of every librdkafka client. Holds the password: never logged."""
        options = {
            "bootstrap.servers": self.kafka_bootstrap,
            "security.protocol": self.kafka_security_protocol,
            "ssl.ca.location": self.kafka_security_ca,
            "ssl.certificate.location": self.kafka_security_certificate,
            "ssl.key.location": self.kafka_security_key,
        }
        if self.kafka_security_password is not None:
            options["sasl.mechanism"] = self.kafka_security_mechanism
            options["sasl.username"] = self.kafka_security_username
            options["sasl.password"] = self.kafka_security_password.get_secret_value()
        return {name: str(value) for name, value in options.items() if value is not None}

    def kafka_tls(self) -> ssl.SSLContext | None:
        """The same for clients that use Python's TLS; None where Kafka speaks none."""
        if not self.kafka_security_protocol.endswith("SSL"):
            return None
        context = ssl.create_default_context(cafile=self.kafka_security_ca)
        if self.kafka_security_certificate is not None:
            _load_own(context, self.kafka_security_certificate, self.kafka_security_key)
        return context

    def registry(self) -> Registry:
        """A client of the registry; the caller closes it."""
        url, password = self.schema_registry_url, self.schema_registry_password
        context = None
        if url.startswith("https:"):
            context = ssl.create_default_context(cafile=self.schema_registry_ca)
        credentials = None
        if password is not None:
            credentials = (str(self.schema_registry_username), password.get_secret_value())
        return Registry(url, tls=context, credentials=credentials, cache=self._schema_cache(url))

    def _schema_cache(self, url: str) -> SchemaCache | None:
        if not self.schema_cache:
            return None
        try:
            return SchemaCache(Path(self.schema_cache).expanduser(), url)
        except RuntimeError:  # a user without a home
            return None


class CommonSettings(ServerSettings):
    """What workers, the command line and the gateway have to agree on."""

    sentry_dsn: Annotated[
        SecretStr | None,
        Field(
            description="Where Sentry is told of errors and crashes; unset: nowhere. Of an "
            "exception its kind, its first line and its places in the code; no row, request, "
            "variable or earlier line of the log."
        ),
    ] = None
    otlp_endpoint: Annotated[
        str | None,
        Field(
            pattern="^https?://",
            description="Where OpenTelemetry's collector takes traces by OTLP over HTTP, such as "
            "http://collector:4318; unset: none are made. An import's publishing and each batch's "
            "writing is a span; no value of a row is in them.",
        ),
    ] = None
    import_luhn: Annotated[
        Luhn,
        Field(
            description="What a SIREN or SIRET with a wrong check digit is: warning (kept, and "
            "counted), error (the row is rejected) or off."
        ),
    ] = "warning"
    ai_model: Annotated[str, Field(min_length=1, description="Model that writes texts.")] = (
        DEFAULT_MODEL
    )
    ai_price_input: Annotated[
        Decimal | None,
        Field(
            ge=0,
            description="For a million tokens sent. Unset: the model's, of schemas/values/text_prices.py.",
        ),
    ] = None
    ai_price_output: Annotated[
        Decimal | None, Field(ge=0, description="For a million tokens answered. Unset: the same.")
    ] = None

    def ai_price(self) -> Price | None:
        """Of the model: the settings' own, else the table's; None: not known."""
        return price(self.ai_model, self.ai_price_input, self.ai_price_output)


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    # With a password, though a wrong one, OpenSSL asks nobody at a terminal for it.
    context.load_cert_chain(certificate, key, password="")  # nosec B106 # keys without one; else OpenSSL asks on the terminal
