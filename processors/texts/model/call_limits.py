"""Whether a call may be made: rates, concurrency, budgets and the breaker, shared by all workers.

Every call is a row of ingest.ai_calls, written before it is made, under a lock of its model's row:
the same row is the sliding window of the rates, the reservation of the budgets, and what is known
of a call whose worker died. A permit expires after half of `Limits.margin`, and the sliding window
is longer than the provider's by the whole margin. So the provider never counts more calls in one of
its windows than it allows, however long they were in transit (docs/decisions/0008).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import inf
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from psycopg.rows import dict_row

from processors.database.pool import Connection
from processors.database.queries import load
from processors.texts.model import halts
from processors.texts.model.budgets import has_limit
from processors.texts.server.failures import CallError, Trouble

log = structlog.get_logger(__name__)

_SQL = load("processors.texts.model", "call_limits.sql")

LEAST_MARGIN_SECONDS = 1.0
_MARGIN = 1 / 30

LONGEST_OPEN_SECONDS = 600.0
"""The longest time between two test calls to a provider that keeps failing."""

LAST_ANSWERS = 40
"""So many answers are looked at: fewer bad ones are three asks of a dozen rows with poor data, and these
cost a cent or two with the models of the table."""

MOST_USELESS = 0.5
"""The share of them that may be of no use. A model that suits has less than a tenth; what a half of them
costs is more than the texts that come of the rest."""


@dataclass(frozen=True)
class Limits:
    """The settings of one model. Budgets are in US dollars; None: no limit.

    `window` seconds hold at most `calls` and `tokens`. `seconds`: longest a call may take.
    """

    model: str
    calls: int
    tokens: int
    window: float
    concurrency: int
    seconds: float
    failures: int
    open_seconds: float
    budgets: Mapping[str, Decimal | None]  # by import, day, month
    settings: str  # a hash of what shapes a request: see processors/texts/model/halts.py

    @property
    def proof(self) -> str:
        """What the probe has to show before a call: with a budget also that the server keeps to the limit
        of an answer. Operators may set one while workers run."""
        return f"{self.settings} with a budget" if has_limit(self.budgets) else self.settings

    @property
    def margin(self) -> float:
        return max(LEAST_MARGIN_SECONDS, self.window * _MARGIN)

    @property
    def call_seconds(self) -> float:
        """How long a call counts as under way."""
        return self.seconds + self.margin + 10


class Call(NamedTuple):
    """What a permit is asked for; `tokens` and `cost` are the most that it may use."""

    request_id: UUID
    prompt_hash: str
    ask: int
    import_id: UUID | None
    tokens: int
    cost: Decimal


class Permit(NamedTuple):
    """Permission to make one call before `until`, a time of this process' monotonic clock."""

    id: int
    until: float

    @property
    def expired(self) -> bool:
        return monotonic() > self.until


class Denial(NamedTuple):
    """Not now: look again in `seconds`. `scope` names the budget that is used up."""

    why: str  # rate, tokens, concurrency, blocked, breaker, budget, halted, unproven
    seconds: float
    scope: str | None = None


class _Model(NamedTuple):
    halted: str | None
    failures: int
    open_until: datetime | None
    open_reason: str | None
    opened_for: float
    probe_until: datetime | None
    blocked_until: datetime | None
    shut: bool | None  # open_until is still to come
    proven: Sequence[str]


class _Usage(NamedTuple):
    now: datetime
    running: int
    tokens: int
    oldest: float | None
    full_since: float | None


LOOK_SECONDS = 5.0
"""When to look again at what may change any time: a budget, another worker's call."""


async def begin(connection: Connection, model: str) -> None:
    """Before the first call of a process."""
    await connection.execute(_SQL["begin"], {"model": model})


async def retire(connection: Connection, model: str) -> None:
    """Clears the halt and the breaker of a model that is no longer used, so that neither raises an alert."""
    await connection.execute(_SQL["retire"], {"model": model})


async def take(
    connection: Connection, limits: Limits, call: Call, *, probing: bool = False
) -> Permit | Denial:
    """A permit, written in the caller's transaction: it counts when that has committed.

    `probing`: for the call that shows whether the settings are good; no other is made before.
    """
    asked_at = monotonic()
    named = {"model": limits.model}
    model = await _locked(connection, limits.model)
    cursor = await connection.execute(
        _SQL["usage"], {**named, "window": limits.window + limits.margin, "calls": limits.calls}
    )
    usage = _Usage(*(await cursor.fetchone() or ()))
    denial = None if probing else _settings_deny(model, limits)
    denial = denial or _model_denies(model, usage.now) or _rates_deny(limits, usage, call)
    denial = denial or await _budget_denies(connection, limits, call, usage.now)
    if denial:
        return denial
    if probing or model.open_until is not None:
        await connection.execute(_SQL["probe"], {**named, "seconds": limits.call_seconds})
    call_id = await _write(connection, limits, call, limits.call_seconds)
    return Permit(call_id, asked_at + limits.margin / 2)


async def reserve(
    connection: Connection, limits: Limits, call: Call, seconds: float
) -> Permit | Denial:
    """A permit that no rate limits, for a call that may take so long; budgets hold all the same."""
    await connection.execute(_SQL["lock"], {"model": limits.model})
    cursor = await connection.execute("SELECT now()")
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM
    denial = await _budget_denies(connection, limits, call, row[0])
    if denial:
        return denial
    return Permit(await _write(connection, limits, call, seconds), inf)


async def _write(connection: Connection, limits: Limits, call: Call, seconds: float) -> int:
    """The id of a call that is under way for so many seconds."""
    values = {"model": limits.model, **call._asdict(), "seconds": seconds}
    cursor = await connection.execute(_SQL["call"], values)
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - an INSERT that returns
    return int(row[0])


async def _locked(connection: Connection, model: str) -> _Model:
    """What is known of a model, which nobody else changes until the transaction ends."""
    cursor = await connection.execute(_SQL["lock"], {"model": model})
    return _Model(*(await cursor.fetchone() or (None, 0, None, None, 0.0, None, None, None, ())))


def _settings_deny(model: _Model, limits: Limits) -> Denial | None:
    if model.halted is not None:
        return Denial("halted", LOOK_SECONDS)
    if limits.proof not in model.proven:
        return Denial("unproven", LOOK_SECONDS)
    return None


def _model_denies(model: _Model, now: datetime) -> Denial | None:
    for why, until in (
        ("blocked", model.blocked_until),
        ("breaker", model.open_until),
        ("breaker", model.probe_until if model.open_until is not None else None),
    ):
        if until is not None and until > now:
            return Denial(why, (until - now).total_seconds())
    return None


def _rates_deny(limits: Limits, usage: _Usage, call: Call) -> Denial | None:
    window = limits.window + limits.margin
    if usage.full_since is not None:
        return Denial("rate", window + usage.full_since)
    # A call that is larger than the limit is made when nothing else is.
    if usage.oldest is not None and usage.tokens + call.tokens > limits.tokens:
        return Denial("tokens", window + usage.oldest)
    if usage.running >= limits.concurrency:
        return Denial("concurrency", LOOK_SECONDS)
    return None


def scopes(import_id: UUID | None, at: datetime) -> dict[str, str]:
    """The budgets that a call of this moment counts for, by their kind. Days and months are UTC's."""
    at = at.astimezone(UTC)
    found = {"day": f"day {at:%Y-%m-%d}", "month": f"month {at:%Y-%m}"}
    return found if import_id is None else {"import": f"import {import_id}", **found}


async def _budget_denies(
    connection: Connection, limits: Limits, call: Call, now: datetime
) -> Denial | None:
    """Reserves the call's cost, or says which budget has no room for it."""
    found = scopes(call.import_id, now)
    values = {"scopes": list(found.values())}
    await connection.execute(_SQL["spent"], values)
    cursor = await connection.execute(_SQL["spent_now"], values)
    spent: dict[str, Decimal] = dict(await cursor.fetchall())
    for kind, scope in found.items():
        limit = limits.budgets.get(kind)
        if limit is not None and spent[scope] + call.cost > limit:
            await connection.execute(_SQL["deny"], {"scope": scope, "cost": call.cost})
            return Denial("budget", LOOK_SECONDS, kind)
    await connection.execute(_SQL["spend"], {**values, **call._asdict(), "at": now})
    return None


async def is_used_up(connection: Connection, limits: Limits) -> bool:
    """Whether today's or this month's budget has no room for what it was asked for the last time.

    Looked at before a request is leased: what waits for money costs nothing. It has room again when a
    reservation is given back, when the limit is raised and when the day or the month is over.
    """
    if not any(limits.budgets.get(kind) is not None for kind in ("day", "month")):
        return False
    found = scopes(None, datetime.now(UTC))
    cursor = await connection.execute(_SQL["wanted"], {"scopes": list(found.values())})
    wanted: dict[str, Decimal] = dict(await cursor.fetchall())
    rooms = ((limits.budgets.get(kind), wanted.get(scope)) for kind, scope in found.items())
    return any(limit is not None and want is not None and want > limit for limit, want in rooms)


async def used(connection: Connection, limits: Limits) -> dict[str, float]:
    """The share of today's and this month's budget that is spent or reserved, where it is limited."""
    found = scopes(None, datetime.now(UTC))
    cursor = await connection.execute(_SQL["budgets"], {"scopes": list(found.values())})
    spent: dict[str, Decimal] = dict(await cursor.fetchall())
    shares: dict[str, float] = {}
    for kind, scope in found.items():
        limit = limits.budgets.get(kind)
        if limit is not None:  # a budget of nothing is used up
            shares[kind] = float(spent.get(scope, 0) / limit) if limit else 1.0
    return shares


class Used(NamedTuple):
    """What a call used. `state`: answered, failed (nothing is paid), void (never sent) or lost
    (it may have been paid). If `tokens` or `cost` is None, the reservation stands."""

    state: str
    tokens: int | None
    cost: Decimal | None
    code: str | None = None


async def account(connection: Connection, model: str, permit: Permit, used: Used) -> bool:
    """Replaces the reservation by what was used. False if that was done before."""
    # As take does: the model's row before the budgets'.
    await connection.execute(_SQL["lock"], {"model": model})
    cursor = await connection.execute(_SQL["account"], {"id": permit.id, **used._asdict()})
    row = await cursor.fetchone()
    if row is None:
        return False
    cost, request_id, import_id, at = row
    values = {"cost": cost, "request_id": request_id, "import_id": import_id, "at": at}
    found = list(scopes(import_id, at).values())
    await connection.execute(_SQL["spend"], {**values, "scopes": found})
    return True


async def works(connection: Connection, model: str) -> None:
    """The provider answered: its breaker closes."""
    await connection.execute(_SQL["works"], {"model": model})


async def useless(connection: Connection, limits: Limits, code: str, reason: str) -> None:
    """The provider answered, but not so that it can be used: paid for all the same, three times for
    each prompt; or its filter fails one prompt after the other. If most answers are so, the breaker
    opens; else it closes.
    """
    model = await _locked(connection, limits.model)
    cursor = await connection.execute(
        _SQL["last_answers"], {"model": limits.model, "answers": LAST_ANSWERS}
    )
    answers, bad = await cursor.fetchone() or (0, 0)
    if answers < LAST_ANSWERS or bad <= MOST_USELESS * answers:
        await works(connection, limits.model)
        return
    message = f"{bad} of the last {answers} answers cannot be used; {code}: {reason}"[:500]
    error = CallError(Trouble.QUOTA, "useless-answers", message)
    await _open(connection, limits, model, error, at_once=True)


async def block(connection: Connection, model: str, seconds: float) -> None:
    """Blocks calls for so many seconds: the provider has no room."""
    await connection.execute(_SQL["block"], {"model": model, "seconds": seconds})


async def failed(connection: Connection, limits: Limits, error: CallError) -> bool:
    """Records a failed call; returns whether the request is to blame, and has one try less.

    It is not to blame if all calls have to wait: if the breaker is open now, the provider limits
    calls or an operator has to act.
    """
    model = await _locked(connection, limits.model)
    if error.wait is not None or error.trouble is Trouble.RATE:
        await block(connection, limits.model, error.wait or limits.window)
    match error.trouble:
        case Trouble.OPERATOR:
            await halts.halt(connection, limits.model, error)
        case Trouble.QUOTA:
            await _open(connection, limits, model, error, at_once=True)
        case Trouble.TRANSIENT:
            await connection.execute(_SQL["failed"], {"model": limits.model})
            return not await _open(connection, limits, model, error, at_once=False)
        case Trouble.TRANSIENT_IN_BATCH:
            return True
        case Trouble.RATE:  # it says nothing of whether the provider works
            await connection.execute(_SQL["unprobed"], {"model": limits.model})
        case Trouble.PROMPT | Trouble.REFUSED | Trouble.DIALECT:
            await works(connection, limits.model)
    return False


async def _open(
    connection: Connection, limits: Limits, model: _Model, error: CallError, *, at_once: bool
) -> bool:
    """Opens the breaker if it is time to; returns whether it is open now."""
    if model.shut:
        return True  # the call was under way when another opened it: it is no probe
    probed = model.open_until is not None
    if not (at_once or probed or model.failures + 1 >= limits.failures):
        return False
    longer = max(2 * model.opened_for, limits.open_seconds)
    seconds = min(longer, LONGEST_OPEN_SECONDS) if probed else limits.open_seconds
    log.error("breaker is open", action="ai_breaker_open", code=error.code, seconds=seconds)
    values = {
        "model": limits.model, "seconds": seconds, "reason": error.code, "message": str(error),
    }  # fmt: skip
    await connection.execute(_SQL["open"], values)
    return True


async def lost(connection: Connection, model: str) -> int:
    """Marks the calls of workers that died as lost; returns how many."""
    cursor = await connection.execute(_SQL["lost"], {"model": model})
    return len(await cursor.fetchall())


async def standing(connection: Connection, model: str) -> dict[str, Any]:
    """Whether the breaker is open, what halted the stage, which settings are proven, and whether no call
    may be made now."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["standing"], {"model": model})
        return await cursor.fetchone() or dict(_UNKNOWN)


_UNKNOWN: Mapping[str, Any] = {
    "open": False, "halted": None, "paused": False, "proven": [], "shut": False,
}  # fmt: skip
