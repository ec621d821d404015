"""Texts through kills, in short: `make faults` has a thousand."""

from tests.faults.texts import through_kills
from tests.fix_stack import Site
from tests.openai_server import ScriptedOpenAI


def test_requests_through_two_kills(shop: Site, model: ScriptedOpenAI) -> None:
    """Each text is stored once; what is asked twice was in flight at a kill; the rate holds."""
    assert through_kills(shop, model, 240) == []
