"""The process that producers.py measures: publishes one file, never waiting for a worker.

python -m tests.benchmarks.producing FILE
"""

import gc
import json
import sys
from pathlib import Path
from time import perf_counter, process_time
from uuid import uuid4

from producers import cli
from producers.imports import identity, window
from producers.imports.connections import Connections
from producers.imports.order import Order
from producers.imports.publication import publish_file
from producers.reading import Options
from producers.settings import settings
from schemas.import_types import ENTREPRISE


def main(file: Path) -> None:
    assert gc.get_threshold() != (700, 10, 10), cli  # the command's own, set by its module
    window.WINDOW_ROWS = sys.maxsize
    # The same file again is known and refused: each run gets ids of its own.
    identity._NAMESPACE = uuid4()
    began, spent = perf_counter(), process_time()
    with Connections(settings()) as connections:
        reading = publish_file(Order(file, ENTREPRISE, Options()), connections, lambda _: None)
    told = {
        "rows": reading.file_rows,
        "seconds": perf_counter() - began,
        "cpu_seconds": process_time() - spent,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
