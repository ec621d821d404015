"""Markdown that pages are made of."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, with what would end a cell escaped."""
    lines = [header, ["---"] * len(header), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def with_part(page: str, name: str, part: str) -> str:
    """The page with its generated part of this name anew; the rest is written by hand."""
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n\n{part}\n\n{end}{tail}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
