"""How a command ends: an exit code, and one sentence in French if something is wrong."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, NoReturn

import typer

from schemas.runtime.terminal import say

PARTIAL, REFUSED, USAGE, UNREACHABLE, INTERRUPTED = 3, 4, 2, 5, 130

_OF_STATUS = {"PARTIAL": PARTIAL, "ERROR": REFUSED, "CANCELLED": REFUSED}


def of_status(status: str) -> int:
    """The exit code of an import; 0 while it is not finished."""
    return _OF_STATUS.get(status, 0)


def notify(text: str) -> None:
    """For people: standard output may be read by a program."""
    say(text, err=True)


class CommandError(Exception):
    """A command ends with `exit_code`; `code` and the message give the reason."""

    def __init__(self, exit_code: int, code: str, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code


def fail(exit_code: int, code: str, message: str) -> NoReturn:
    """Ends the command."""
    raise CommandError(exit_code, code, message)


@contextmanager
def explained(*, as_json: bool = False) -> Iterator[None]:
    """Turns known errors into one sentence and an exit code; others are raised."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that is not UTF-8 must not break what is printed of it; in JSON these are escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except KeyboardInterrupt:
        notify("Interrompu.")
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception as error:
        known = _explain(error)
        if known is None:
            raise
        notify(str(known))
        if as_json:
            why = {"code": known.code, "message": str(known)}
            say(json.dumps({"error": why, **_context(error)}, ensure_ascii=False))
        raise typer.Exit(known.exit_code) from None


def _explain(error: Exception) -> CommandError | None:
    if isinstance(error, CommandError):
        return error
    if isinstance(error, BrokenPipeError):
        return None  # typer ends quietly if the reader is gone, as in « foxstream list | head »
    if isinstance(error, OSError):
        return CommandError(USAGE, "unreadable", f"Lecture ou écriture impossible : {error}.")
    return _explain_ours(_too_large() if isinstance(error, MemoryError) else error)


def _too_large() -> Exception:
    from producers.reading.workbook.memory_limit import memory_exceeded

    return memory_exceeded()


def _explain_ours(error: Exception) -> CommandError | None:
    # Here and not above: they bring most of what takes time to load.
    from producers.kafka.broker import ClusterError, NotReadyError
    from producers.reading import RefusedError
    from producers.settings import SettingsError, settings
    from schemas.runtime.registry import RegistryUnavailableError

    match error:
        case RefusedError():
            return CommandError(REFUSED, error.code, error.message)
        case SettingsError():
            return CommandError(USAGE, "settings", str(error))
        case NotReadyError():
            return CommandError(USAGE, "not-ready", str(error))
        case ClusterError():
            return CommandError(UNREACHABLE, "unreachable", str(error))
        case RegistryUnavailableError():
            return _explain_registry(error, settings().schema_registry_url)
    return None


def _explain_registry(error: Exception, url: str) -> CommandError:
    from schemas.runtime.registry import RegistryDeniedError

    if isinstance(error, RegistryDeniedError):
        return CommandError(
            USAGE,
            "not-ready",
            f"Le registre de schémas à l'adresse {url} refuse l'accès, ou son certificat n'est pas "
            f"reconnu ({error}) : vérifiez FOX_SCHEMA_REGISTRY_*.",
        )
    return CommandError(
        UNREACHABLE,
        "unreachable",
        f"Le registre de schémas ne répond pas à l'adresse {url} : vérifiez qu'il est démarré et "
        "que FOX_SCHEMA_REGISTRY_URL est juste.",
    )


def _context(error: Exception) -> dict[str, Any]:
    from producers.imports.start import AlreadyImportedError
    from producers.kafka.import_state import document

    if isinstance(error, AlreadyImportedError):
        return {"already_imported": document(error.state)}
    return {}
