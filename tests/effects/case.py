"""The form of a case: a setting, another value, and what is seen without and with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.openai_server import ScriptedOpenAI


@dataclass(frozen=True)
class Place:
    """What values may name as `{folder}` and so on: files, free ports and the servers of the test."""

    folder: Path
    model: ScriptedOpenAI
    values: Mapping[str, str]

    def __call__(self, text: str) -> str:
        return text.format(folder=self.folder, model=self.model.url, **self.values)


@dataclass(frozen=True)
class Seen:
    """`see` runs the code that reads the setting: it answers `before`, and `after` with `value`.

    `given` are other variables that stand all the time, `along` those that come with the value.
    `readers` are the processes that this is true of, as in docs/settings.md.
    """

    variable: str
    readers: tuple[str, ...]
    value: str
    see: Callable[[Place], Any]
    before: Any
    after: Any
    given: Mapping[str, str] = field(default_factory=dict)
    along: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Proven:
    """`test`, a node id, sets the setting to another value and would fail without its effect."""

    variable: str
    readers: tuple[str, ...]
    test: str


WORKER = ("worker",)
COMMAND = ("command",)
GATEWAY = ("gateway",)
PRODUCERS = (*COMMAND, *GATEWAY)
