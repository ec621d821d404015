"""`make demo`: the whole way of a file, with every real part, in a directory that is thrown away.

    python -m deploy.local.demo

Exit code 0 only if each count is as docs/samples/README.md says.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
from rich.console import Console

from deploy.local.errors import LocalStackError
from deploy.local.local_settings import own_environment
from deploy.local.stack import Stack

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"

FILES = (
    (
        "villes-france.csv",
        "ville",
        {"status": "SUCCESS", "total_rows": 39_192, "inserted": 35_511, "duplicate": 3_681, "rejected": 0},
    ),
    (
        "entreprises.csv",
        "entreprise",
        {"status": "PARTIAL", "total_rows": 1_000, "inserted": 996, "duplicate": 2, "rejected": 2},
    ),
)  # fmt: skip
TABLES = {"location_ville": 35_511, "enterprise_entreprise": 996}

say = Console(highlight=False, soft_wrap=True).print


def main() -> int:
    began = monotonic()
    with tempfile.TemporaryDirectory(prefix="foxstream-demo-") as directory:
        say("[bold]1. Servers[/]  Kafka, schema registry and PostgreSQL, on this machine only")
        try:
            with Stack(Path(directory), report=say) as stack:
                return _tell(stack, began)
        except LocalStackError as error:
            say(f"[red]{error}[/]")
            return 5


def _tell(stack: Stack, began: float) -> int:
    for name, address in stack.environment.items():
        say(f"   {name} {address}")
    say(f"   ready after {monotonic() - began:.1f} s\n")
    say("[bold]2. Worker[/]  tables, topics and schemas, then `foxstream-worker run`")
    for words in (["migrate"], ["topics"], ["schemas", "register"], ["reference", "load"]):
        stack.complete(words[0], [sys.executable, "-m", "processors.worker.commands", *words])
    stack.spawn("worker", [sys.executable, "-m", "processors.worker.commands", "run"])
    wrong: list[str] = []
    for number, (file, kind, expected) in enumerate(FILES, start=3):
        say(f"\n[bold]{number}. Import[/]  foxstream import docs/samples/{file} --type {kind}")
        state = _import(stack, SAMPLES / file, kind)
        wrong += [
            f"{file}: {name} is {state.get(name)}, not {value}"
            for name, value in expected.items()
            if state.get(name) != value
        ]
    say("\n[bold]5. Tables[/]")
    with psycopg.connect(stack.environment["FOX_DATABASE_URL"]) as connection:
        for table, expected_rows in TABLES.items():
            [(rows,)] = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()  # noqa: S608 - our own names  # nosec B608
            say(f"   {table}: {rows:,} rows")
            if rows != expected_rows:
                wrong.append(f"{table}: {rows} rows, not {expected_rows}")
    for sentence in wrong:
        say(f"[red]   {sentence}[/]")
    if wrong:
        return 1
    say(
        f"\n[green]Every count is as expected, {monotonic() - began:.0f} s in all.[/] "
        "The servers stop now. Next:\n"
        "   make up                                  the same, kept running\n"
        '   eval "$(.venv/bin/foxstream-local env)"  then .venv/bin/foxstream --help\n'
        "   docs/import-guide.md                     what a file may look like"
    )
    return 0


def _import(stack: Stack, file: Path, kind: str) -> dict[str, Any]:
    """Imports with what a person sees on the terminal, and asks for the state afterwards."""
    environment = {**own_environment(), **stack.environment}
    command = [sys.executable, "-c", "from producers.cli import app; app()"]
    subprocess.run([*command, "import", str(file), "--type", kind], env=environment, check=False)  # nosec B603 # our own programs and words, no shell
    listed = subprocess.run(  # nosec B603 # our own programs and words, no shell
        [*command, "list", "--json"], env=environment, check=True, stdout=subprocess.PIPE
    )
    states: list[dict[str, Any]] = json.loads(listed.stdout)
    return next((state for state in states if state["file_name"] == file.name), {})


if __name__ == "__main__":
    sys.exit(main())
