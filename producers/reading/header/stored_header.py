"""How a header was understood, as the state of an import holds it: another release reads no more into it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from producers.reading.header.columns import Header, recognise
from producers.reading.header.labels import known
from schemas.import_types import VILLE, ImportType
from schemas.records import ImportState


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


def header_of(state: ImportState, import_type: ImportType) -> Header:
    """How the columns of an import's file were understood. Raises RefusedError."""
    options = state["options"]
    mapping: dict[str, str] = json.loads(options.get("columns") or "{}")
    requested = json.loads(options.get("told") or "{}").get("columns") or {}
    assigned = json.loads(options.get("assigned") or "{}")
    if "understood" in options:
        return restored(state["header"], json.loads(options["understood"]), assigned)
    if "assigned" not in options:  # the previous release
        assigned = {
            name: field
            for name, field in mapping.items()
            if field == "naf_code" and known(import_type, [name]) == {"naf_libelle"}
        }
    listed = None
    if import_type is VILLE and "code_postal_principal" not in mapping.values():
        listed = next((at for at, name in enumerate(state["header"]) if name in mapping), None)
    header = recognise(import_type, state["header"], assigned | requested, city_list=listed)
    return replace(header, assigned=assigned)
