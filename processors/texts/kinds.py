"""The kinds of texts: what is asked, what is answered, and which columns of the site it fills."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processors.texts.content.answers import Answer, Description, Presentation, Synthesis
from processors.texts.content.quality import Bounds, problems

Content = dict[str, Any]
"""A checked answer as JSON."""

_ONE, _SHORT, _LONG = Bounds(2), Bounds(3), Bounds(8)
_NOTE = Bounds(2, words=2)

LEAST_STORED = 50
"""Characters of a text on the site: a shorter one says nothing."""


@dataclass(frozen=True)
class Kind:
    """`prompt` names the file of its instructions, whose number rises with every change.

    `table` holds the entities; `columns` are those that an answer fills, of that table or, for AVIS,
    of the table of syntheses. The query
    `input_NAME` in processors/texts/requests/store.sql returns the model's input. `bounds` limits
    each text of the answer.
    """

    name: str
    table: str
    prompt: str
    answer: type[Answer]
    columns: Mapping[str, str]
    bounds: Mapping[str, Bounds]
    import_type: str
    output_tokens: int = 700

    @property
    def input(self) -> str:
        return f"input_{self.name.lower()}"

    def faults(self, content: Content) -> list[str]:
        """What is wrong with an answer that fits the schema."""
        found = [
            f"{name} : {problem}"
            for name, bounds in self.bounds.items()
            for problem in problems(content[name], bounds)
        ]
        return found + _CHECKS.get(self.name, _nothing)(content)

    def is_poor(self, text: str) -> bool:
        """Whether a text that stands on the site would not be taken today."""
        bounds = next(iter(self.bounds.values()))
        return len(text) < LEAST_STORED or bool(problems(text, bounds))

    def filled(self, content: Content) -> dict[str, str]:
        """Texts by column of the site; the items of a list are one per line."""
        return {column: _text(content[name]) for column, name in self.columns.items()}


def _text(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else "\n".join(value)


def _nothing(_: Content) -> list[str]:
    return []


def _points(content: Content) -> list[str]:
    points: Sequence[str] = content["points_forts"]
    if not 1 <= len(points) <= 5:
        return ["points_forts : 1 à 5 points"]
    return [] if len(set(points)) == len(points) else ["points_forts : un point revient deux fois"]


_CHECKS: Mapping[str, Callable[[Content], list[str]]] = {"AVIS": _points}


def _description(name: str, table: str) -> Kind:
    return Kind(
        name,
        table,
        f"{name.lower()}-1",
        Description,
        {"texte_description_ia": "texte", "meta_description": "meta_description"},
        {"texte": _LONG, "meta_description": _ONE},
        name,
    )


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        _description("CATEGORIE", "category_categorie"),
        _description("SOUS_CATEGORIE", "subcategory_souscategorie"),
        _description("VILLE", "location_ville"),
        Kind(
            "PROLOCALISATION",
            "enterprise_prolocalisation",
            "prolocalisation-1",
            Presentation,
            {
                "texte_long_entreprise": "presentation",
                "zone_description": "zone",
                "meta_description": "meta_description",
            },
            {"presentation": _SHORT, "zone": _ONE, "meta_description": _ONE},
            "ENTREPRISE",
        ),
        Kind(
            "AVIS",
            "enterprise_prolocalisation",
            "avis-1",
            Synthesis,
            {
                "texte_decrypte": "texte",
                "synthese_points_forts": "points_forts",
                "tendance_recente": "tendance",
                "bilan_synthetique": "bilan",
            },
            {"texte": _ONE, "tendance": _NOTE, "bilan": _NOTE},
            "ENTREPRISE",
        ),
    )
}
