"""The overview: is it healthy, what is slow, what is failing, what does it cost.

A row of panels for each question, the answer that matters most on the left. Colours are the limits of
the alerts (deploy/prometheus/rules/alerts.yml); each panel's description names the alert that belongs to it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode, GraphTresholdsStyleMode
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

FILE = Path(__file__).parent / "dashboards" / "overview.json"

_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True)
class Panel:
    """`queries` are PromQL by legend. `limits` are values from which on it is amber, then red.

    `below`: it is so below them instead. `words` are shown in place of values.
    """

    title: str
    queries: Mapping[str, str]
    about: str
    kind: Literal["stat", "series", "bars"] = "series"
    unit: str = "short"
    limits: Sequence[float] = ()
    below: bool = False
    words: Mapping[str, str] = field(default_factory=dict)
    width: int = 8


HEALTHY = (
    Panel(
        "Alerts",
        {"firing": 'count(ALERTS{alertstate="firing",alertname=~"Fox.+"}) or vector(0)'},
        "How many alerts fire. 0: nothing has to be done. Each has a section in docs/runbooks.md.",
        "stat",
        limits=(1, 1),
        width=4,
    ),
    Panel(
        "Servers that answer",
        {"{{server}}": "min by (server) (fox_server_reachable)"},
        "As workers and gateways see them. FoxServerUnreachable.",
        "stat",
        limits=(1, 1),
        below=True,
        words={"0": "away", "1": "up"},
        width=6,
    ),
    Panel(
        "Workers and gateways ready",
        {"workers": "sum(fox_worker_ready)", "gateways": "sum(fox_gateway_ready)"},
        "Processes whose /readyz answers 200. FoxNoWorker, FoxWorkerNotReady, FoxGatewayNotReady.",
        "stat",
        limits=(1, 1),
        below=True,
        width=6,
    ),
    Panel(
        "Imports not ended",
        {"imports": "fox:imports_unfinished"},
        "The queue. FoxQueueLong from 10, FoxQueueVeryLong from 50.",
        "stat",
        limits=(10, 50),
        width=4,
    ),
    Panel(
        "Rows without an account",
        {"rows": "fox:accounting_drift_rows"},
        "Rows of imports without an outcome, or with two. Anything but 0 is a fault: FoxAccountingDrift.",
        "stat",
        limits=(1, 1),
        width=4,
    ),
)

SLOW = (
    Panel(
        "Lag",
        {"{{topic}}": "fox:consumer_lag_seconds"},
        "Age of the oldest record that is not written. FoxLag from 5 minutes, FoxRetentionNear.",
        unit="s",
        limits=(300, 345_600),
    ),
    Panel(
        "Rows that wait",
        {"{{topic}}": "fox:consumer_lag_rows"},
        "Records on Kafka that PostgreSQL does not have yet.",
    ),
    Panel(
        "Rows written",
        {"{{type}}": "sum by (type) (fox:rows:rate5m)"},
        "Rows a second that got an outcome, by type.",
        unit="rowsps",
    ),
    Panel(
        "Imports: how long",
        {
            "mean of the last hour": "fox:import_seconds:mean1h",
            "oldest that goes on": "fox:import_oldest_unfinished_seconds",
        },
        "FoxImportsSlow from 5 minutes on average, FoxImportLong from 30 minutes for one.",
        unit="s",
        limits=(300, 1800),
    ),
    Panel(
        "Batches: how long (95 %)",
        {"{{type}}": "fox:batch_seconds:p95_5m"},
        "From a batch being taken up to its commit. Rising: look at PostgreSQL.",
        unit="s",
        limits=(1, 5),
    ),
    Panel(
        "Uploads: how long (95 %)",
        {"to the 202": "fox:upload_seconds:p95_5m"},
        "From the last byte of an upload to its answer.",
        unit="s",
        limits=(0.2, 1),
    ),
)

FAILING = (
    Panel(
        "Imports that succeeded (1 h)",
        {"share": "fox:imports_success:ratio1h"},
        "Cancelled ones left out. FoxSuccessRateLow below 95 %.",
        "stat",
        unit="percentunit",
        limits=(0.95, 0.8),
        below=True,
        width=4,
    ),
    Panel(
        "Imports that failed (1 h)",
        {"imports": "fox:imports_failed:increase1h"},
        "FoxImportsFail above 5.",
        "stat",
        limits=(1, 5.5),
        width=4,
    ),
    Panel(
        "Rejected rows (30 min)",
        {"{{type}}": "fox:rows_rejected:ratio30m"},
        "Of the rows of a type. FoxRejectRatio above 20 %.",
        "bars",
        unit="percentunit",
        limits=(0.05, 0.2),
    ),
    Panel(
        "Rejects by code",
        {"{{type}} {{code}}": "sum by (type, code) (rate(fox_rejects_total[5m]))"},
        "Rejects a second by the first thing wrong with them: docs/errors.md.",
        unit="rowsps",
    ),
    Panel(
        "Partitions in trouble",
        {
            "halted {{topic}}": "sum by (topic) (fox_partitions_halted)",
            "read by nobody {{topic}}": "fox:partitions_unread",
            "position gap {{topic}}": "max by (topic) (fox_position_gap_rows)",
        },
        "All 0 is well. FoxPartitionHalted, FoxPartitionsUnread, FoxPositionGap.",
        limits=(1, 1),
    ),
    Panel(
        "Rows and pages that wait for others",
        {"rows {{type}}": "fox:rows_parked", "pages without {{reason}}": "fox:pages_unresolved"},
        "Rows whose parent is not there, companies whose page lacks something. FoxRowsParkedGrow.",
    ),
    Panel(
        "Transactions tried again",
        {"{{topic}}": "sum by (topic) (rate(fox_batch_retries_total[5m]))"},
        "A second. A server failed, nothing is lost. Steady: look at PostgreSQL.",
        unit="ops",
    ),
    Panel(
        "Answers of the gateway",
        {"{{status}}": "fox:gateway_requests:rate5m"},
        "A second, by status. FoxGatewayErrors from 5 % of 5xx.",
        unit="reqps",
        width=12,
    ),
    Panel(
        "Uploads on their way",
        {"files": "sum(fox_gateway_unpublished_files)"},
        "Files that are not with Kafka yet. FoxUploadsWait.",
        limits=(20, 100),
        width=12,
    ),
)

COSTS = (
    Panel(
        "Texts: US dollars (24 h)",
        {"{{model}}": "fox:ai_cost:increase1d"},
        "By the configured prices.",
        "stat",
        unit="currencyUSD",
        width=4,
    ),
    Panel(
        "Texts: budget used",
        {"{{period}}": "fox:ai_budget_used_ratio"},
        "Spent and reserved, of this day and month (UTC). FoxAiBudgetLow from 80 %.",
        "bars",
        unit="percentunit",
        limits=(0.8, 1),
        width=4,
    ),
    Panel(
        "Texts: the model",
        {"model": "max(fox_ai_breaker_open)"},
        "Whether it is asked. FoxAiBreakerOpen.",
        "stat",
        limits=(1, 1),
        words={"0": "asked", "1": "not asked"},
        width=4,
    ),
    Panel(
        "Texts: requests",
        {
            "waiting": "max(fox_enrichment_pending)",
            "{{outcome}} / min": "60 * sum by (outcome) (rate(fox_enrichment_requests_total[5m]))",
        },
        "What waits, and what became of requests.",
        width=6,
    ),
    Panel(
        "Texts: tokens",
        {"{{direction}}": "60 * sum by (direction) (rate(fox_ai_tokens_total[5m]))"},
        "A minute; the limit is FOX_AI_TOKENS_PER_MINUTE.",
        width=6,
    ),
    Panel(
        "Texts: spent a day",
        {"{{kind}}": "sum by (kind) (increase(fox_ai_cost_total[1d]))"},
        "US dollars of the last 24 hours, by kind of text.",
        unit="currencyUSD",
        width=6,
    ),
    Panel(
        "Texts: dearest imports",
        {"{{import}}": "max by (import) (fox_ai_import_cost_dollars)"},
        "US dollars for the texts of an import, all of its days: the ten that cost most.",
        "bars",
        unit="currencyUSD",
        width=6,
    ),
    Panel(
        "Texts: calls",
        {
            "call (95 %)": "histogram_quantile(0.95, sum by (le) (rate(fox_ai_call_seconds_bucket[5m])))",
            "permit (95 %)": "histogram_quantile(0.95, sum by (le) (rate(fox_ai_permit_seconds_bucket[5m])))",
            "oldest request": "max(fox_enrichment_oldest_seconds)",
        },
        "How long the model takes, how long a call waits to be made, and how long a request has waited.",
        unit="s",
        width=6,
    ),
    Panel(
        "Texts: what fails",
        {
            "in flight": "sum(fox_ai_calls_in_flight)",
            "{{code}} / min": "60 * sum by (code) (rate(fox_ai_failures_total[5m]))",
            "{{reason}} / min": "60 * sum by (reason) (rate(fox_ai_rejected_total[5m]))",
        },
        "Calls that fail by code, answers that are not accepted by reason, and calls under way.",
        width=6,
    ),
    Panel(
        "Processor",
        {"{{job}} {{instance}}": 'rate(process_cpu_seconds_total{job=~"foxstream-.+"}[5m])'},
        "Cores that each process uses.",
    ),
    Panel(
        "Memory",
        {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"foxstream-.+"}'},
        "Flat is well.",
        unit="bytes",
    ),
    Panel(
        "Room in the spool",
        {"{{instance}}": "fox_gateway_spool_free_bytes / fox_gateway_spool_size_bytes"},
        "Share of its disk that is free. FoxSpoolDiskLow below 10 %.",
        unit="percentunit",
        limits=(0.2, 0.1),
        below=True,
    ),
)

ROWS = {
    "Is it healthy?": HEALTHY,
    "What is slow?": SLOW,
    "What is failing?": FAILING,
    "What does it cost?": COSTS,
}

_HEIGHT = 7


def text() -> str:
    """The JSON that Grafana is provisioned with."""
    built = _dashboard().build()
    return json.dumps(built, cls=JSONEncoder, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _dashboard() -> dashboard.Dashboard:
    source = dashboard.DatasourceVariable("datasource").label("Source").type("prometheus")
    made = (
        dashboard.Dashboard("foxstream: overview")
        .uid("foxstream-overview")
        .description("Is it healthy, what is slow, what is failing, what does it cost.")
        .tags(["foxstream"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .with_variable(source)
    )
    numbers = count(1)
    for title, panels in ROWS.items():
        made.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            made.with_panel(_build(panel).id(next(numbers)).span(panel.width).height(_HEIGHT))
    return made


def _build(panel: Panel) -> Any:
    made = _empty(panel)
    made.title(panel.title).description(panel.about).unit(panel.unit).datasource(_SOURCE)
    if panel.limits:
        made.thresholds(_thresholds(panel))
    if panel.words:
        texts = {value: ValueMappingResult(text=word) for value, word in panel.words.items()}
        made.mappings([ValueMap(options=texts)])
    for letter, (legend, query) in zip(ascii_uppercase, panel.queries.items(), strict=False):
        made.with_target(prometheus.Dataquery().ref_id(letter).expr(query).legend_format(legend))
    return made


def _empty(panel: Panel) -> Any:
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    by_limits = dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS)
    match panel.kind:
        case "stat":
            mode = BigValueColorMode.BACKGROUND if panel.limits else BigValueColorMode.NONE
            return stat.Panel().reduce_options(last).color_mode(mode).color_scheme(by_limits)
        case "bars":
            return bargauge.Panel().reduce_options(last).min(0).max(1).color_scheme(by_limits)
    drawn = timeseries.Panel().min(0).fill_opacity(10)
    if panel.limits:
        lines = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        drawn.thresholds_style(lines)
    return drawn


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    amber, red = panel.limits
    if panel.below:
        steps = [(None, "red"), (red, "orange"), (amber, "green")]
    else:
        steps = [(None, "green"), (amber, "orange"), (red, "red")]
    if amber == red:
        del steps[1]
    made = [Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)
