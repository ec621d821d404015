"""What a soak sends is what its plan says, and its judges see what is wrong."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producers.imports.preview import preview_of
from producers.reading import Options
from schemas.import_types import IMPORT_TYPES
from tests.benchmarks.report import PARTS
from tests.faults.outages import Outage
from tests.soak import judging, lines
from tests.soak.books import SETTLED, Import
from tests.soak.files import content
from tests.soak.judging import INTENDED
from tests.soak.plan import CAPACITY, LARGEST_UPLOAD, SHARE, Fault, File, Kind, Plan
from tests.soak.result import Result
from tests.soak.watching import Sample

PLAN = Plan(30, 10_000)
FILE = File("a.csv", "VILLE", "upload", 20.0, 10, 5, known=4, bad=1, texts=True)


def ended(file: File = FILE, **changes: Any) -> Import:
    """The import of a file, as it has to be or with something wrong."""
    settled = {**dict.fromkeys(SETTLED, 0), "inserted": file.fresh, "rejected": file.bad}
    settled["unchanged"] = file.known
    texts = {"done": file.asked - 1, "failed": 1, "left": 0}
    right = Import(file.name, "PARTIAL", file.rows, settled, file.asked, texts, 1000.0)
    return replace(right, **changes)


def counts(**changes: int) -> dict[str, int]:
    return {**ended().settled, **changes}


def test_the_load_is_its_share_of_the_capacity() -> None:
    """Rows of companies over the whole run, each file where the gateway can take it."""
    companies = [file for file in PLAN.files if file.kind == "ENTREPRISE"]

    assert sum(f.rows for f in companies) == pytest.approx(SHARE * 10_000 * 1800, rel=0.001)
    assert max(f.rows for f in companies if f.way == "upload") <= LARGEST_UPLOAD
    assert {file.way for file in PLAN.files} == {"command", "upload"}
    assert {file.kind for file in PLAN.files} == {"ENTREPRISE", "VILLE", "CATEGORIE", "SOUS_CATEGORIE"}  # fmt: skip
    assert len({file.name for file in PLAN.files}) == len(PLAN.files)
    assert sum(f.bad for f in companies) == pytest.approx(
        sum(f.rows for f in companies) / 100, 0.01
    )


def test_numbers_go_on_where_the_last_file_ended() -> None:
    """New entities are new, known ones were there, and no file names one twice."""
    there: dict[Kind, int] = {
        "ENTREPRISE": CAPACITY.fresh, "VILLE": 0, "CATEGORIE": 10, "SOUS_CATEGORIE": 0
    }  # fmt: skip
    for file in Plan(2, 10_000).files:
        numbers = list(file.numbers())
        assert file.first == there[file.kind]
        there[file.kind] += file.fresh
        assert len(numbers) == len(set(numbers)) == file.fresh + file.known
        assert max(numbers) < there[file.kind]


def test_the_end_of_a_run_is_quiet() -> None:
    """At least the last five of thirty minutes; no fault of a long run begins in another."""
    faults = PLAN.faults
    assert max(fault.at + fault.seconds for fault in faults) < 25 * 60
    assert all(a.at + a.seconds < b.at for a, b in itertools.pairwise(faults))
    assert {intended.fault for intended in INTENDED.values()} <= {fault.name for fault in faults}


@pytest.mark.parametrize("kind", ["ENTREPRISE", "VILLE", "CATEGORIE", "SOUS_CATEGORIE"])
def test_a_file_is_what_its_plan_says(kind: Kind, tmp_path: Path) -> None:
    """So many rows, so many of them bad, none twice, as the reader sees them."""
    file = replace(FILE, kind=kind, fresh=300, known=8, bad=3)
    path = tmp_path / file.name
    path.write_bytes(content(file))

    found = preview_of(path, IMPORT_TYPES[kind], Options())

    assert found["refusal"] is None
    assert found["total_rows"] == file.rows
    assert found["rejected_rows"] == file.bad
    assert found["duplicate_rows"] == 0
    assert found["warnings_by_code"] == {}


def test_an_import_that_is_right() -> None:
    assert list(judging.imports([FILE], [ended()])) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "a.csv: 0 imports, expected 1"),
        ([ended(), ended()], "a.csv: 2 imports, expected 1"),
        ([ended(), ended(name="b.csv")], "b.csv: 1 imports, expected 0"),
        ([ended(status="PROCESSING", ended=None)], "a.csv: has not ended: PROCESSING"),
        ([ended(status="SUCCESS")], "a.csv: is SUCCESS, expected PARTIAL"),
        ([ended(status="ERROR")], "a.csv: is ERROR, expected PARTIAL"),
        ([ended(total=11)], "a.csv: 11 rows in all, expected 10"),
        ([ended(settled=counts(inserted=4))], "a.csv: 9 rows accounted for, expected 10"),
        ([ended(settled=counts(inserted=6))], "a.csv: 11 rows accounted for, expected 10"),
        ([ended(settled=counts(rejected=2, inserted=4))], "a.csv: 2 rows rejected, expected 1"),
        ([ended(settled=counts(parked=1, inserted=4))], "a.csv: 1 rows parked, expected 0"),
        ([ended(texts_over={"done": 4})], "a.csv: 1 texts without an outcome, expected 0"),
        ([ended(texts_asked=6)], "a.csv: 6 texts asked for, expected 5"),
    ],
)
def test_an_import_that_is_wrong(found: list[Import], told: str) -> None:
    assert told in list(judging.imports([FILE], found))


def test_rows_in_tables() -> None:
    """Entities that two files name are one row."""
    files = [FILE, replace(FILE, name="b.csv", first=15, fresh=2, known=15)]

    # 0 to 3 and 10 to 14, then 15, 16 and all before.
    assert list(judging.tables(files, {"VILLE": 17}, 2)) == []
    assert list(judging.tables(files, {"VILLE": 16}, 2)) == [
        "VILLE: 16 rows in the table, 17 different ones were sent"
    ]
    assert list(judging.tables(files, {"VILLE": 17}, 3)) == ["3 rejects, 2 rows were bad"]


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (109.0, []),
        (111.0, ["w: grew from 100 to 111 MB"]),
        (90.0, []),
        (None, ["w: its memory was not seen"]),
    ],
)
def test_memory_that_grows(last: float | None, told: list[str]) -> None:
    """By more than a tenth; what came before a third of the time counts for nothing."""
    mb = [(at, 500.0 if at < 20 else 100.0 if at < 50 else last) for at in range(0, 60, 2)]
    assert list(judging.memory("w", mb, 60.0)) == told


def test_memory_that_grows_by_much() -> None:
    """25 MB are too many, however much there was."""
    mb = [(at, 300.0 + (26.0 if at > 50 else 0.0)) for at in range(60)]
    assert list(judging.memory("w", mb, 60.0)) == ["w: grew from 300 to 326 MB"]


@pytest.mark.parametrize(("mb", "told"), [(249.0, 0), (250.0, 1), (0.0, 1)])
def test_a_peak(mb: float, told: int) -> None:
    assert len(list(judging.peak("w", mb))) == told


def test_alerts() -> None:
    """Those of no fault, and those that a fault has to set off."""
    killed = {"worker SIGKILL": 100.0}

    assert list(judging.alerts({"FoxWorkerDown"}, killed)) == []
    assert list(judging.alerts(set(), {"worker SIGKILL": 10.0})) == []
    assert list(judging.alerts({"FoxWorkerDown"}, {})) == [
        "alert FoxWorkerDown fired, and no fault means it to"
    ]
    assert list(judging.alerts({"FoxWorkerDown", "FoxLag"}, killed)) == [
        "alert FoxLag fired, and no fault means it to"
    ]
    assert list(judging.alerts(set(), killed)) == [
        "alert FoxWorkerDown did not fire, although worker SIGKILL lasted 100 s"
    ]
    silent = {"model answers 503": 600.0}
    assert list(judging.alerts({"FoxAiBreakerOpen"}, silent)) == []
    assert len(list(judging.alerts(set(), silent))) == 1


LOG = """{"level": "error", "event": "breaker is open", "action": "ai_breaker_open", "timestamp": "2026-01-01T00:00:00Z"}
{"level": "warning", "event": "metrics are late", "timestamp": "2026-01-01T00:00:01Z"}
{"level": "critical", "event": "all is lost", "timestamp": "2026-01-01T00:00:02Z"}
no JSON
[]
"""


def test_errors_in_logs() -> None:
    """Each is explained by its own fault, at its time, or by none."""
    found = list(lines.read("worker.log", LOG.splitlines()))
    began = found[0].moment - 1
    model = Outage("model answers 503", began, began + 5)

    def near(moment: float, names: tuple[str, ...]) -> bool:
        return model.what in names and model.explains(moment)

    lost = Counter({"worker.log: all is lost": 1})
    assert judging.errors(found, near) == (Counter({"ai_breaker_open": 1}), lost)
    model.ended = began - 100
    assert judging.errors(found, near)[1] == lost + Counter({"worker.log: breaker is open": 1})


def test_a_fault_explains_for_a_while() -> None:
    fault = Outage("kafka paused", 100.0)
    assert [fault.explains(at) for at in (98, 100, 500)] == [False, True, True]
    fault.ended = 110.0
    assert [fault.explains(at) for at in (139, 141)] == [True, False]


def sample(at: float, lag: float | None = 0.0) -> Sample:
    return Sample(at, 100.0, 100.0, 0.0, lag, frozenset())


def test_who_does_not_look_sees_nothing() -> None:
    """A run that nobody watched is none that went well."""
    assert list(judging.seen([sample(at) for at in range(0, 60, 10)], 60, 10)) == []
    assert len(list(judging.seen([sample(0)], 60, 10))) == 1
    assert list(judging.seen([sample(at, None) for at in range(0, 60, 10)], 60, 10)) == [
        "Prometheus has told nothing"
    ]


def test_rounds_that_are_late() -> None:
    """Those that had not ended when the next began."""
    files = [FILE, replace(FILE, name="b.csv", at=41.0)]
    found = [ended(ended=1045.0), ended(name="b.csv", ended=1059.0)]

    assert judging.late(files, found, 1000.0) == {1: 5.0}


def test_the_result_becomes_a_part_of_the_page() -> None:
    """What is wrong stands there too."""
    result = Result(
        plan=Plan(0.5, 1000),
        files=Plan(0.5, 1000).files,
        imports=[ended()],
        companies=1,
        texts={"done": 4, "failed": 1},
        calls=6,
        late={3: 4.0},
        settled_seconds=1.0,
        samples=[sample(at) for at in range(30)],
        worker_peak_mb=200.0,
        happened={Fault("kafka paused", 1.0).name: 5.0},
        fired=["FoxWorkerDown"],
        explained={"ai_breaker_open": 2},
        again={},
        wrong=["something"],
    )
    surroundings = dict.fromkeys(
        ("cores", "memory_gb", "system", "python", "faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "psycopg"), "x"
    )  # fmt: skip
    document = {"surroundings": surroundings, "parameters": {"minutes": 0.5}, "results": result.document()}  # fmt: skip

    part = PARTS["soak"](document)
    assert "something" in part
    assert "FoxWorkerDown" in part
    assert list(result.lines())[-2:] == ["WRONG: something", "NOT as it has to be"]
