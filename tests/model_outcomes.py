"""What foxstream does after a call to the model, in words that the documentation shows."""

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from tests.fix_stack import Site


class Then(Enum):
    """What follows for the request, or for all of them."""

    STORED = "stored"
    ASKED_AGAIN = "asked again with what is wrong, twice; then failed"
    AGAIN = "asked again later, which costs it a try"
    FAILED = "failed"
    JUDGED = "failed if others are answered; if none is, the stage halts"
    OTHERWISE = "asked again at once, without the parameter"
    WAIT = "all workers wait"
    BREAKER = "the breaker opens"
    HALTED = "the stage halts"


class Spent(Enum):
    """What a call costs in the budgets."""

    USED = "what the provider counted"
    RESERVED = "what was reserved"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Outcome:
    """`code` is that of the request, None if its text is stored; `parameter` if a call was refused for one.
    Then `spent` is what that call costs.
    """

    then: Then
    code: str | None
    spent: Spent


def outcome(site: Site, counted: int, entity: UUID | None = None) -> Outcome:
    """Of the request about an entity, or the only one, for which a caller did all that was due; a call
    counts so many tokens.
    """
    [(request, state, code)] = site.query(
        "SELECT id, state, code FROM ingest.enrichment WHERE entity_id = coalesce(%s, entity_id)",
        entity,
    )
    calls = site.query(
        "SELECT state, tokens, code FROM ingest.ai_calls WHERE request_id = %s", request
    )
    refused = [(call, tokens) for call, tokens, why in calls if why == "parameter"]
    others = [(call, tokens) for call, tokens, why in calls if why != "parameter"]
    if refused and state == "done" and _spent(others, counted) is Spent.USED:
        return Outcome(Then.OTHERWISE, "parameter", _spent(refused, counted))
    return Outcome(_then(site, state, len(calls)), code, _spent(refused + others, counted))


def _then(site: Site, state: str, calls: int) -> Then:
    if state == "done":
        return Then.STORED
    if state == "failed":
        return Then.ASKED_AGAIN if calls > 1 else Then.FAILED
    [standing] = site.query(
        "SELECT halted IS NOT NULL, open_until > now(), blocked_until > now(), refused <> '{}' "
        "FROM ingest.ai_models "
        "WHERE model NOT LIKE '%% by batch' OR halted IS NOT NULL OR open_until > now()"
    )
    named = zip((Then.HALTED, Then.BREAKER, Then.WAIT, Then.JUDGED), standing, strict=True)
    return next((then for then, holds in named if holds), Then.AGAIN)


def _spent(calls: list[tuple[str, int]], counted: int) -> Spent:
    states = {state for state, _ in calls}
    if states == {"failed"} or ("answered", 0) in calls:
        return Spent.NOTHING
    used = states == {"answered"} and {tokens for _, tokens in calls} == {counted}
    return Spent.USED if used else Spent.RESERVED
