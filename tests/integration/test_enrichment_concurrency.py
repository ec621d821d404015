"""As many calls at a time as may be allowed, in one process.

CALLS=1000 .venv/bin/pytest tests/integration/test_enrichment_concurrency.py tries the largest number.
"""

import asyncio
import os
import resource
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from processors.texts.model.model_caller import ModelCaller, Turn
from processors.texts.server.provider import Provider
from tests.fix_enrichment import TERMS, Texts, caught_up, cities, soon, states
from tests.openai_server import Reply, ScriptedOpenAI

CALLS = int(os.environ.get("CALLS", "200"))
KILOBYTES_EACH = 600
"""Of memory, with the server's side of a call and its thread, which are in this process too."""


async def test_all_calls_are_under_way_at_once(texts: Texts, model: ScriptedOpenAI) -> None:
    """Each has a connection of its own and little memory, and is paid once."""
    model.script = lambda _: Reply(hang=600)
    limits = replace(TERMS.limits, concurrency=CALLS, calls=10 * CALLS, seconds=600)
    terms, turn = replace(TERMS, limits=limits), Turn()
    texts.ask(cities(texts.site, CALLS))
    provider = Provider(lambda: "sk-test", model.url, 600)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    callers = [ModelCaller(texts.pool, provider, terms, caught_up, turn) for _ in range(CALLS)]
    tasks = [asyncio.create_task(caller.run()) for caller in callers]
    try:
        await soon(lambda: model.running == CALLS)
        sockets = [path for path in Path("/proc/self/fd").iterdir() if _is_socket(path)]
        assert 2 * CALLS <= len(sockets) <= 2 * CALLS + 64
        model.release()
        await soon(lambda: states(texts.site) == {"done": CALLS})
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await provider.close()

    assert (model.most_running, len(model.paid)) == (CALLS, CALLS)
    assert not model.repeats()
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert more < CALLS * KILOBYTES_EACH + (64 << 10)


def _is_socket(path: Path) -> bool:
    with suppress(OSError):
        return os.readlink(path).startswith("socket:")
    return False


def test_a_thousand_connections_are_more_than_the_usual_limit() -> None:
    """A worker with a model raises the limit of its descriptors as far as it may."""
    script = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))\n"
        "from processors.settings import Settings\n"
        "from processors.texts import stage_config\n"
        "assert stage_config.provider(Settings()) is not None\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    environment = {"OPENAI_API_KEY": "sk-test"}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "4096"
