"""How a header was understood, as the state of an import holds it: another release reads no more into it."""

from collections.abc import Mapping, Sequence
from typing import Any

from producers.reading.header.columns import Header


def stored(header: Header) -> dict[str, Any]:
    """For JSON, without the names and what they were assigned, which the state holds beside it."""
    return {
        "sources": header.sources,
        "cities": header.cities,
        "coordinates": header.coordinates,
        "parents": header.parents,
        "activity": header.activity,
        "nomenclatures": header.nomenclatures,
        "rivals": sorted(header.rivals),
        "position": header.position,
    }


def restored(
    names: Sequence[str], understood: Mapping[str, Any], assigned: Mapping[str, str]
) -> Header:
    """The header of these names, from what `stored` returned."""
    return Header(
        list(names),
        {field: tuple(map(tuple, sources)) for field, sources in understood["sources"].items()},
        cities=understood["cities"],
        coordinates=understood["coordinates"],
        parents=tuple(understood["parents"]),
        activity=understood["activity"],
        nomenclatures=tuple(understood["nomenclatures"]),
        rivals=frozenset(understood["rivals"]),
        position=tuple(understood["position"]),
        assigned=assigned,
    )
