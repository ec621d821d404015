"""What the environment says about the local stack, and the environment of the processes it starts."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# A server sees only these: variables of its own (KAFKA_*, QUARKUS_*, PG*, JAVA_TOOL_OPTIONS)
# would otherwise override the configuration written here.
# Those of Python are for the guard, which must find its packages where this process found them.
SERVER_VARIABLES = (
    *("PATH", "HOME", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONUSERBASE"),
)


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "foxstream"


class LocalSettings(BaseSettings):
    """The three addresses turn the embedded server off when they are set; empty means unset."""

    model_config = SettingsConfigDict(
        env_prefix="FOX_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    kafka_bootstrap: Annotated[
        str | None, Field(description="Brokers that exist already. Unset: starts one.")
    ] = None
    schema_registry_url: Annotated[
        str | None, Field(description="A registry that exists already. Unset: starts one.")
    ] = None
    database_url: Annotated[
        str | None, Field(description="A PostgreSQL that exists already. Unset: starts one.")
    ] = None
    database_url_file: Annotated[
        Path | None, Field(description="File that holds FOX_DATABASE_URL.")
    ] = None
    local_cache: Annotated[Path, Field(description="Where downloaded servers are kept.")] = (
        _default_cache()
    )

    def existing(self) -> dict[str, str]:
        """The addresses of servers that exist already, by the name of their variable.

        Raises OSError when the file named by FOX_DATABASE_URL_FILE cannot be read.
        """
        database = self.database_url
        if database is None and self.database_url_file is not None:
            database = self.database_url_file.read_text(encoding="utf-8").strip()
        values = {
            "FOX_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "FOX_SCHEMA_REGISTRY_URL": self.schema_registry_url,
            "FOX_DATABASE_URL": database,
        }
        return {name: value for name, value in values.items() if value is not None}


def server_environment() -> dict[str, str]:
    """The environment of a server: nothing that could change its configuration."""
    kept = {name: os.environ[name] for name in SERVER_VARIABLES if name in os.environ}
    return {**kept, "LC_ALL": "C"}


def own_environment() -> dict[str, str]:
    """A copy of this process's environment, for commands of foxstream itself."""
    return dict(os.environ)
