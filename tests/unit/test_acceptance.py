"""From a received file to an import, while others come."""

import json
import threading
from collections.abc import Callable, Iterator, ValuesView
from datetime import UTC, datetime
from time import time
from typing import Any
from uuid import uuid4

import pytest

from producers.gateway.processes.tasks import CrowdedError
from producers.kafka.import_state import new_state
from producers.reading.header.columns import Header
from producers.reading.header.fingerprint import fingerprint
from producers.reading.header.stored_header import stored
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


FULL, BLANK = (
    b"siren;nom;telephone\n732829320;A;0299000001\n",
    b"siren;nom;telephone\n732829320;A;\n",
)


@pytest.mark.parametrize(
    ("content", "fields", "status"),
    [
        (FULL, {"policy": "overwrite"}, 202),
        (BLANK, {"policy": "merge"}, 202),
        (BLANK, {"policy": "overwrite"}, 409),
        (BLANK, {"policy": "overwrite", "confirm_overwrite": "false"}, 409),
        (BLANK, {"policy": "overwrite", "confirm_overwrite": "true"}, 202),
        (b"foo;bar\n1;2\n", {"policy": "overwrite"}, 202),
    ],
)
async def test_what_overwrite_clears_is_confirmed(
    application: Make, content: bytes, fields: dict[str, Any], status: int
) -> None:
    """If it clears nothing, or the file cannot be read, there is nothing to confirm."""
    made = application()

    answer = await made.upload(content, **fields)

    assert answer.status == status, answer.body
    if status == 409:
        document = json.loads(answer.body)
        assert (document["code"], document["blank_cells"]) == (
            "overwrite-unconfirmed",
            {"telephone": 1},
        )
        assert made.spool.pending() == []


def refused(made: Application, import_id: str, code: str = "overwrite-unconfirmed") -> None:
    """As the import log says what became of the file when it was published."""
    spooled = made.spool.find(import_id)
    assert spooled is not None
    made.spool.published(import_id)
    error = {"code": code, "message": "1 cellule sans valeur"}
    made.gateway.states.by_id[import_id] = new_state(
        id=import_id, status="ERROR", error=error, created_at=spooled.when, version=9,
        import_type="ENTREPRISE", file_name="a.csv", file_sha256=spooled.sha256,
        uploaded_by="tests", options={"policy": "overwrite"},
    )  # fmt: skip


async def test_an_import_is_confirmed_without_its_file(application: Make) -> None:
    """That of a resumable upload cannot be asked before: it is imported anew from the file that is kept."""
    made = application()
    where = (await made.create(len(BLANK), policy="overwrite")).headers["location"]
    sent = await made.send(where, 0, [BLANK])
    first = sent.headers["location"].split("/")[-2]
    confirm = f"/api/imports/{first}/confirm_overwrite/"
    assert (await made.ask("POST", confirm)).status == 409, "nothing is known of it yet"
    refused(made, first, "time-limit")
    assert (await made.ask("POST", confirm)).status == 409, "it failed for another reason"
    refused(made, first)

    answer = await made.ask("POST", confirm)

    assert answer.status == 202, answer.body
    second = json.loads(answer.body)["id"]
    spooled = made.spool.find(second)
    assert spooled is not None
    assert (spooled.overwrite_confirmed, spooled.policy, spooled.max_rows) == (
        True, "overwrite", None,
    )  # fmt: skip
    assert made.spool.data(spooled).read_bytes() == BLANK
    assert made.spool.pending() == [second]
    again = await made.ask("POST", confirm)
    assert (again.status, json.loads(again.body)["import_id"]) == (409, second)
    assert list((made.spool.folder / "incoming").iterdir()) == []


async def test_a_confirmation_of_a_file_that_is_gone(application: Make) -> None:
    """The person is asked to send it again."""
    made = application()
    where = (await made.create(len(BLANK), policy="overwrite")).headers["location"]
    first = (await made.send(where, 0, [BLANK])).headers["location"].split("/")[-2]
    refused(made, first)
    made.spool.clean(0.0, now=time() + 9e6)

    answer = await made.ask("POST", f"/api/imports/{first}/confirm_overwrite/")

    assert (answer.status, json.loads(answer.body)["code"]) == (410, "file-gone")


async def test_an_upload_with_a_remembered_mapping(application: Make) -> None:
    """Its columns are in the spool as if they had been sent; columns that are sent hold."""
    made = application()
    content = b"Ref tiers;Libelle long\n732829320;A\n"
    columns = {"Ref tiers": "siren", "Libelle long": "nom"}
    mapping = {
        "id": "m", "account": "tests", "import_type": "ENTREPRISE", "columns": columns,
        "fingerprint": fingerprint([*columns]), "sheet": None, "at": datetime(2026, 3, 2, tzinfo=UTC),
    }  # fmt: skip
    made.gateway.take_mappings({"m": mapping})

    recalled = json.loads((await made.upload(content)).body)["id"]
    sent = json.loads((await made.upload(content, columns='{"Ref tiers": "siret"}')).body)["id"]

    first, second = made.spool.find(recalled), made.spool.find(sent)
    assert first is not None
    assert second is not None
    assert first.options["columns"] == columns
    assert first.remembered == {"id": "m", "account": "tests", "at": "2026-03-02T00:00:00Z"}
    assert (second.options["columns"], second.remembered) == ({"Ref tiers": "siret"}, None)
    again = await made.upload(content)
    assert again.status == 409, again.body


@pytest.mark.parametrize("import_type", ["ENTREPRISE", ""])
async def test_a_correction_is_checked_beside_its_import(
    application: Make, import_type: str
) -> None:
    """With its columns as the import had them, not as their names say today."""
    made = application()
    parent = str(uuid4())
    sources = {"siren": ((0,),), "nom": ((1,),)}
    made.gateway.states.by_id[parent] = new_state(
        id=parent,
        import_type="ENTREPRISE",
        header=["Réf", "Quoi", "nom"],
        options={"understood": json.dumps(stored(Header([], sources)))},
    )
    report = f"Réf;Quoi;nom;_line;_import\n732829320;A;B;2;{parent}\n"

    answer = await made.upload(
        report.encode(), path="/api/imports/preview/", import_type=import_type
    )

    found = json.loads(answer.body)
    assert (found["refusal"], found["corrects"]) == (None, parent)
    assert found["mapping"] == {"Réf": "siren", "Quoi": "nom"}


async def test_no_memory_for_a_first_look(
    application: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that would have to be read first is to come again, not taken as it is."""
    made = application()

    async def crowded(*_: object, **__: object) -> None:
        raise CrowdedError("Trop de fichiers à la fois.")

    monkeypatch.setattr(made.gateway.children, "run", crowded)
    answer = await made.upload(BLANK, policy="overwrite")

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert made.spool.pending() == []
