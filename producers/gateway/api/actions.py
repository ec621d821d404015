"""What people may do with an import, and in which of its states."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from producers.gateway.problems import Problem
from producers.gateway.processes import tasks
from producers.gateway.processes.child_processes import ChildDiedError
from producers.gateway.shared import Gateway
from producers.kafka.import_state import new_state
from producers.reading import RefusedError
from schemas.outcomes import ACTIONS, ActionName
from schemas.records import ImportState

_LOGGER = structlog.get_logger(__name__)

_ACTION_SECONDS = 60.0

T = TypeVar("T")

_WITHOUT_TEXTS = ("VILLE", "DEPARTEMENT")
"""Texts of cities are requested with their import only, as in the earlier system."""


def allowed(state: ImportState) -> list[ActionName]:
    """The actions that the state allows and that would do something."""
    return [
        name
        for name in ACTIONS
        if _allows(name, state) and (name != "generate_ai" or texts_left(state))
    ]


def texts_left(state: ImportState) -> int:
    """How many texts would be requested at most: of the rows that it changed, or of those not done."""
    if state["generate_ai_content"]:
        return state["ai_failed"] + state["ai_left"]
    return state["inserted"] + state["updated"]


def _allows(name: ActionName, state: ImportState) -> bool:
    if name == "generate_ai" and state["import_type"] in _WITHOUT_TEXTS:
        return False
    return state["status"] in ACTIONS[name].statuses


async def act(gateway: Gateway, name: ActionName, state: ImportState, account: str) -> ImportState:
    """Does it. Raises Problem 409 if the state does not allow it."""
    if not _allows(name, state):
        raise Problem(
            409,
            "not-allowed-now",
            f"« {ACTIONS[name].label} » n'est pas possible : l'import est {state['status']}.",
            import_status=state["status"],
        )
    if name == "retry":
        return await _retry(gateway, state, account)
    async with gateway.acting.turn(account):
        return await child_answer(
            gateway.children.run(
                tasks.request_action,
                gateway.settings,
                state["id"],
                name,
                account,
                seconds=_ACTION_SECONDS,
            )
        )


async def _retry(gateway: Gateway, state: ImportState, account: str) -> ImportState:
    """Answers when the child has an id; its publishing goes on. Where this gateway dies in the
    middle of it, the same retry again goes on with the same child."""
    named: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def listen(import_id: str) -> None:
        if not named.done():
            named.set_result(import_id)

    async def publish() -> str:
        async with gateway.retrying.turn(account):
            child: str = await gateway.children.run(
                tasks.retry,
                gateway.settings,
                gateway.spool.folder,
                state["id"],
                account,
                seconds=gateway.limits.hard_limit_seconds,
                listen=listen,
            )
            return child

    publishing = asyncio.create_task(publish())
    gateway.retries.add(publishing)
    publishing.add_done_callback(gateway.retries.discard)
    publishing.add_done_callback(_logged)
    await asyncio.wait({publishing, named}, return_when=asyncio.FIRST_COMPLETED)
    child = named.result() if named.done() else await child_answer(publishing)
    submitted = new_state(
        import_type=state["import_type"],
        file_name=state["file_name"],
        file_sha256=state["file_sha256"],
        generate_ai_content=state["generate_ai_content"],
        id=child,
        parent=state["id"],
        uploaded_by=account,
        created_at=datetime.now(UTC),
    )
    gateway.states.take_new([submitted])
    return submitted


def _logged(publishing: "asyncio.Task[str]") -> None:
    if not publishing.cancelled() and (error := publishing.exception()) is not None:
        _LOGGER.warning("retry not published", action="retry", error=str(error))


async def child_answer(answer: Awaitable[T]) -> T:
    """What a child process answers. Raises Problem 409 or 503."""
    try:
        return await answer
    except RefusedError as refusal:
        raise Problem(409, refusal.code, refusal.message) from refusal
    except (tasks.AwayError, ChildDiedError, TimeoutError) as error:
        raise Problem(
            503, "kafka-away", "Kafka ne répond pas : réessayez dans un instant."
        ) from error
