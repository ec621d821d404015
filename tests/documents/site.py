"""Hooks of mkdocs: what `docs/` needs to be a site that stands alone (mkdocs.yml).

README, CHANGELOG and CONTRIBUTING become pages; files of the repository that pages link to come
along; mermaid.js is taken from an installed package, so that nothing is loaded from elsewhere.
"""

import re
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

PAGES = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
"""Pages of the site that stand in the repository's root."""

SOURCE = "source"
"""Folder of the site for files of the repository."""

_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leaves out of the navigation what is not there."""
    config.nav = [_present(entry, Path(config.docs_dir)) for entry in config.nav or []]
    return config


def _present(entry: dict[str, list[Any]], docs: Path) -> dict[str, list[Any]]:
    return {
        title: [found for page in pages for found in _found(page, docs)]
        for title, pages in entry.items()
    }


def _found(page: Any, docs: Path) -> list[Any]:
    if isinstance(page, dict):
        ((title, folder),) = page.items()
        return [
            {
                title: [
                    f"{folder}{file.name}"
                    for file in sorted((docs / folder).glob("*.md"), key=_place)
                ]
            }
        ]
    return [page] if page in PAGES or (docs / page).exists() else []


def _place(page: Path) -> tuple[bool, str]:
    return page.name != "README.md", page.name


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the root, and mermaid.js."""
    for name, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, "assets/mermaid.js", content=mermaid().read_bytes()))
    return files


def mermaid() -> Path:
    """The script that draws diagrams, from a package that carries it."""
    spec = find_spec("mermaidx")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "assets" / "mermaid.js"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files outside of docs/ become links to copies of them."""
    where = page.file.src_uri
    here = PurePosixPath(PAGES.get(where, f"docs/{where}")).parent

    def moved(link: re.Match[str]) -> str:
        return relpath(
            _target(normpath(here / link[1]), config, files), PurePosixPath(where).parent
        )

    return _LINK.sub(moved, markdown)


def _target(path: str, config: MkDocsConfig, files: Files) -> str:
    """Where the site has a file of the repository, or would have it."""
    for name, source in PAGES.items():
        if path == source:
            return name
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    uri = f"{SOURCE}/{path}"
    if files.get_file_from_path(uri) is None and (ROOT / path).is_file():
        files.append(File.generated(config, uri, content=(ROOT / path).read_bytes()))
    return uri
