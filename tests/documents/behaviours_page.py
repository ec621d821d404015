"""docs/enrichment.md: what foxstream does with what providers answer, made of the tests' table."""

from tests.documents.markdown import table, with_part
from tests.model_outcomes import Then
from tests.provider_behaviours import BEHAVIOURS, Behaviour


def filled(text: str) -> str:
    """The page with its generated part anew."""
    return with_part(text, "behaviours", _behaviours())


def _behaviours() -> str:
    header = ("provider", "what it answers", "what foxstream does", "code", "spent", "source")
    return table(header, map(_row, BEHAVIOURS))


def _row(each: Behaviour) -> tuple[str, ...]:
    then, code, spent = each.outcome.then, each.outcome.code, each.outcome.spent
    does = then.value if then is Then.STORED else f"**{then.value}**"
    return (
        each.provider,
        each.does,
        does,
        f"`{code}`" if code else "",
        spent.value,
        _link(each.source),
    )


def _link(source: str) -> str:
    if source.startswith("tests/"):
        return f"`{source}`"
    address = source if source.startswith("https:") else f"https://{source}"
    found, _, __ = source.removeprefix("https://").partition("#")
    name = found.removeprefix("github.com/").replace("/issues/", "#").replace("/pull/", "#")
    return f"[{name if '#' in name else found.partition('/')[0]}]({address})"
