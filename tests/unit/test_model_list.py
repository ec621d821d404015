"""What a provider's list says of the model that is asked."""

from datetime import date
from typing import Any

import pytest

from processors.texts.server.failures import CallError
from processors.texts.server.model_list import Notice, notice
from processors.texts.server.provider import Provider
from tests.openai_server import ScriptedOpenAI

DAY = date(2027, 3, 1)


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ({"id": "m"}, Notice(True, None)),
        ({"id": "models/m"}, Notice(True, None)),
        ({"id": "m:latest"}, Notice(True, None)),
        ({"id": "m-mini"}, Notice(False, None)),
        ({"id": None}, Notice(False, None)),
        ({"id": "m", "shutdown_date": "2027-03-01"}, Notice(True, DAY)),
        ({"id": "m", "shutdown_date": None}, Notice(True, None)),
        ({"id": "m", "deprecation": "2027-03-01T12:00:00Z"}, Notice(True, DAY)),
        ({"id": "m", "deprecation": {"fine_tune": 1, "inference": 1803859200}}, Notice(True, DAY)),
        ({"id": "m", "expiration_date": 1803859200}, Notice(True, DAY)),
        ({"id": "m", "deprecation": "soon"}, Notice(True, None)),
        ({"id": "m", "deprecation": True}, Notice(True, None)),
        ({"id": "m", "deprecation_date": 1e300}, Notice(True, None)),
    ],
)  # fmt: skip
def test_what_is_listed(listed: dict[str, Any], found: Notice) -> None:
    """The model's own entry counts, by any of the names that providers have for its last day."""
    assert notice([{"id": "other", "shutdown_date": "2026-01-01"}, listed], "m") == found


def test_a_server_without_a_list() -> None:
    """Nothing is known then but what the table of prices knows."""
    assert notice(None, "m") == Notice(None, None)
    assert notice([], "gpt-4o-mini") == Notice(None, date(2027, 1, 14))
    assert notice([{"id": "gpt-4o-mini"}], "gpt-4o-mini") == Notice(True, date(2027, 1, 14))


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        (b'{"object": "list", "data": [{"id": "m", "shutdown_date": null}, 7]}', ["m"]),
        (b'[{"id": "m"}]', ["m"]),
        (b'{"models": []}', []),
        (b'{"data": null}', []),
        (b"<html>", None),
        (None, None),
    ],
)
async def test_a_list_in_every_shape(
    answer: bytes | None, ids: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything but a list counts as an empty one; a server without a list fails only this call."""
    monkeypatch.setenv("NO_PROXY", "*")
    with ScriptedOpenAI() as server:
        server.models = answer
        provider = Provider(lambda: "sk-test", server.url, 20.0)
        try:
            found = [each["id"] for each in await provider.models()]
        except CallError:
            found = None
        await provider.close()

    assert found == ids
