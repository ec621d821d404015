"""Attacks one after another against one stage, with legitimate traffic beside them."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import httpx

from tests.attacks.attack_process import AttackProcess
from tests.attacks.memory import PeakMemory
from tests.attacks.scripts import ATTACKS
from tests.attacks.scripts.attacker import FIRST, Attacker
from tests.attacks.stage import Stage, prepared_stage
from tests.attacks.traffic import Traffic
from tests.attacks.verdict import Verdict

_WARM_UP_SECONDS = 2.0


def verdicts(names: list[str], folder: Path) -> Iterator[Verdict]:
    """On servers of its own below a directory that is there."""
    with prepared_stage(folder) as stage, Traffic(stage) as traffic:
        attacker = Attacker(
            stage.secured.settings("fox-upstream"),
            stage.secured.stack.environment["FOX_SCHEMA_REGISTRY_URL"],
            stage.served.port,
            stage.attacker,
        )
        traffic.measured(lambda: Event().wait(_WARM_UP_SECONDS))
        for name in names:
            yield _verdict(name, stage, traffic, attacker)


def _verdict(name: str, stage: Stage, traffic: Traffic, attacker: Attacker) -> Verdict:
    attack = ATTACKS[name]
    process = AttackProcess(name, attacker)
    try:
        process.prepared()
        quiet, _ = traffic.measured(lambda: Event().wait(attack.seconds))
        with PeakMemory(stage.worker.pid, stage.gateway.pid) as peak:
            attacked, found = traffic.measured(process.attack)
    finally:
        process.end()
    return Verdict(
        name,
        attack.fair,
        quiet,
        attacked,
        peak.mb[stage.worker.pid],
        peak.mb[stage.gateway.pid],
        [*found, *_state(stage, traffic)],
    )


def _state(stage: Stage, traffic: Traffic) -> Iterator[str]:
    """What is not as before, but for the attacker's own rows."""
    for what, process in (("worker", stage.worker), ("gateway", stage.gateway)):
        if not process.running:
            yield f"the {what} ended: {process.log_tail()[-300:]}"
    yield from traffic.failures
    traffic.failures.clear()
    with httpx.Client(base_url=stage.served.url, trust_env=False, timeout=30) as client:
        if client.get("/livez").status_code != 200:
            yield "/livez does not answer"
    for import_id in traffic.imports:
        state = stage.served.state(import_id)
        if (state["status"], state["success_rows"], state["error_rows"]) != ("SUCCESS", 2, 0):
            yield f"an import of two lines: {state['status']}, {state['success_rows']} rows"
    yield from _foreign_rows(stage, traffic)


def _foreign_rows(stage: Stage, traffic: Traffic) -> Iterator[str]:
    execute = stage.secured.execute
    files = 2 * len(traffic.imports)
    [(odd, of_files)] = execute(
        "SELECT count(*) FILTER (WHERE nom NOT IN ('Juste ' || siren, 'Fichier ' || siren)),"
        " count(*) FILTER (WHERE nom = 'Fichier ' || siren)"
        f" FROM enterprise_entreprise WHERE siren < '{FIRST}'"
    )
    if odd or of_files != files:
        yield f"{odd} rows of others are changed, {of_files} of {files} rows of files are there"
    [(future,)] = execute("SELECT count(*) FROM enterprise_entreprise WHERE nom = 'Futur'")
    if future:
        yield f"{future} rows from the future are written"
    ids = ",".join(f"'{each}'" for each in traffic.imports) or "NULL"
    [(rejects,)] = execute(f"SELECT count(*) FROM ingest.rejects WHERE import_id IN ({ids})")
    if rejects:
        yield f"{rejects} rejects of legitimate imports"
