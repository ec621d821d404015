"""From a received file to an import, while others come."""

import threading
from collections.abc import Callable, Iterator, ValuesView
from typing import Any
from uuid import uuid4

from producers.kafka.import_state import new_state
from schemas.records import ImportState
from tests.fix_application import Application

Make = Callable[..., Application]


class Busy(dict[str, ImportState]):
    """What a busy gateway knows: whenever another thread looks at an import, one more comes."""

    def __init__(self) -> None:
        self._owner = threading.current_thread()
        for _ in range(3):
            self._come()

    def _come(self) -> None:
        import_id = str(uuid4())
        self[import_id] = new_state(id=import_id, file_sha256="0")

    def values(self) -> Any:
        """One by one, as loops take them."""
        return _Values(self)


class _Values:
    def __init__(self, states: Busy) -> None:
        self._states = states

    def __iter__(self) -> Iterator[ImportState]:
        for state in ValuesView(self._states):
            yield state
            if threading.current_thread() is not self._states._owner:
                self._states._come()


async def test_uploads_while_imports_come(application: Make) -> None:
    """What is known of imports belongs to the event loop: no thread looks through it."""
    made = application()
    made.gateway.states.by_id = Busy()

    plain = await made.upload(b"siren;nom\n1;A\n")
    where = await made.begin(3)
    resumable = await made.send(where, 0, [b"a;b"])

    assert (plain.status, resumable.status) == (202, 204), (plain.body, resumable.body)
