"""Which remembered mapping fits the header of a file, and how the file is then read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from producers.mappings.choice import MOST_COLUMNS
from producers.reading import Options, RefusedError
from producers.reading.container.archive import contents_of
from producers.reading.header.columns import LEFT_OUT
from producers.reading.header.fingerprint import fingerprint
from producers.reading.parts.candidates import Candidate, candidates_of
from schemas.import_types import ImportType
from schemas.records import GatewayMapping


def recalled(
    path: Path, import_type: ImportType, options: Options, mappings: Iterable[GatewayMapping]
) -> GatewayMapping | None:
    """The newest of `mappings` for a table of this file, None if the operator says what columns are.

    Raises OSError.
    """
    known = {
        mapping["fingerprint"]: mapping
        for mapping in sorted(mappings, key=lambda each: each["at"])
        if _fits(mapping, import_type)
    }
    if options.columns or not known:
        return None
    found = [
        mapping
        for candidate, line in _header_lines(path, import_type, options)
        if (mapping := known.get(fingerprint(line))) and _is_of(mapping["sheet"], candidate)
    ]
    return max(found, key=lambda each: each["at"], default=None)


def with_mapping(options: Options, mapping: GatewayMapping | None) -> Options:
    """The options as if the operator had given what the mapping says."""
    if mapping is None:
        return options
    sheet = options.sheet or mapping["sheet"]
    return replace(options, columns=mapping["columns"], sheet=sheet)


def _fits(mapping: GatewayMapping, import_type: ImportType) -> bool:
    """Whether it is of this type, with fields that the type still has."""
    fields = {LEFT_OUT, *import_type.field}
    return mapping["import_type"] == import_type.name and fields.issuperset(
        mapping["columns"].values()
    )


def _is_of(sheet: str | None, candidate: Candidate) -> bool:
    return candidate.visible if sheet is None else candidate.name == sheet


def _header_lines(
    path: Path, import_type: ImportType, options: Options
) -> Iterator[tuple[Candidate, Sequence[str]]]:
    """Lines that may be the header of a table."""
    try:
        for candidate in candidates_of(contents_of(path).members, path.name, import_type, options):
            if candidate.wanted:
                yield from (
                    (candidate, line)
                    for line in _lines(candidate)
                    if sum(map(bool, line)) <= MOST_COLUMNS
                )
    except RefusedError:
        return  # the reader says why


def _lines(candidate: Candidate) -> Sequence[Sequence[str]]:
    try:
        return [candidate.recognise().columns.names]
    except RefusedError as reason:
        return reason.lines
