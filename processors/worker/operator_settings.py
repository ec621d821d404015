"""Settings for a command, and exit codes for the errors that an operator can act on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from processors.settings import Settings


@contextmanager
def operator_settings() -> Iterator["Settings"]:
    """The settings; an error that operators can act on becomes one line and its exit code."""
    from processors.settings import Settings

    try:
        yield Settings()
    except Exception as error:
        explained = _explained(error)
        if explained is None:
            raise
        code, message = explained
        say(f"foxstream-worker: {message}", err=True)
        raise typer.Exit(code) from None


def _explained(error: Exception) -> tuple[int, str] | None:
    """The exit code and the message; None for an error that is a fault of foxstream."""
    from pydantic import ValidationError

    from processors.database.pool import NOT_MIGRATED
    from processors.errors import WorkerError
    from schemas.runtime.registry import RegistryDeniedError, RegistryUnavailableError
    from schemas.runtime.server_settings import SecretFileError

    if isinstance(error, NOT_MIGRATED):
        return 2, f"{error.diag.message_primary}: run 'foxstream-worker migrate'"
    match error:
        case WorkerError():
            return error.exit_code, str(error)
        case RegistryUnavailableError():
            return 2 if isinstance(error, RegistryDeniedError) else 5, str(error)
        case ValidationError():
            return 2, "; ".join(map(_wrong, error.errors()))
        case UnicodeEncodeError() | SecretFileError():
            return 2, _misread(error)
    return None


def _misread(error: ValueError) -> str:
    return f"no UTF-8: {error.object!a}" if isinstance(error, UnicodeEncodeError) else str(error)


def _wrong(problem: "ErrorDetails") -> str:
    name = str(problem["loc"][0]).upper()
    return f"{name if name.startswith('OPENAI_') else f'FOX_{name}'}: {problem['msg']}"
