"""Where the worker's CPU goes: each step on one batch of companies, without servers.

    python -m tests.benchmarks.stages [ROWS]

Steps that are indented are part of the one above them. The best of some runs counts. Writes
results/stages.json.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from time import process_time
from typing import Any
from uuid import uuid4

import fastavro
from aiokafka import ConsumerRecord

from processors.kafka.batch import Batch
from processors.rows.merge.merge import Origin, _columns, _identifiers, stage
from processors.rows.merge.targets import TARGETS
from processors.rows.validation import validate
from producers.imports.occurrences import Occurrences
from producers.reading import open_source
from schemas.codec.framing import Encoder, RowDecoder, load
from schemas.import_types import ENTREPRISE
from schemas.rules import violations
from schemas.runtime.garbage import collect_rarely
from tests.benchmarks.isolation import TOPIC, OneSchema, record_of
from tests.benchmarks.measuring import save
from tests.benchmarks.samples import write_csv
from tests.benchmarks.stage import words

ROWS = 5_000
REPEATS = 15
TARGET = TARGETS[ENTREPRISE.name]


@dataclass
class Timer:
    """CPU microseconds a row of each step."""

    rows: int
    results: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, name: str, step: Callable[[], Any]) -> None:
        step()
        taken = []
        for _ in range(REPEATS):
            began = process_time()
            step()
            taken.append(process_time() - began)
        self.results.append({"step": name, "us_per_row": round(min(taken) / self.rows * 1e6, 2)})
        print("{step:<44} {us_per_row:6.2f} µs/row".format_map(self.results[-1]))


def main(rows: int) -> None:
    collect_rarely()
    batch = batch_of(rows)
    decoder = RowDecoder("entreprise_row", OneSchema())
    values = [record.value for record in batch.records]
    timed = Timer(rows)
    validated = validate(batch, 1, ENTREPRISE, decoder)
    staged = stage(validated.rows)
    timed("decode and validate", lambda: validate(batch, 1, ENTREPRISE, decoder))
    timed("— decode", lambda: decoder.decode_all(values))
    timed("— rules", lambda: list(violations(ENTREPRISE, validated.rows.values)))
    timed("leave out replays", lambda: validated.without_replays({}))
    timed("stage", lambda: stage(validated.rows))
    timed("columns for COPY", lambda: _columns(TARGET, Origin(TOPIC, 0), staged))
    timed("— ids", lambda: _identifiers(TARGET, validated.rows.keys))
    timed("— texts", lambda: TARGET.texts(validated.rows.values))
    parsed = fastavro.parse_schema(load("entreprise_row"))
    timed(
        "for comparison: fastavro's schemaless_reader",
        lambda: [fastavro.schemaless_reader(BytesIO(value[5:]), parsed) for value in values],
    )
    save("stages", timed.results, rows=rows)


def batch_of(rows: int) -> Batch:
    """Companies as the producer encodes them from a file."""
    encoder, occurrences, import_id = Encoder("entreprise_row", 1), Occurrences(), str(uuid4())
    records: list[ConsumerRecord] = []
    with tempfile.TemporaryDirectory() as directory:
        source = open_source(write_csv(Path(directory) / "rows.csv", rows), ENTREPRISE)
        for chunk in source.chunks():
            for row in chunk:
                assert row.key is not None
                tie = {
                    "id": import_id,
                    "number": len(records) + 1,
                    "line": row.line,
                    "sheet": None,
                    "occurrence": occurrences.count(row.key),
                    "policy": "merge",
                    "cells": None,
                    "faults": (),
                    "settles": None,
                    "dropped": None,
                    "absent": None,
                }
                [value] = encoder.encode_all([{**row.record, "observed_at": None, "import": tie}])
                records.append(record_of(len(records), row.key.encode(), value))
    return Batch(TOPIC, 0, 0, rows, records, object())


if __name__ == "__main__":
    main(*words([ROWS]))
