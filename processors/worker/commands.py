"""`foxstream-worker`: runs the agents and prepares what they need.

Each command imports what it uses: Faust takes longer to import than most commands take to run.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from processors.jobs.catalogue import BATCH, JOBS
from processors.texts.text_commands import commands as enrichment_commands
from processors.worker.operator_settings import operator_settings
from processors.worker.reject_commands import rejects_app
from schemas.import_types import IMPORT_TYPES
from schemas.runtime.garbage import collect_rarely
from schemas.runtime.terminal import say, write_out
from schemas.runtime.termination import end_at_once

collect_rarely()

KINDS = ("rows", "imports", "enrichment")
"""The kinds of agents: those of processors.worker.topology.KINDS, whose module imports Faust."""

app = typer.Typer(
    help="Workers of foxstream: Kafka to PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
schemas_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(schemas_app, name="schemas")
app.add_typer(rejects_app, name="rejects")
reference_app = typer.Typer(
    help="Reference data of the workers.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(reference_app, name="reference")

positions_app = typer.Typer(
    help="Positions of the workers, in PostgreSQL.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(positions_app, name="positions")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command()
def run(
    kinds: Annotated[
        list[str] | None, typer.Argument(help=f"Which agents: {', '.join(KINDS)}. None: all.")
    ] = None,
) -> None:
    """Run agents until SIGTERM or Ctrl-C."""
    end_at_once()
    unknown = set(kinds or ()) - set(KINDS)
    if unknown:
        raise typer.BadParameter(
            f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}"
        )
    import asyncio

    from schemas.runtime import logs

    logs.configure()
    with operator_settings() as settings:
        from processors.worker.process import run as run_worker

        asyncio.run(run_worker(settings, kinds or list(KINDS)))


@app.command()
def migrate() -> None:
    """Bring the database up to this version, if the site's tables fit; show what is filled in."""
    from processors.database.migrator import migrate as apply_migrations
    from processors.operator import site_fit

    found: list[site_fit.Fit] = []
    with operator_settings() as settings:
        applied = apply_migrations(
            settings.database_url.get_secret_value(),
            lambda connection: found.extend(site_fit.check(connection)),
        )
    say(*map(str, found))
    say(*[f"applied {name}" for name in applied] or ["the database is up to date"])


@app.command()
def topics(
    partitions: Annotated[
        int | None,
        typer.Option(
            help="Give the row topics so many partitions. Workers are stopped, all imports ended, "
            "all rows written: a row's key decides its partition, and its order within it."
        ),
    ] = None,
) -> None:
    """Create the topics that are missing."""
    from processors.operator.partitions import create, widen

    with operator_settings() as settings:
        created = create(settings)
        widened = [] if partitions is None else widen(settings, partitions)
    done = [
        *(f"created {name}" for name in created),
        *(f"{name} has {partitions} partitions" for name in widened),
    ]
    say(*done or ["all topics are there"])


@positions_app.callback()
def positions_commands() -> None:
    """Positions of the workers, in PostgreSQL."""


@positions_app.command("accept")
def accept_position(
    topic: Annotated[str, typer.Argument(help="Its whole name, as the log of the worker has it.")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Where to go on. None: at the lowest offset that may hold a record that was never "
            "read; what was read before is read again.",
        ),
    ] = None,
) -> None:
    """Let a partition go on whose position the log does not have; what is lost is lost."""
    from processors.operator.accepted_positions import accept

    with operator_settings() as settings:
        accepted = accept(settings, topic, partition, offset)
    say(f"{topic}[{partition}] goes on at offset {accepted.now}, not {accepted.before}")


@schemas_app.callback()
def schemas(context: typer.Context) -> None:
    """Avro schemas in the registry: without a further word, as `register`."""
    if context.invoked_subcommand is None:
        register()


@schemas_app.command()
def register() -> None:
    """Register this version's schemas; refuse one that cannot read what was written before."""
    from schemas.codec.framing import load
    from schemas.runtime.registry import IncompatibleSchemaError
    from schemas.topics import TOPICS

    with operator_settings() as settings, settings.registry() as registry:
        for topic in TOPICS:
            if topic.record is None:
                continue
            subject = f"{settings.topic_prefix}{topic.name}-value"
            try:
                schema_id = registry.register(subject, load(topic.record))
            except IncompatibleSchemaError as error:
                say(f"foxstream-worker: not BACKWARD compatible: {error}", err=True)
                raise typer.Exit(2) from None
            say(f"{subject} has id {schema_id}")


@app.command()
def recover() -> None:
    """Fill a new Kafka from PostgreSQL after the old one was lost. Workers and gateways are stopped."""
    from processors.operator import kafka_recovery

    register()
    with operator_settings() as settings, settings.registry() as registry:
        recovered = kafka_recovery.recover(settings, registry)
    say(
        *(f"created {name}" for name in recovered.created),
        *(f"{name} is read from its beginning" for name in recovered.lost),
        *(f"published again: {count} {what}" for what, count in recovered.published.items()),
        *(f"send {file} again: import {id_} lacks rows" for id_, file in recovered.unfinished),
    )
    if not recovered.lost:
        say("Kafka has the topics that the positions are of: nothing is restored")


@app.command()
def trace(
    key: Annotated[str, typer.Argument(help="A SIREN or SIRET, a slug, a name, a code.")],
    type_: Annotated[str | None, typer.Option("--type", help="Only this import type.")] = None,
    as_json: Json = False,
) -> None:
    """Tell a row's way: file and line, topic, partition and offset, what the table holds."""
    from processors.operator import row_trace

    import_type = type_ and type_.upper().replace("-", "_")
    if import_type not in (None, *IMPORT_TYPES):
        raise typer.BadParameter(f"unknown: {type_}; there are {', '.join(IMPORT_TYPES)}")
    with operator_settings() as settings:
        found = row_trace.trace(settings, key, import_type)
    if not found:
        say(f"foxstream-worker: nothing is known by {key!r}", err=True)
        raise typer.Exit(4)
    if as_json:
        say(json.dumps(found, ensure_ascii=False))
    else:
        say(*(line for each in found for line in row_trace.lines(each)))


@reference_app.callback()
def reference_commands() -> None:
    """Reference data of the workers."""


@reference_app.command("load")
def load_reference(
    file: Annotated[
        Path | None,
        typer.Argument(help="CSV with naf_code, libelle, sous_categorie. None: the shipped one."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV of NAF 2025: naf_code, libelle. None: the shipped one."),
    ] = None,
    correspondence: Annotated[
        Path | None,
        typer.Option(
            help="CSV with code_rev2, code_2025, certain (oui, non). None: the shipped one."
        ),
    ] = None,
) -> None:
    """Load NAF rev. 2 and NAF 2025, and the sub-category that each activity is."""
    from processors.operator.naf import naf_files, naf_reference

    with operator_settings() as settings, settings.registry() as registry:
        activities = naf_files.read(file or naf_files.shipped())
        naf2025 = naf_files.read_naf2025(labels, correspondence)
        loaded = naf_reference.publish(settings, registry, activities, naf2025)
    say(f"{loaded.activities} activities loaded, {loaded.removed} removed")
    _report_undecided(loaded.undecided)


@reference_app.command("worksheet")
def write_worksheet(
    output: Annotated[Path | None, typer.Option(help="A new file. None: standard output.")] = None,
) -> None:
    """List the codes of NAF 2025 without a sub-category, for a person who chooses one for each."""
    from processors.operator.naf import naf_worksheet

    with operator_settings() as settings:
        document = naf_worksheet.document(settings)
        if output is None:
            write_out(document)
        else:
            naf_worksheet.save(output, document)


@reference_app.command("decide")
def decide_reference(
    file: Annotated[Path, typer.Argument(help="A worksheet with an x in the column choix.")],
) -> None:
    """Give codes of NAF 2025 the sub-categories that a person chose in a worksheet."""
    from processors.operator.naf import naf_decisions, naf_worksheet

    with operator_settings() as settings, settings.registry() as registry:
        chosen = naf_worksheet.choices(file)
        undecided = naf_decisions.publish(settings, registry, chosen)
    say(f"{len(chosen)} sub-categories decided")
    _report_undecided(undecided)


def _report_undecided(count: int) -> None:
    if count:
        say(f"{count} of NAF 2025 without a sub-category: foxstream-worker reference worksheet")


@app.command()
def job(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(JOBS)}.")],
    batch: Annotated[
        int, typer.Option(min=1, max=10_000, help="Rows, or imports, in a transaction.")
    ] = BATCH,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what switch-naf would change.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a job once, now."""
    from processors.jobs import job_run
    from schemas.runtime import logs

    if name not in JOBS:
        raise typer.BadParameter(f"unknown: {name}; there are {', '.join(JOBS)}")
    if dry_run and name not in job_run.DRY_RUNS:
        raise typer.BadParameter(f"only {', '.join(job_run.DRY_RUNS)} has a dry run")
    logs.configure()
    with operator_settings() as settings:
        counts = (
            job_run.dry_run(settings, name) if dry_run else job_run.by_hand(settings, name, batch)
        )
    if as_json:
        say(json.dumps(counts))
    else:
        say(", ".join(f"{count} {what}" for what, count in counts.items()))


@app.command("jobs")
def list_jobs(as_json: Json = False) -> None:
    """List the jobs: when each is due, its last run and what became of it, the next."""
    from zoneinfo import ZoneInfo

    from processors.jobs import job_list

    with operator_settings() as settings:
        found = job_list.listed(settings, datetime.now(UTC))
        zone = ZoneInfo(settings.jobs_time_zone)
    if as_json:
        say(json.dumps(found, ensure_ascii=False))
    else:
        say(*job_list.lines(found, zone))


@app.command()
def pages(
    limit: Annotated[int, typer.Option(min=1, help="Most companies.")] = 50,
    as_json: Json = False,
) -> None:
    """List companies without a page, and why: naf, sous-categorie, ville (missing) or refused."""
    from processors.operator.waiting import unresolved

    with operator_settings() as settings:
        found = unresolved(settings, limit)
    _list(found, "no company waits for its page", as_json=as_json)


@app.command()
def parked(
    import_id: Annotated[UUID | None, typer.Argument(metavar="[ID]")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows.")] = 50,
    as_json: Json = False,
) -> None:
    """List rows that wait for the row that they belong to, of one import or of all."""
    from processors.operator.waiting import parked as waiting_rows

    with operator_settings() as settings:
        found = waiting_rows(settings, import_id, limit)
    _list(found, "no row waits", as_json=as_json)


def _list(found: Sequence[Mapping[str, object]], nothing: str, *, as_json: bool) -> None:
    if as_json:
        say(json.dumps(found, ensure_ascii=False, default=str))
    else:
        lines = ["  ".join(str(value) for value in row.values()) for row in found]
        say(*lines or [nothing])


app.add_typer(enrichment_commands(operator_settings), name="enrichment")


if __name__ == "__main__":
    app()
