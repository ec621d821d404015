"""docs/metrics.md, made of the code: python -m deploy.prometheus.catalogue writes it."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from prometheus_client.metrics import MetricWrapperBase

import processors.metrics
import producers.gateway.monitoring.gateway_metrics

FILE = Path(__file__).parents[2] / "docs" / "metrics.md"

_SUFFIXES = {"counter": "_total", "info": "_info"}

_HEAD = """\
# Metrics

Made of the code by `python -m deploy.prometheus.catalogue`: what each says is written beside it, in \
`processors/metrics.py` and `producers/gateway/monitoring/gateway_metrics.py`. Base units; no import is a label. A histogram \
has `_bucket`, `_sum` and `_count`. Workers serve `/metrics` at `FOX_METRICS_ADDRESS` and \
`FOX_METRICS_PORT`, the gateway at its own address; both have Python's and the process' own metrics \
beside these (`process_cpu_seconds_total`, `process_resident_memory_bytes`).

If several workers report the same, [deploy/prometheus/rules/recording.yml](../deploy/prometheus/rules/recording.yml) \
adds up or takes the highest; alerts and what to do: [runbooks.md](runbooks.md).
"""


class Entry(NamedTuple):
    """A metric as Prometheus knows it; of a histogram without `_bucket`, `_sum` and `_count`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def entries(module: ModuleType) -> Iterator[Entry]:
    """The metrics that a module defines, in its order."""
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            [family] = metric.describe()
            name = family.name + _SUFFIXES.get(family.type, "")
            yield Entry(name, family.type, tuple(metric._labelnames), family.documentation)


def text() -> str:
    """The page."""
    return _HEAD + "".join(
        f"\n## Of {whom}\n\n| metric | kind | labels | |\n|---|---|---|---|\n"
        + "".join(_lines(module))
        for whom, module in (
            ("workers", processors.metrics),
            ("the gateway", producers.gateway.monitoring.gateway_metrics),
        )
    )


def _lines(module: ModuleType) -> Iterator[str]:
    for name, kind, labels, about in entries(module):
        named = ", ".join(f"`{label}`" for label in labels)
        yield f"| `{name}` | {kind} | {named} | {about} |\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
