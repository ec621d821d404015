"""What docs/security.md and docs/threat-model.md name is there."""

import re
from pathlib import Path

import pytest

from deploy.kafka.acls import rights
from schemas.runtime.server_settings import ServerSettings
from tests.unit.test_image import pins, variables

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
THREATS = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")


def named() -> list[tuple[str, str]]:
    """Files and, where one is named, a test in each; `::name` is of the file before it."""
    found, file = [], ""
    for path, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", THREATS):
        file = path or file
        if path or test:
            found.append((file, test))
    return found


@pytest.mark.parametrize(("file", "test"), named())
def test_every_test_of_the_threat_model_is_there(file: str, test: str) -> None:
    """So that a row of its tables shows something."""
    assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8")


def test_paths_are_there() -> None:
    """Files and folders of the repository that either page names."""
    paths = set(re.findall(r"\b((?:deploy|docs|processors)/[\w./-]*\w)", SECURITY + THREATS))

    assert {path for path in paths if not (ROOT / path).exists()} == set()
    assert len(paths) >= 10


def test_every_setting_of_connections_is_told() -> None:
    """And no other is."""
    told = set(re.findall(r"`((?:FOX|OPENAI)_[A-Z_]+)`", SECURITY))
    prefixed = {f"FOX_{name}".upper() for name in ServerSettings.model_fields}

    assert prefixed - {"FOX_KAFKA_BOOTSTRAP", "FOX_TOPIC_PREFIX"} <= told
    assert told <= variables()


def test_every_user_and_role_is_told() -> None:
    """Of Kafka and of PostgreSQL."""
    roles = re.findall(r"\bfoxstream_[a-z]+", (ROOT / "deploy/postgres/roles.sql").read_text())
    for name in {*roles, *(right.user for right in rights())}:
        assert f"`{name}`" in SECURITY, name


def test_packages_that_strangers_reach_are_of_the_image() -> None:
    """Each package of the last table is one that the image has."""
    table = SECURITY.rpartition("| package | what reaches it |")[2]
    told = re.findall(r"`([a-z-]+)`", table)

    assert set(told) <= pins("image").keys()
    assert len(told) > 10
