"""Writes the generated parts of docs/scalability.md and docs/database.md from results/*.json.

    python -m tests.benchmarks.report

A part stands between `<!-- NAME -->` and `<!-- end NAME -->`, and is left as it is where there are
no results of its name.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby, product
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.measuring import RESULTS

DOCUMENTS = [
    Path(__file__).parents[2] / "docs" / f"{name}.md" for name in ("scalability", "database")
]

Document = dict[str, Any]
Rows = Sequence[Sequence[str]]


def main() -> None:
    texts = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}
    for name, part in PARTS.items():
        file = RESULTS / f"{name}.json"
        if file.exists():
            made = part(json.loads(file.read_text(encoding="utf-8")))
            [document] = [path for path, text in texts.items() if f"<!-- {name} -->" in text]
            texts[document] = filled(texts[document], name, made)
    for document, text in texts.items():
        document.write_text(text, encoding="utf-8")


def filled(text: str, name: str, part: str) -> str:
    """The document with this part anew. Raises ValueError where the part does not end."""
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    if end not in text:
        raise ValueError(f"there is no {end}")
    pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
    return re.sub(pattern, lambda _: f"{begin}\n\n{part}\n\n{end}", text, flags=re.DOTALL)


def table(header: Sequence[str], rows: Rows) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plot(title: str, kind: str, x: Sequence[str], y: tuple[str, Sequence[float]]) -> str:
    """A chart that GitHub and most Markdown viewers draw by themselves."""
    axis, values = y
    labels = ", ".join(f'"{label}"' for label in x)
    top = round(max(values) * 1.1)
    return "\n".join(
        (
            "```mermaid",
            "xychart-beta",
            f'    title "{title}"',
            f"    x-axis [{labels}]",
            f'    y-axis "{axis}" 0 --> {top}',
            f"    {kind} [{', '.join(f'{value:g}' for value in values)}]",
            "```",
        )
    )


def number(value: float) -> str:
    return f"{value:,.0f}"


def measured_on(document: Document) -> str:
    it = document["surroundings"]
    versions = ", ".join(
        f"{name} {it[name]}"
        for name in ("faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "psycopg")
    )
    return (
        f"Measured on {it['cores']} cores and {it['memory_gb']} GB, shared by servers and "
        f"contestants; {it['system']}, Python {it['python']}, {versions}."
    )


# --- the comparison


def of_sinks(document: Document) -> str:
    """Per pass: best and median rate, ratio, CPU and memory of each contestant."""
    given = document["parameters"]
    parts = [
        f"{number(given['rows'])} rows; the hand-written consumer with {number(given['batch_rows'])} "
        f"rows a batch, its best. {measured_on(document)}"
    ]
    for kind, name in product(("all indexes", "keys only"), ("insert", "update")):
        runs = by_contestant(
            [run for run in document["results"] if (run["table"], run["pass"]) == (kind, name)]
        )
        base = best_rate(runs["hand-written"])
        middle = middle_rate(runs["hand-written"])
        rows = [sink_row(contestant, some, base, middle) for contestant, some in runs.items()]
        header = (f"{name} pass, {kind}", "runs", "rows/s, best", "rows/s, median", "of hand-written, best", "of hand-written, median", "CPU s per million rows", "of PostgreSQL", "of Kafka", "peak MB", "rows/s with its start")  # fmt: skip
        parts.append(table(header, rows))
        rates = [best_rate(some) for some in runs.values()]
        parts.append(
            plot(f"Rows/s, {name} pass, {kind}, best run", "bar", list(runs), ("rows/s", rates))
        )
    return "\n\n".join(parts)


def sink_row(contestant: str, runs: Sequence[Document], base: float, middle: float) -> list[str]:
    def cost(of: str) -> str:
        values = [run["cpu_us_per_row"][of] for run in runs if of in run["cpu_us_per_row"]]
        return f"{min(values):.1f}" if values else ""

    return [
        contestant,
        str(len(runs)),
        number(best_rate(runs)),
        number(middle_rate(runs)),
        f"{best_rate(runs) / base:.0%}",
        f"{middle_rate(runs) / middle:.0%}",
        cost("contestant"),
        cost("postgres"),
        cost("kafka"),
        number(max(run["peak_mb"] for run in runs)),
        number(max(run["rows_per_second_from_start"] for run in runs)),
    ]


def by_contestant(runs: Sequence[Document]) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for run in runs:
        found.setdefault(run["contestant"], []).append(run)
    return found


def best_rate(runs: Sequence[Document]) -> float:
    return float(max(run["rows_per_second"] for run in runs))


def middle_rate(runs: Sequence[Document]) -> float:
    return float(median(run["rows_per_second"] for run in runs))


def of_traits(document: Document) -> str:
    """A line a trait, a column a contestant."""
    results = document["results"]
    contestants = list(dict.fromkeys(run["contestant"] for run in results))
    rows = []
    for trait, runs in groupby(results, key=lambda run: run["trait"]):
        some = list(runs)
        ends = {run["contestant"]: trait_end(run) for run in some}
        rows.append([trait, number(some[0]["rows"]), *(ends[name] for name in contestants)])
    return table(("trait", "rows", *contestants), rows)


def trait_end(run: Mapping[str, Any]) -> str:
    parts = [f"{number(run[name])} {name}" for name in ("missing", "wrong") if run[name]]
    parts += ["crashed"] if run["crashed"] else []
    return ", ".join(parts) or "right"


# --- the others


def of_production(document: Document) -> str:
    """Per pass: foxstream into the bare table and into the site's own database."""
    rows = []
    for name, state in product(("insert", "update"), ("bare table", "production")):
        runs = [run for run in document["results"] if (run["state"], run["pass"]) == (state, name)]
        cost = {
            part: median(run["cpu_us_per_row"][part] for run in runs)
            for part in ("contestant", "postgres")
        }
        rows.append(
            [
                f"{name}, {state}",
                str(len(runs)),
                number(best_rate(runs)),
                number(middle_rate(runs)),
                f"{cost['contestant']:.1f}",
                f"{cost['postgres']:.1f}",
                str(max(run["peak_mb"] for run in runs)),
            ]
        )
    header = ("pass", "runs", "rows/s, best", "rows/s, median", "worker µs/row", "PostgreSQL µs/row", "peak MB")  # fmt: skip
    size = number(document["parameters"]["rows"])
    return f"{size} rows. {measured_on(document)}\n\n{table(header, rows)}"


def of_large_rows(document: Document) -> str:
    """The memory of a worker with rows of nearly 1 MB, plain and compressed."""
    given = document["parameters"]
    rows = [
        [run["kind"], str(run["waiting_mb"]), str(run["peak_mb"])] for run in document["results"]
    ]
    header = ("rows", f"MB after {given['seconds']} s behind a lock", "MB until all were written")
    return f"{number(given['rows'])} rows of each kind.\n\n{table(header, rows)}"


def of_imports(document: Document) -> str:
    rows = [
        [
            number(run["rows"]),
            run["run"],
            f"{run['seconds']:.2f}",
            number(run["rows_per_second"]),
            f"{run['worker_us_per_row']:.1f}",
            f"{run['command_us_per_row']:.1f}",
            str(run["worker_mb"]),
            str(run["command_mb"]),
        ]
        for run in document["results"]
    ]
    header = ("rows", "run", "seconds", "rows/s", "worker µs/row", "command µs/row", "worker MB", "command MB")  # fmt: skip
    return f"{measured_on(document)}\n\n{table(header, rows)}"


def of_producers(document: Document) -> str:
    rows = [
        [
            run["format"].upper(),
            number(run["rows"]),
            number(run["rows_per_second"]),
            f"{run['us_per_row']:.1f}",
            str(run["peak_mb"]),
        ]
        for run in document["results"]
    ]
    return table(("file", "rows", "rows/s", "CPU µs/row", "peak MB"), rows)


def of_growth(document: Document) -> str:
    """Rate by rows in the table, and the curve."""
    runs = document["results"]
    rows = [
        [
            number(run["table_rows"]),
            run["pass"],
            f"{run['seconds']:.1f}",
            number(run["rows_per_second"]),
            *(f"{run['cpu_us_per_row'].get(name, 0):.1f}" for name in ("worker", "postgres")),
            str(run["worker_mb"]),
            str(run["command_mb"]),
        ]
        for run in runs
    ]
    header = ("rows in the table", "pass", "seconds", "rows/s", "worker µs/row", "PostgreSQL µs/row", "worker MB", "command MB")  # fmt: skip
    inserts = [run for run in runs if run["pass"] == "insert"]
    drawn = plot(
        f"Rows/s by rows in the table, {number(document['parameters']['step'])} rows a step",
        "line",
        [f"{run['table_rows'] / 1e6:g} M" for run in inserts],
        ("rows/s", [run["rows_per_second"] for run in inserts]),
    )
    return "\n\n".join((table(header, rows), drawn, curve(inserts)))


def curve(runs: Sequence[Document]) -> str:
    """The line of least squares through seconds a million rows, over millions in the table."""
    x = [run["table_rows"] / 1e6 for run in runs]
    y = [1e6 / run["rows_per_second"] for run in runs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((value - mean_x) ** 2 for value in x)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    slope = products / spread if spread else 0.0
    return (
        f"The curve: a million rows take {mean_y - slope * mean_x:.1f} s "
        f"{'+' if slope >= 0 else '−'} {abs(slope):.2f} s for each million that the table holds."
    )


def of_fairness(document: Document) -> str:
    found, given = document["results"], document["parameters"]
    ten, behind = found["ten at once"], found["small behind large"]
    without = found["without a worker"]
    rows = [
        [
            f"{len(ten['seconds'])} imports of {number(ten['rows'])} rows at once",
            f"first ends after {ten['seconds'][0]:.1f} s, last after {ten['seconds'][-1]:.1f} s; {number(ten['rows_per_second'])} rows/s together",
        ],
        [
            f"{number(behind['small_rows'])} rows behind {number(behind['large_rows'])}",
            f"{behind['behind_seconds']:.1f} s ({behind['alone_seconds']:.1f} s alone); the large one {behind['large_seconds']:.1f} s",
        ],
        [
            f"no worker for {without['seconds']:.0f} s, {number(given['large_rows'])} and {number(given['small_rows'])} rows",
            f"{number(without['published'])} rows published, the command holds {without['large']['peak_mb']} MB and waits; after the worker's start the small import takes {without['small']['seconds_after_the_worker']:.1f} s, the large one {without['large']['seconds_after_the_worker']:.1f} s",
        ],
    ]
    return table(("case", "what happens"), rows)


def of_isolation(document: Document) -> str:
    rows = [
        [
            number(run["bad"]),
            number(run["rows"]),
            number(run["transactions"]),
            number(run["statements"]),
            f"{run['seconds']:.2f}",
        ]
        for run in document["results"]
    ]
    return table(("bad rows", "of", "transactions", "statements", "seconds"), rows)


def of_stages(document: Document) -> str:
    rows = [[run["step"], f"{run['us_per_row']:.1f}"] for run in document["results"]]
    return table(("step", "CPU µs/row"), rows)


def of_sirene(document: Document) -> str:
    rows = [
        [
            run["file"],
            *(number(run[name]) for name in ("lines", "rows", "skipped", "lines_per_second")),
            f"{run['us_per_line']:.1f}",
            number(run["peak_mb"]),
            number(run["plain_lines_per_second"]),
            f"{run['plain_us_per_line']:.1f}",
        ]
        for run in document["results"]
    ]
    header = (
        "file", "lines", "rows", "skipped", "lines/s", "CPU µs/line", "peak MB",
        "lines/s, plain reading", "CPU µs/line, plain reading",
    )  # fmt: skip
    return f"{measured_on(document)}\n\n{table(header, rows)}"


def of_gateway(document: Document) -> str:
    """What clients waited, beside what the gateway itself took."""
    found, given = document["results"], document["parameters"]
    names = ("202 after the last byte, ms", "reads, ms", "between events, ms", "of these the client's own delay, ms")  # fmt: skip
    rows = [
        [name, *(number(found[name][at]) for at in ("count", "p50", "p95", "p99", "max"))]
        for name in names
    ]
    told = (
        f"{given['rounds']} rounds of 10 uploads of 10 MiB at once, {given['pollers']} clients that "
        f"poll, {given['followers']} that follow events; {found['failed']} failures; the gateway held "
        f"{found['gateway MB']:.0f} MB at most, {found['gateway and its children MB']:.0f} MB with its "
        "child processes."
    )
    within = [
        f"{name.removesuffix(', up to s')}: " + ", ".join(shares(found[name]))
        for name in ("202 by the gateway's clock, up to s", "reads by the gateway's clock, up to s")
    ]
    header = ("as clients see it", "how many", "p50", "p95", "p99", "most")
    return "\n\n".join((told, table(header, rows), *within))


def shares(counts: Mapping[str, int]) -> list[str]:
    """Of a histogram: the share up to each limit in seconds that some but not all are under."""
    all_ = counts["+Inf"]
    return [
        f"{count / all_:.2%} within {float(limit) * 1000:g} ms"
        for limit, count in counts.items()
        if limit != "+Inf" and 0.5 <= count / all_ <= 1
    ][:4]


def of_rates(document: Document) -> str:
    """What was asked of five workers, and imports that ask for texts alone."""
    found, given = document["results"]["together"], document["parameters"]
    burst, cpu = found["at once"], found["CPU s"]
    mb, retry = found["worker MB"], found["Retry-After"]
    rows = [
        ["imports a minute", "50", f"{found['imports a minute']:.1f}: {number(found['imports'])} files in {given['minutes']} minutes; {found['most imports taken in a minute']} at most were taken in any minute"],
        ["above the limit", "429", f"{found['refused']} uploads, Retry-After {retry[0]} to {retry[1]} s"],
        ["rows", "2.5 million an hour", f"{number(found['rows a second'])} rows/s, {found['rows a second'] * 3600 / 1e6:.2f} million an hour; {number(found['rows'])} rows, all new"],
        ["from upload to the import's end", "", in_seconds(found["from upload to end, ms"])],
        ["what came at once, before the first 429", "", f"{burst['imports']} imports, {number(burst['rows'])} rows: the last ended {burst['last ended after s']:.1f} s after the first was sent"],
        ["calls to the model a minute", "25", f"{found['calls a minute']:.1f}; {found['most calls in a minute']} at most in any minute; {number(found['texts'])} texts in all, each asked for once"],
        ["from upload to the last text of an import", "", in_seconds(found["from upload to the last text, ms"])],
        [f"CPU in {found['of s']:.0f} s", "", ", ".join(f"{name} {seconds:.0f} s" for name, seconds in cpu.items())],
        ["peak memory of a worker", "", f"{min(mb)} to {max(mb)} MB"],
    ]  # fmt: skip
    alone = [
        [
            str(run["workers"]),
            str(run["calls a minute"]),
            str(run["texts"]),
            f"{run['import ended after s']:.1f} s",
            f"{run['last text after s']:.0f} s",
            str(run["most calls in a minute"]),
        ]
        for run in document["results"]["alone"]
    ]
    header = ("workers", "calls a minute", "texts of the import", "its rows are written after", "its last text after", "most calls in a minute")  # fmt: skip
    together = table(("five workers", "asked", "measured"), rows)
    return f"{measured_on(document)}\n\n{together}\n\n{table(header, alone)}"


def in_seconds(ms: Mapping[str, float]) -> str:
    """Of percentiles in milliseconds."""
    return f"p50 {ms['p50'] / 1e3:.1f} s, p95 {ms['p95'] / 1e3:.1f} s, most {ms['max'] / 1e3:.1f} s"


def of_jobs(document: Document) -> str:
    rows = [[run["job"], run["case"], f"{run['seconds']:.2f}"] for run in document["results"]]
    return table(("job", "case", "seconds"), rows)


def of_explain(document: Document) -> str:
    rows = [
        [
            run["reader"],
            f"`{run['index']}` ({run['mb']:g} MB)",
            *(f"{run[way]['ms']:g} ms: {run[way]['plan']}" for way in ("with", "without")),
        ]
        for run in document["results"]
    ]
    header = ("who asks", "index", "with it", "without it")
    told = (
        f"{number(document['parameters']['companies'])} companies, each with a page, 35,000 cities."
    )
    return f"{told} {measured_on(document)}\n\n{table(header, rows)}"


def of_soak(document: Document) -> str:
    """What was asked of the soak and what was seen, and what was wrong."""
    found = document["results"]
    worker, gateway = ("{:.0f} → {:.0f} MB".format(*found[f"{name} MB"]) for name in ("worker", "gateway"))  # fmt: skip
    outcomes = ", ".join(f"{number(rows)} {name}" for name, rows in found["outcomes"].items())
    by = found["rows by way"]
    late = found["late rounds"]
    rows = [
        [
            f"{found['share']:.0%} of the capacity, for {document['parameters']['minutes']:g} minutes",
            f"{number(found['capacity'])} rows/s taken alone; {number(found['rows a second'])} rows/s sent: {number(by['command'])} rows by command, {number(by['upload'])} by upload",
        ],
        [
            "every import ends, every row has one outcome",
            f"{number(found['imports'])} imports: {outcomes}; {number(found['companies'])} companies in the table",
        ],
        ["as many rejects as rows were bad", number(found["bad rows"])],
        [
            "every text is written, or counted as failed or left",
            f"{', '.join(f'{number(n)} {name}' for name, n in sorted(found['texts'].items()))}; {number(found['calls of the model'])} calls",
        ],
        ["faults", "; ".join(f"{name}, {s:.0f} s" for name, s in found["faults"].items())],
        [
            "rounds of 20 s that had not ended when the next began",
            f"{len(late)}, the latest by {max(late.values(), default=0):.0f} s; {found['settled after']:.0f} s after the last one nothing was left",
        ],
        ["a worker's memory stays (10 %, 25 MB), under 250 MB", f"{worker}, peak {found['worker peak MB']} MB"],
        ["the gateway's memory stays", gateway],
        ["no alert but of the worker and of the model that are away for minutes", ", ".join(found["alerts"]) or "none"],
        [
            "no error in the logs without a fault that explains it",
            ", ".join(f"{n} `{name}`" for name, n in found["explained errors"].items()) or "none",
        ],
        ["wrong", "; ".join(found["wrong"]).replace("|", "/").replace("\n", " ") or "nothing"],
    ]  # fmt: skip
    return f"{measured_on(document)}\n\n{table(('asked', 'seen'), rows)}"


PARTS: Mapping[str, Callable[[Document], str]] = {
    "sinks": of_sinks,
    "production": of_production,
    "large_rows": of_large_rows,
    "traits": of_traits,
    "imports": of_imports,
    "producers": of_producers,
    "sirene": of_sirene,
    "growth": of_growth,
    "fairness": of_fairness,
    "isolation": of_isolation,
    "stages": of_stages,
    "explain": of_explain,
    "gateway": of_gateway,
    "rates": of_rates,
    "jobs": of_jobs,
    "soak": of_soak,
}


if __name__ == "__main__":
    main()
