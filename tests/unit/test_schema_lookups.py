"""What a registry that hangs holds up, and what a registry that was restored changes."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from structlog.testing import capture_logs

from processors.kafka.batch import Batch
from processors.rows.merge.naf_table import Naf
from processors.rows.writer import Validator
from processors.worker.schema_watch import SchemaWatch, SubjectEncoder
from schemas.codec.framing import Decoder, Encoder, RowDecoder, load
from schemas.codec.schema import Schema, SchemaUnknownError
from schemas.import_types import VILLE
from schemas.runtime.registry import RegistryUnavailableError
from tests.unit.test_foreign_schemas import CITY, value
from tests.unit.test_validation import record

OURS, NEWER = 1, 2
WAIT_SECONDS = 20.0
"""How long what must not wait may take on a machine that is busy."""


class Hanging:
    """A registry that answers when it is let go: `record` with its fields the other way round."""

    def __init__(self, record: str = "ville_row") -> None:
        self.go = threading.Event()
        self.newer = reordered(record)

    def schema(self, schema_id: int) -> Schema:
        self.go.wait(2 * WAIT_SECONDS)
        return self.newer


def reordered(record: str) -> Schema:
    return {**load(record), "fields": list(reversed(load(record)["fields"]))}


def batch(schema_id: int) -> Batch:
    schema = reordered("ville_row") if schema_id == NEWER else load("ville_row")
    one: ConsumerRecord = record(value(schema, CITY, schema_id), b"rennes-35000")
    return Batch("fox.rows.ville", one.partition, 0, 1, [one], object())


def test_a_registry_that_hangs() -> None:
    """Seeks find a thread, and partitions whose schema is known are validated, however many wait."""
    hanging = Hanging()
    validate = Validator(VILLE, RowDecoder("ville_row", hanging, OURS), 4, "off")

    async def scene() -> None:
        waiting = [asyncio.create_task(validate(batch(NEWER))) for _ in range(100)]
        try:
            await asyncio.sleep(0)
            async with asyncio.timeout(WAIT_SECONDS):
                assert await asyncio.to_thread(lambda: "sought") == "sought"
                assert len((await validate(batch(OURS))).rows) == 1
            assert not any(task.done() for task in waiting)
        finally:
            hanging.go.set()
        assert {len(validated.rows) for validated in await asyncio.gather(*waiting)} == {1}

    asyncio.run(scene())


class Table:
    """A Faust app and its one table, which holds what is received."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def GlobalTable(self, *_: object, **__: object) -> "Table":  # noqa: N802 - Faust's name
        return self

    def topic(self, *_: object, **__: object) -> None:
        """The changelog: nothing is read from it here."""


def test_a_label_that_the_registry_is_asked_for() -> None:
    """The event loop goes on meanwhile. What is received after `ready` counts from the next one on."""
    hanging, table = Hanging("naf_reference"), Table()
    naf = Naf(table, "reference.naf", Decoder("naf_reference", hanging, OURS), "rev2")
    row: dict[str, list[str | None]] = {
        "naf_code": ["62.01Z"],
        "naf_2025": [None],
        "naf_libelle": [None],
    }

    def receive(label: str, schema_id: int = OURS) -> None:
        schema = hanging.newer if schema_id == NEWER else load("naf_reference")
        stored = {"libelle": label, "sous_categorie": "developpement-web"}
        table.data[b"62.01Z"] = value(schema, stored, schema_id)

    def labels() -> object:
        _, __, own = naf.activities(row)
        return own

    async def scene() -> None:
        receive("Programmation")
        await naf.ready()
        assert labels() == ["Programmation"]

        receive("Programmation informatique", NEWER)
        ready = asyncio.create_task(naf.ready())
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await asyncio.sleep(0.05)
            assert (ready.done(), labels()) == (False, ["Programmation"])
        finally:
            hanging.go.set()
        await ready
        assert labels() == ["Programmation informatique"]

        table.data[b"62.01Z"] = b"not a record"
        await naf.ready()
        assert labels() == [None]
        table.data.clear()
        await naf.ready()
        assert labels() == [None]

    asyncio.run(scene())


class Restored:
    """A registry whose ids may change their meaning."""

    def __init__(self) -> None:
        self.ids: dict[int, Any] = {OURS: load("ville_row")}
        self.away = False

    def schema(self, schema_id: int) -> Schema:
        if self.away:
            raise RegistryUnavailableError("away")
        if schema_id not in self.ids:
            raise SchemaUnknownError(str(schema_id))
        found: Schema = self.ids[schema_id]
        return found

    def schema_id(self, _: str, schema: Schema) -> int:
        if self.away:
            raise RegistryUnavailableError("away")
        for schema_id, held in self.ids.items():
            if held == schema:
                return schema_id
        raise SchemaUnknownError("not there")


def renumber(registry: Restored) -> None:
    """A restore: id 1 is somebody else's now, and ours is 2."""
    registry.ids = {OURS: reordered("ville_row"), NEWER: load("ville_row")}


def lose(registry: Restored) -> None:
    registry.ids = {}


def fall(registry: Restored) -> None:
    registry.away = True


@pytest.mark.parametrize(
    ("happens", "logged", "id_now"),
    [
        (lambda _: None, [], OURS),
        (renumber, ["schema_changed", "schema_changed"], NEWER),
        (lose, ["schema_lost"], OURS),
        (fall, ["schemas_unchecked"], OURS),
    ],
    ids=["nothing", "restored", "lost", "away"],
)
def test_what_ids_mean(happens: Callable[[Restored], None], logged: list[str], id_now: int) -> None:
    """A running worker notices that an id means something else; what is lost or away stays known."""
    registry: Any = Restored()
    decoder = Decoder("ville_row", registry, OURS)
    encoder = Encoder("ville_row", OURS)
    watch = SchemaWatch(
        registry, [decoder], [SubjectEncoder("fox.rows.ville-value", "ville_row", encoder)]
    )
    old = value(load("ville_row"), CITY, OURS)
    assert decoder.decode(old)["nom"] == "Rennes"

    happens(registry)
    with capture_logs() as logs:
        watch.look()
        watch.look()

    assert [entry["action"] for entry in logs][: len(logged)] == logged
    assert encoder.schema_id == id_now
    assert encoder.encode(CITY)[:5] == b"\0" + id_now.to_bytes(4, "big")
    now = registry.ids.get(OURS, load("ville_row"))
    assert decoder.decode(value(now, CITY, OURS))["nom"] == "Rennes"


def test_our_own_schema_is_known_from_the_start() -> None:
    """A worker that starts with its registry, and loses it then, reads what is published to it."""
    registry: Any = Restored()
    registry.away = True

    decoder = RowDecoder("ville_row", registry, OURS)

    assert decoder.knows([value(load("ville_row"), CITY, OURS)])
