"""What can be set does something."""

import ast
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

import producers.settings
from deploy.local.local_settings import LocalSettings
from processors.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        (Settings, "processors"),
        (producers.settings.Settings, "producers"),
        (producers.settings.GatewaySettings, "producers"),
        (LocalSettings, "deploy"),
    ],
)
def test_b19_every_setting_is_read(kind: type[BaseSettings], folder: str) -> None:
    """B19: each field is an attribute that something asks for."""
    read = {
        node.attr
        for path in [*(ROOT / folder).rglob("*.py"), *(ROOT / "schemas").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }

    assert kind.model_fields.keys() - read == set()
