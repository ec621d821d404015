"""NAF rev. 2 and NAF 2025: their codes, their files, and the trades that are carried over."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from processors.errors import ConfigurationError
from processors.operator.naf.naf_carry_over import carried_over
from processors.operator.naf.naf_files import (
    Activity,
    Naf2025,
    Pair,
    read,
    read_naf2025,
    shipped,
)
from processors.operator.naf.naf_reference import combined
from schemas.values.naf import category_of, codes, nomenclature

REV2 = {code: activity.slug for code, activity in read(shipped()).items()}
NAF2025 = read_naf2025()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("62.01Z", "rev2"),
        ("01.11A", "rev2"),
        ("43.99F", "rev2"),
        ("62.10Y", "2025"),
        ("10.71G", "2025"),
        ("96.99L", "2025"),
        ("62.01I", None),
        ("62.01M", None),
        ("62.01z", None),
        ("62.01", None),
        ("", None),
    ],
)
def test_the_last_letter_tells_the_nomenclature(code: str, expected: str | None) -> None:
    assert nomenclature(code) == expected


def test_the_codes_of_both_nomenclatures() -> None:
    """732 and 747, each recognised by its last letter; those of the files that are loaded."""
    by_nomenclature = defaultdict(set)
    for code in codes():
        by_nomenclature[nomenclature(code)].add(code)

    assert by_nomenclature == {"rev2": REV2.keys(), "2025": NAF2025.labels.keys()}
    assert (len(REV2), len(NAF2025.labels)) == (732, 747)


def test_the_divisions_of_naf_2025() -> None:
    """They are those of rev. 2 without 45, so that the categories of divisions hold for both."""
    assert {code[:2] for code in REV2} - {code[:2] for code in NAF2025.labels} == {"45"}
    assert {code[:2] for code in NAF2025.labels} <= {code[:2] for code in REV2}
    assert category_of("62.10Y") == "informatique-et-communication"
    assert category_of("95.31G") == "services-a-la-personne"


def test_the_shipped_correspondence() -> None:
    """INSEE's totals: 1,223 pairs of 732 and 746 codes; 520 with one target, 64 with almost one."""
    pairs = NAF2025.pairs

    assert len(pairs) == 1223
    assert {pair.rev2 for pair in pairs} == REV2.keys()
    assert NAF2025.labels.keys() - {pair.naf2025 for pair in pairs} == {"46.89Y"}
    certain = [pair.rev2 for pair in pairs if pair.certain]
    assert len(certain) == len(set(certain)) == 520 + 64
    assert max(map(len, NAF2025.labels.values())) == 152


def _sources(pairs: Sequence[Pair]) -> Mapping[str, Mapping[bool, set[str]]]:
    """The trades of the sources of each code, apart by certainty."""
    found: dict[str, dict[bool, set[str]]] = defaultdict(lambda: {True: set(), False: set()})
    for pair in pairs:
        found[pair.naf2025][pair.certain].add(REV2[pair.rev2])
    return found


def test_what_is_carried_over() -> None:
    """702 of 747 codes: a trade that a source has, and none where those that decide disagree."""
    carried = carried_over(REV2, NAF2025.pairs)
    sources = _sources(NAF2025.pairs)

    assert len(carried) == 702
    for code, slug in carried.items():
        assert slug in sources[code][True] | sources[code][False]
    for code in NAF2025.labels.keys() - carried.keys() - {"46.89Y"}:
        assert len(sources[code][True]) > 1 or (
            not sources[code][True] and len(sources[code][False]) > 1
        ), code


def test_a_code_that_corresponds_with_certainty_keeps_its_trade() -> None:
    """Except where another certain source of the same code has another trade: five codes."""
    carried = carried_over(REV2, NAF2025.pairs)

    assert {
        pair.naf2025 for pair in NAF2025.pairs if pair.certain and pair.naf2025 not in carried
    } == {code for code, found in _sources(NAF2025.pairs).items() if len(found[True]) > 1}
    for pair in NAF2025.pairs:
        if pair.certain and pair.naf2025 in carried:
            assert carried[pair.naf2025] == REV2[pair.rev2]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([("a", True)], "a"),
        ([("a", True), ("a", True)], "a"),
        ([("a", True), ("b", True)], None),
        ([("a", True), ("a", True), ("b", True)], None),
        ([("a", True), ("b", False)], "a"),
        ([("a", True), ("b", True), ("a", False)], None),
        ([("a", False), ("a", False)], "a"),
        ([("a", False), ("b", False)], None),
        ([("a", False), ("", False)], None),
        ([("a", True), ("", True)], None),
        ([("", True)], None),
        ([], None),
    ],
)
def test_a_trade_is_carried_over(sources: list[tuple[str, bool]], expected: str | None) -> None:
    """If the certain sources, or all where there is none, have one in common."""
    slugs = {str(number): slug for number, (slug, _) in enumerate(sources) if slug}
    pairs = [Pair(str(number), "X", certain) for number, (_, certain) in enumerate(sources)]

    assert carried_over(slugs, pairs).get("X") == expected


def test_no_order_of_pairs_decides() -> None:
    """No trade is that of the pair that came first."""
    assert carried_over(REV2, NAF2025.pairs[::-1]) == carried_over(REV2, NAF2025.pairs)


@pytest.mark.parametrize(
    ("given", "decided", "expected"),
    [
        (None, None, Activity("Label", "a")),
        (None, "b", Activity("Label", "b")),
        (Activity("Own", "c"), None, Activity("Own", "c")),
        (Activity("Own", "c"), "b", Activity("Own", "c")),
        (Activity("Own", ""), None, Activity("Own", "")),
        (Activity("Own", ""), "b", Activity("Own", "b")),
    ],
)
def test_what_a_trade_of_naf_2025_comes_from(
    given: Activity | None, decided: str | None, expected: Activity
) -> None:
    """The operator's file, else a decision, else what is carried over."""
    activities = {"62.01Z": Activity("Old", "a"), **({"62.10Y": given} if given else {})}
    naf2025 = Naf2025({"62.10Y": "Label"}, [Pair("62.01Z", "62.10Y", True)])

    found = combined(activities, naf2025, {"62.10Y": decided} if decided else {})

    assert found == {"62.01Z": Activity("Old", "a"), "62.10Y": expected}


def test_a_decision_on_a_code_that_is_gone() -> None:
    """A decision alone makes no activity."""
    naf2025 = Naf2025({"62.10Y": "Label"}, [Pair("62.01Z", "62.10Y", True)])

    assert "62.20Y" not in combined({}, naf2025, {"62.20Y": "a"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "naf_code,libelle\n62.01Z,A\n",
            "line 2, column naf_code: '62.01Z' is not a NAF code such as 62.10Y",
        ),
        ("naf_code,libelle\n62.10Y,\n", "line 2, column libelle: 62.10Y has no label"),
        (f"naf_code,libelle\n62.10Y,{'a' * 256}\n", "line 2, column libelle: 256 characters"),
        (
            "naf_code,libelle\n62.10Y,A\n62.10Y,A\n",
            "line 3, column naf_code: 62.10Y is there twice",
        ),
        ("code,libelle\n62.10Y,A\n", "line 1: the columns are naf_code, libelle"),
        ("naf_code,libelle\n62.10Y\n", "line 2: 1 cells, not 2"),
        ("naf_code,libelle\n", "has no activity"),
    ],
)
def test_labels_with_a_fault(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text, "utf-8")

    with pytest.raises(ConfigurationError, match=message):
        read_naf2025(labels=path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["62.10Y,62.10Y,oui"],
            "line 2, column code_rev2: '62.10Y' is not a NAF code such as 62.01Z",
        ),
        (
            ["62.01Z,62.01Z,oui"],
            "line 2, column code_2025: '62.01Z' is not a NAF code such as 62.10Y",
        ),
        (["62.01Z,62.99Y,oui"], "line 2, column code_2025: 62.99Y has no label"),
        (["62.01Z,62.10Y,"], "line 2, column certain: '' is neither oui nor non"),
        (["62.01Z,62.10Y,oui", "62.01Z,62.10Y,non"], "line 3, column code_2025: .* twice"),
        ([], "has no pair of codes"),
    ],
)
def test_a_correspondence_with_a_fault(tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["code_rev2,code_2025,certain", *lines]), "utf-8")

    with pytest.raises(ConfigurationError, match=message):
        read_naf2025(correspondence=path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("62.01Z,A,", "column sous_categorie: '' is not the slug"),
        ("62.10Y,A,Été", "column sous_categorie: 'Été' is not the slug"),
        ("62.01M,A,a", "column naf_code: '62.01M' is not a NAF code such as 62.01Z or 62.10Y"),
        ("62.10Y,A,a", "no activity of NAF rev. 2"),
    ],
)
def test_activities_with_a_fault(tmp_path: Path, line: str, message: str) -> None:
    """Of rev. 2 each needs a trade; a file of NAF 2025 alone would remove all of rev. 2."""
    path = tmp_path / "naf.csv"
    path.write_text(f"naf_code,libelle,sous_categorie\n{line}\n", "utf-8")

    with pytest.raises(ConfigurationError, match=message):
        read(path)


def test_activities_of_both_nomenclatures(tmp_path: Path) -> None:
    """A code of NAF 2025 may have no trade, columns any order, and others may be there."""
    path = tmp_path / "naf.csv"
    path.write_text(
        "libelle,naf_code,note,sous_categorie\nA,62.01Z,x,a\n\nB,62.10Y,,\nC,62.20Y,,c\n", "utf-8"
    )

    assert read(path) == {
        "62.01Z": Activity("A", "a"),
        "62.10Y": Activity("B", ""),
        "62.20Y": Activity("C", "c"),
    }
