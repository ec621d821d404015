"""The site of docs/ builds, stands alone, and its diagrams can be drawn."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mermaidx import render

from tests.documents import checking

DIAGRAM = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
DIAGRAMS = [
    pytest.param(source, id=f"{page.stem}-{number}")
    for page in checking.pages()
    for number, source in enumerate(DIAGRAM.findall(page.read_text(encoding="utf-8")), 1)
]
ELSEWHERE = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?:[^\"> ]+)")


@pytest.mark.parametrize("source", DIAGRAMS)
def test_the_diagram_can_be_drawn(source: str) -> None:
    """By mermaid itself, of the version that the site loads."""
    assert render(source).svg().startswith("<svg")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a broken link or a page outside of the navigation fails the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=checking.ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    """Pages of the root too, and files of the repository that pages link to."""
    for page in (checking.ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").exists()
    for name in ("index.html", "changelog.html", "source/schemas/avro/ville_row.avsc"):
        assert (site / name).exists()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """It can be read without a network, and tells nobody who reads it."""
    loaded = {
        (page.name, address)
        for page in site.rglob("*.html")
        for address in ELSEWHERE.findall(page.read_text(encoding="utf-8"))
        if 'rel="canonical"' not in address
    }

    assert loaded == set()
    assert (site / "assets" / "mermaid.js").stat().st_size > 1_000_000
