"""The same workers with a fake of the model that others wrote: llmock, from PyPI."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.processes.ports import accepts, free_port
from tests.fix_enrichment import FAST, ask, cities, configure, report, settled
from tests.fix_stack import Site, eventually

LLMOCK = str(Path(sys.executable).with_name("llmock"))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a llmock that fails a third of all calls."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    errors = ("500=0.15", "503=0.1", "429=0.1")
    words = [word for error in errors for word in ("--error-rate", error)]
    with (tmp_path / "llmock.log").open("wb") as log:
        server = subprocess.Popen(
            [LLMOCK, "serve", "--host", "127.0.0.1", "--port", str(port), *words],
            stdout=log,
            stderr=log,
            env={**os.environ, "COLUMNS": "80"},
        )
    try:
        # No request, which it might answer with a fault, and judge what comes after that.
        eventually(lambda: accepts("127.0.0.1", port))
        yield address
    finally:
        server.terminate()
        server.wait(10)


def test_llmock_finds_nothing_to_complain_of(site: Site, url: str) -> None:
    """Each request comes to its end through failures of all kinds, and the client behaves.

    llmock answers by the schema that is sent, in texts that are too short for a page: each prompt is
    asked again twice with what is wrong, and nothing of it reaches the site.
    """
    site.settings = {
        **FAST,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": f"{url}/v1",
        "NO_PROXY": "*",
    }
    configure(site, breaker_failures=50, retries=20)
    ask(site, "VILLE", cities(site, 10), "missing")
    site.worker("enrichment")

    assert settled(site, 10, 240) == {"failed": 10}
    told = report(site)
    assert told["failures"] == [{"code": "schema", "requests": 10}]
    calls = {call["state"]: call["calls"] for call in told["calls"]}
    assert calls["answered"] == 30
    assert site.query("SELECT count(*)::int FROM ingest.ai_rejected") == [(30,)]
    assert site.query("SELECT DISTINCT texte_description_ia FROM location_ville") == [("",)]
    verdict = subprocess.run(
        [LLMOCK, "report", "--url", url], capture_output=True, text=True, check=False,
        env={**os.environ, "NO_PROXY": "*"},
    )  # fmt: skip
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
