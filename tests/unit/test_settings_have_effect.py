"""Each setting is changed, and its effect is seen."""

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deploy.local.processes.ports import free_port
from producers.settings import gateway_settings, settings
from schemas.runtime.server_settings import FoxSettings
from tests.documents.settings_page import CENTRAL, NOT_ASKED, READERS
from tests.documents.settings_page import settings as read_by
from tests.effects import gateway, rows, servers, texts
from tests.effects.case import Place, Proven, Seen
from tests.openai_server import Reply, ScriptedOpenAI

ROOT = Path(__file__).parents[2]
CASES = [*servers.CASES, *rows.CASES, *texts.CASES, *gateway.CASES]
SEEN = [case for case in CASES if isinstance(case, Seen)]
PROVEN = [case for case in CASES if isinstance(case, Proven)]


def leaves(kind: type[FoxSettings]) -> set[type[FoxSettings]]:
    below = {leaf for each in kind.__subclasses__() for leaf in leaves(each)}
    return below or {kind}


def test_every_setting_has_a_case() -> None:
    """Of each process that reads it, in each class of settings that there is; no case is of none."""
    assert {kind for kind, _ in READERS} == leaves(FoxSettings)
    wanted = {(s.name, reader) for s in read_by(READERS) for reader in s.readers}
    found = {(case.variable, reader) for case in CASES for reader in case.readers}

    assert found ^ wanted == set()
    assert [case for case in SEEN if case.before == case.after] == []


def test_what_a_process_does_not_ask_for() -> None:
    """Of the producers only the gateway has Sentry told."""
    asking = {
        path.relative_to(ROOT / "producers").parts[0]
        for path in (ROOT / "producers").rglob("*.py")
        if "sentry_dsn" in path.read_text(encoding="utf-8")
    }

    assert {("FOX_SENTRY_DSN", "command")} == NOT_ASKED
    assert asking == {"gateway"}


SPECIFIED = {
    "FOX_GATEWAY_IMPORTS_PER_MINUTE": 10,
    "FOX_AI_REQUESTS_PER_MINUTE": 5,
    "FOX_GATEWAY_MAX_FILE_BYTES": 10 * 1024 * 1024,
    "FOX_GATEWAY_MAX_ROWS": 50_000,
}
"""S6 of the specification: 10 and 5 a minute, 10 MiB, 50,000 rows, and batch sizes."""


def test_the_specifications_values_are_the_defaults() -> None:
    """The page has each of them, and what nobody changes is what was asked for."""
    fields = {s.name: s.fields for s in read_by(READERS)}
    defaults = {name: {field.default for field in fields[name]} for name in SPECIFIED}

    assert defaults == {name: {value} for name, value in SPECIFIED.items()}
    assert {each.variable: each.value for each in CENTRAL} == {**SPECIFIED, "FOX_BATCH_ROWS": None}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("effects")
    with servers.registry(folder) as registry, ScriptedOpenAI() as model:
        model.script = lambda _: Reply(hang=0.3)
        yield Place(folder, model, {"registry": registry, "port": str(free_port())})
    forget()


def filled(what: Any, place: Place) -> Any:
    if isinstance(what, list):
        return [filled(each, place) for each in what]
    return place(what) if isinstance(what, str) else what


def forget() -> None:
    """What a case set is neither in the next one nor in other modules."""
    for cached in (settings, gateway_settings):
        cached.cache_clear()


def see(case: Seen, place: Place) -> Any:
    forget()
    return case.see(place)


@pytest.mark.parametrize("case", SEEN, ids=lambda case: f"{case.variable}-{case.readers[0]}")
def test_a_setting_does_something(
    case: Seen, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it its default is at work, with another value that one."""
    for name in os.environ:
        if name.startswith(("FOX_", "OPENAI_")):
            monkeypatch.delenv(name)
    for name, value in case.given.items():
        monkeypatch.setenv(name, place(value))

    assert see(case, place) == filled(case.before, place)

    for name, value in {**case.along, case.variable: case.value}.items():
        monkeypatch.setenv(name, place(value))

    assert see(case, place) == filled(case.after, place)


@cache
def functions(path: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def variables(path: str, name: str) -> set[str]:
    """What a test, and the fixtures of its module that it takes, set."""
    function = functions(path).get(name)
    if function is None:
        return set()
    found = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant)}
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        keywords = [keyword.arg for keyword in call.keywords if keyword.arg]
        configures = isinstance(call.func, ast.Name) and call.func.id == "configure"
        found |= {f"FOX_AI_{word.upper()}" if configures else word for word in keywords}
    for argument in function.args.args:
        found |= variables(path, argument.arg)
    return {each for each in found if isinstance(each, str)}


@pytest.mark.parametrize("case", PROVEN, ids=lambda case: f"{case.variable}-{case.readers[0]}")
def test_a_test_shows_the_effect(case: Proven) -> None:
    """The test that a case names is there, and sets the variable."""
    path, _, name = case.test.partition("::")

    assert name.startswith("test_")
    assert case.variable in variables(path, name)
