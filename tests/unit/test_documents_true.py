"""What pages say of the code is so: each link, command, option, variable, file, test and name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import checking

PAGES = checking.pages()


def link_check(page: Path) -> Callable[[str], list[str]]:
    return lambda text: checking.links(page, text)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(checking.ROOT)))
def test_the_page_tells_the_truth(page: Path) -> None:
    """Who renames or removes what a page names is told which page."""
    text = page.read_text(encoding="utf-8")
    checks = {
        "links": link_check(page),
        "make": checking.targets,
        "commands": checking.commands,
        "variables": checking.variables,
        "tests": checking.tests,
        "paths": checking.paths,
        "modules": checking.modules,
        "names": checking.names,
        "addresses": checking.addresses,
    }
    found = {name: check(text) for name, check in checks.items()}

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("check", "text", "wrong"),
    [
        (link_check(checking.ROOT / "README.md"), "[a](docs/nothing.md)", "docs/nothing.md"),
        (link_check(checking.ROOT / "README.md"), "[a](docs/errors.md#no)", "docs/errors.md#no"),
        (checking.targets, "`make coffee`", "coffee"),
        (checking.commands, "`foxstream-worker brew`", "foxstream-worker brew"),
        (checking.commands, "```\nfoxstream list --tea 1\n```", "foxstream list --tea"),
        (checking.commands, "`--coffee`", "--coffee"),
        (checking.variables, "`FOX_TEA`", "FOX_TEA"),
        (checking.tests, "`test_of_nothing`", "test_of_nothing"),
        (checking.paths, "`processors/tea.py`", "processors/tea.py"),
        (checking.paths, "`tea.sql`", "tea.sql"),
        (checking.modules, "`python -m tests.tea`", "tests.tea"),
        (checking.names, "`fox_tea_total`", "fox_tea_total"),
        (checking.names, "`ingest.tea`", "ingest.tea"),
        (checking.addresses, "`/api/imports/ID/brew/`", "/api/imports/ID/brew/"),
        (checking.addresses, "`/api/imports/ID/tea`", "/api/imports/ID/tea"),
    ],
)
def test_what_is_not_so_is_found(check: Callable[[str], list[str]], text: str, wrong: str) -> None:
    """Each check can fail."""
    assert check(text) == [wrong]


def test_what_is_so_is_not_found() -> None:
    """Forms that pages use: prefixes, choices, arguments, comments."""
    text = """`FOX_AI_` `make demo` `foxstream import FILE --type ville` `--policy overwrite`

```
.venv/bin/foxstream errors <id> --output erreurs.csv   # --no option
foxstream-worker run rows
eval "$(.venv/bin/foxstream-local env)"
kafka-get-offsets.sh --time -2      # or `--time -1`
```
"""

    assert checking.commands(text) == checking.variables(text) == checking.targets(text) == []


def test_headings_are_found_as_the_site_makes_them() -> None:
    """Accents stay, code and punctuation go."""
    text = "# Catégories, `run`!\n\n```\n# no heading\n```\n"

    assert checking.anchors(text) == {"catégories-run"}


def test_decisions_are_numbered_and_listed() -> None:
    """From 1 on without a gap, the number in the file's name and title, and each in the list."""
    folder = checking.ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(folder.glob("[0-9]*.md"))
    titles = [page.read_text(encoding="utf-8").partition("\n")[0] for page in pages]

    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [int(title.split()[1].rstrip(".")) for title in titles] == list(range(1, len(pages) + 1))
    assert [page.name for page in pages if page.name not in listed] == []
