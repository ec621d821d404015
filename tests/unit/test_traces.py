"""Spans: made where an endpoint is set, linked by the records' header, and without what rows hold."""

import subprocess
import sys
from time import monotonic

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from deploy.local.processes.ports import free_port
from schemas.runtime.traces import HEADER, BatchSpans, Headers, publishing
from tests.collector import attributes, collecting

SECRET = "552100554"


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector is on this machine, whatever proxy there is to others."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_batch_links_to_what_its_records_came_from() -> None:
    """Once each, whatever else their headers hold."""
    with collecting() as collector:
        with publishing(collector.url, "rows.ville", "first") as one:
            assert one is not None
        with publishing(collector.url, "rows.ville", "second") as other:
            assert other is not None
        strange: list[Headers] = [[(HEADER, b"\xff")], [(HEADER, None)], [("x", b"y")], []]
        spans = BatchSpans(collector.url)
        with spans.writing("rows.ville", 3, 70, [one, other, one, *strange]):
            pass
        spans.close()

    sent = collector.spans("send rows.ville")
    assert [attributes(span)["foxstream.import.id"] for span in sent] == ["first", "second"]
    [written] = collector.spans("process rows.ville")
    assert [(link.trace_id, link.span_id) for link in written.links] == [
        (span.trace_id, span.span_id) for span in sent
    ]
    assert (written.kind, written.parent_span_id) == (Span.SPAN_KIND_CONSUMER, b"")
    assert attributes(written) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "rows.ville",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 70,
        "messaging.batch.message_count": 7,
    }


def test_what_an_exception_says_stays_here() -> None:
    """Its kind is told."""
    with collecting() as collector:
        spans = BatchSpans(collector.url)
        with pytest.raises(ValueError, match=SECRET), spans.writing("rows.ville", 0, 0, []):
            raise ValueError(f"Key (siren)=({SECRET}) already exists.")
        spans.close()

    [written] = collector.spans("process rows.ville")
    assert written.status.code == Status.STATUS_CODE_ERROR
    assert attributes(written)["error.type"] == "ValueError"
    assert not [body for body in collector.bodies if SECRET.encode() in body]


def test_nobody_takes_them() -> None:
    """The work is done; the end waits for seconds only."""
    begun = monotonic()
    with publishing(f"http://127.0.0.1:{free_port()}", "rows.ville", "x") as headers:
        assert headers is not None
    assert monotonic() - begun < 30


def test_none_by_default() -> None:
    """The library is not even loaded, and no header is read."""
    script = """
import sys
from schemas.runtime.traces import BatchSpans, publishing
with publishing(None, "rows.ville", "x") as headers:
    assert headers is None
spans = BatchSpans(None)
with spans.writing("rows.ville", 0, 0, (1 / 0 for _ in "x")):
    pass
spans.close()
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
