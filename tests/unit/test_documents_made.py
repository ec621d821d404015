"""Pages that are made of the code are those of this code, and leave nothing out."""

import re
from pathlib import Path

import pytest

from tests.documents import errors_page, settings_page
from tests.documents.pages import DOCS, written

ERRORS = (DOCS / "errors.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ((?:`[a-z0-9-]+`(?:, )?)+) \| ([^|]*)", re.MULTILINE)


@pytest.mark.parametrize("path", written(), ids=lambda path: path.name)
def test_the_page_is_current(path: Path) -> None:
    """A setting, a command or a code that changes changes its page: `python -m tests.documents`."""
    assert path.read_text(encoding="utf-8") == written()[path]


def everything() -> list[settings_page.Setting]:
    return [
        s
        for kind in (settings_page.READERS, settings_page.LOCAL)
        for s in settings_page.settings(kind)
    ]


def test_every_setting_is_described() -> None:
    """Nobody has to read code to know what a setting does."""
    assert [setting.name for setting in everything() if not setting.description] == []


def test_a_setting_has_one_default() -> None:
    """Workers and commands that are not told agree."""
    assert {s.name: s.defaults for s in everything() if len(s.defaults) > 1} == {}


def test_what_is_specified_can_be_set() -> None:
    """Each value of the specification stands beside a setting that exists."""
    assert settings_page.SPECIFIED.keys() - {setting.name for setting in everything()} == set()


def coded(text: str) -> set[str]:
    return {code for row in ROW.findall(text) for code in re.findall(r"`([a-z0-9-]+)`", row[0])}


def test_every_code_is_explained() -> None:
    """Whatever a row, a file, a command or the API answers with stands in docs/errors.md."""
    told = coded(ERRORS)

    assert errors_page.codes() - told == set()
    assert errors_page.problems().keys() - told == set()


def test_no_code_is_invented() -> None:
    """What docs/errors.md explains can happen."""
    ours = errors_page.codes() | errors_page.problems().keys() | errors_page.words()

    assert coded(ERRORS) - ours - {"not-found", "method-not-allowed"} == set()


def test_statuses_are_those_of_the_code() -> None:
    """A code of the API stands with each status that it comes with."""
    api = ERRORS[ERRORS.index("## The API") :]
    told = {
        code: {int(status) for status in re.findall(r"\d+", statuses)}
        for cells, statuses in ROW.findall(api)
        for code in re.findall(r"`([a-z0-9-]+)`", cells)
    }
    wrong = {c: s for c, s in errors_page.problems().items() if told.get(c) != s}

    assert wrong == {}
