"""Texts through kills: a thousand requests, in the long run `make faults`.

    python -m tests.faults.texts [--requests N] [--directory PATH]

Two real workers, of which one dies after a quarter of the texts and another after half of them, and a
model of whose calls three of ten fail. Exit code 1 where anything is otherwise than it should be.
"""

import argparse
import sys
from pathlib import Path

from deploy.local.stack import Stack
from tests import long_run
from tests.fix_enrichment import FAST, ask, cities, configure, report, settled, states
from tests.fix_stack import Site, eventually, prepared
from tests.openai_server import Call, Reply, ScriptedOpenAI

CALLS = 60
"""Most that any WINDOW may hold."""

WINDOW = float(FAST["FOX_AI_WINDOW_SECONDS"])
CONCURRENCY = 4
KILLS = 2


def rotten(call: Call) -> Reply:
    """Three calls of ten fail, each prompt at most twice, in all the ways that pass."""
    if call.repeated >= 2 or call.number % 10 >= 3:
        return Reply(hang=0.05)
    return (
        Reply(500),
        Reply(503, headers={"Retry-After-Ms": "50"}),
        Reply(429, headers={"Retry-After": "0.1"}, error={"code": "rate_limit_exceeded"}),
        Reply(reset=True),
        Reply(raw=b"{"),
    )[call.number // 10 % 5]


def through_kills(shop: Site, model: ScriptedOpenAI, requests: int) -> list[str]:
    """What does not hold after so many requests: nothing, where all is well."""
    configure(shop, requests_per_minute=CALLS, concurrency=CONCURRENCY, breaker_failures=50)
    model.script = rotten
    workers = [shop.worker("enrichment"), shop.worker("enrichment")]
    ask(shop, "VILLE", cities(shop, requests))
    for done in (requests // 4, requests // 2):
        eventually(lambda wanted=done: states(shop).get("done", 0) >= wanted)  # type: ignore[misc]
        workers.pop(0).kill()
        workers.append(shop.worker("enrichment"))
    found = settled(shop, requests, 400)
    written = shop.query(
        "SELECT count(*)::int, count(DISTINCT texte_description_ia)::int FROM location_ville "
        "WHERE texte_description_ia <> ''"
    )
    repeats = model.repeats()
    told = report(shop)["repeated"]
    # A killed worker's call runs on at the server. A kill leaves at most as many in flight as may run.
    claims = {
        f"every request is done: {found}": found == {"done": requests},
        f"every city has a text of its own: {written}": written == [(requests, requests)],
        f"what was paid twice was in flight at a kill: {repeats}": (
            repeats.total() <= KILLS * CONCURRENCY and max(repeats.values(), default=0) <= 1
        ),
        f"the report tells of it: {told}": (
            repeats.total() <= told["lost_calls"] and told["answered_twice"] == 0
        ),
        f"the rate holds: {model.most_in(WINDOW)}": model.most_in(WINDOW) <= CALLS,
        f"so does the concurrency: {model.most_running}": model.most_running <= KILLS * CONCURRENCY,
    }
    return [claim for claim, holds in claims.items() if not holds]


def main(words: list[str]) -> int:
    """Runs once; returns the exit code."""
    parser = argparse.ArgumentParser("python -m tests.faults.texts")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--directory", type=Path, help="where servers and logs are, and stay")
    given = parser.parse_args(words)
    with (
        long_run.directory(given.directory) as directory,
        Stack(directory / "stack", keep_schemas=True) as stack,
        ScriptedOpenAI() as model,
    ):
        site = prepared(stack)
        site.settings = {**model.environment, **FAST}
        wrong = through_kills(site, model, given.requests)
        site.end()
        twice = model.repeats().total()
    for claim in wrong:
        long_run.report(f"DIFFERENCE: {claim}")
    verdict = "NOT as it has to be" if wrong else "all as it has to be"
    long_run.report(
        f"texts: {given.requests:,} requests, {KILLS} kills, {twice} paid twice: {verdict}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
