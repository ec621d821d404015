"""What halts the stage: settings that the provider refuses, whatever it is asked.

A refusal (400, 403, 404, 422) is about its prompt or about the settings. It is about the settings if
different prompts are refused one after the other, and if the probe is refused: a text of no row, asked
when settings are new or in doubt (processors/texts/model/probe.py). Then no request fails.
"""

from enum import Enum, auto

import structlog

from processors.database.pool import Connection
from processors.database.queries import load
from processors.texts.server.failures import CallError

log = structlog.get_logger(__name__)

_SQL = load("processors.texts.model", "halts.sql")

DIFFERENT = 3
"""So many different prompts are refused alike, with no answer in between, because of the settings: two
bad rows may follow each other by chance."""

LEAST_SECONDS = 60.0
LONGEST_SECONDS = 600.0
"""Of a halt, until the probe is asked: twice as long each time, to this."""

ASIDE_SECONDS = 1.0
"""How long a refused request waits at least: others are asked meanwhile."""

BEHIND_SECONDS = 30.0
"""After a halt the refused wait for so long, that others show whether the settings are good."""


class Verdict(Enum):
    """What a refusal is about."""

    PROMPT = auto()
    UNKNOWN = auto()  # asked again, it will show
    SETTINGS = auto()  # it halts the stage
    HALTED = auto()  # the stage is halted already


async def halt(
    connection: Connection, model: str, error: CallError, *, again: bool = False
) -> float:
    """Halts the calls of a model; for how many seconds. `again`: the probe has found it so once more."""
    values = {
        "model": model,
        "reason": reason(error),
        "least": LEAST_SECONDS,
        "most": LONGEST_SECONDS,
        "again": again,
    }
    cursor = await connection.execute(_SQL["halt"], values)
    row = await cursor.fetchone()
    if row is None:  # else each call that was under way would say it
        return LEAST_SECONDS
    log.error("texts are halted", action="ai_halted", code=error.code, reason=str(error))
    return float(row[0])


async def halt_for_good(connection: Connection, model: str, error: CallError) -> None:
    """Halts until a worker starts or an operator resumes: no probe will find it otherwise."""
    log.error("texts are halted", action="ai_halted", code=error.code, reason=str(error))
    await connection.execute(_SQL["halt_for_good"], {"model": model, "reason": reason(error)})


def reason(error: CallError) -> str:
    """As operators read it."""
    return f"{error.code}: {error}"


async def judge(
    connection: Connection, model: str, prompt_hash: str, error: CallError, *, answered_since: bool
) -> Verdict:
    """What a refusal is about. `answered_since`: the prompt was refused before, and it is known whether
    another one was answered after that; if no other was refused since, it was.
    """
    cursor = await connection.execute(_SQL["locked"], {"model": model})
    halted, refused = await cursor.fetchone() or (False, [])
    if halted:
        return Verdict.HALTED
    if prompt_hash in _hashes(refused):  # nothing else was answered: is it the settings?
        await connection.execute(_SQL["doubt"], {"model": model})
        return Verdict.UNKNOWN
    if answered_since:
        return Verdict.PROMPT
    refused = [*refused, f"{error.code} {prompt_hash}"]
    alike = _hashes([each for each in refused if each.startswith(f"{error.code} ")])
    if len(alike) < DIFFERENT:
        await connection.execute(_SQL["row"], {"model": model, "refused": refused})
        return Verdict.UNKNOWN
    seconds = await halt(connection, model, error)
    values = {
        "code": error.code,
        "hashes": alike,
        "reason": reason(error),
        "seconds": seconds + BEHIND_SECONDS,
    }
    await connection.execute(_SQL["unfail"], values)
    return Verdict.SETTINGS


def _hashes(refused: list[str]) -> list[str]:
    return [each.rpartition(" ")[2] for each in refused]


async def answered(connection: Connection, model: str) -> None:
    """A prompt was answered: the settings are not to blame for what was refused before."""
    await connection.execute(_SQL["answered"], {"model": model})


async def is_due(connection: Connection, model: str, settings: str) -> bool:
    """Whether the probe is to be asked now, with settings of this hash; by nobody else meanwhile."""
    cursor = await connection.execute(_SQL["due"], {"model": model, "settings": settings})
    return cursor.rowcount > 0


async def ask_again(connection: Connection, model: str) -> None:
    """The probe is to be asked otherwise, at once."""
    await connection.execute(_SQL["ask_again"], {"model": model})


async def prove(
    connection: Connection, model: str, settings: str, *, unlimited: bool = False
) -> None:
    """The probe was answered with settings of this hash: what was halted goes on."""
    values = {"model": model, "settings": settings, "unlimited": unlimited}
    await connection.execute(_SQL["prove"], values)


async def resume(connection: Connection, model: str) -> None:
    """Ends the halt of an account that needs no probe: it was asked, and answered."""
    await connection.execute(_SQL["resume"], {"model": model})
