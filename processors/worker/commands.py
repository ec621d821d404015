"""`foxstream-worker`: runs the agents and prepares what they need.

Each command loads what it uses: Faust and its like take longer to load than most commands to run.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from processors.jobs.catalogue import BATCH, JOBS
from processors.texts.text_commands import commands as enrichment_commands
from schemas.import_types import IMPORT_TYPES
from schemas.runtime.garbage import collect_rarely
from schemas.runtime.login import login_name

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from processors.settings import Settings

collect_rarely()

KINDS = ("rows", "imports", "enrichment")
"""Of agents: processors.worker.topology.KINDS, which loads Faust."""

app = typer.Typer(
    help="Workers of foxstream: Kafka to PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
schemas_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(schemas_app, name="schemas")
rejects_app = typer.Typer(
    help="Rejects of upstream systems: look, send again, give up.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(rejects_app, name="rejects")
reference_app = typer.Typer(
    help="Reference data of the workers.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(reference_app, name="reference")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@contextmanager
def _settings() -> Iterator["Settings"]:
    """The settings; an error that operators can act on becomes one line and its exit code."""
    from processors.settings import Settings

    try:
        yield Settings()
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        code, message = told
        typer.echo(f"foxstream-worker: {message}", err=True)
        raise typer.Exit(code) from None


def _told(error: Exception) -> tuple[int, str] | None:
    """The exit code, and what to say; None of an error of our own making."""
    from pydantic import ValidationError

    from processors.database.pool import NOT_MIGRATED
    from processors.errors import WorkerError
    from schemas.runtime.registry import RegistryDeniedError, RegistryUnavailableError
    from schemas.runtime.server_settings import SecretFileError

    if isinstance(error, NOT_MIGRATED):
        return 2, f"{error.diag.message_primary}: run 'foxstream-worker migrate'"
    match error:
        case WorkerError():
            return error.exit_code, str(error)
        case RegistryUnavailableError():
            return 2 if isinstance(error, RegistryDeniedError) else 5, str(error)
        case ValidationError():
            return 2, "; ".join(map(_wrong, error.errors()))
        case UnicodeEncodeError() | SecretFileError():
            return 2, _misread(error)
    return None


def _misread(error: ValueError) -> str:
    return f"no UTF-8: {error.object!a}" if isinstance(error, UnicodeEncodeError) else str(error)


def _wrong(problem: "ErrorDetails") -> str:
    name = str(problem["loc"][0]).upper()
    return f"{name if name.startswith('OPENAI_') else f'FOX_{name}'}: {problem['msg']}"


@app.command()
def run(
    kinds: Annotated[
        list[str] | None, typer.Argument(help=f"Which agents: {', '.join(KINDS)}. None: all.")
    ] = None,
) -> None:
    """Run agents until SIGTERM or Ctrl-C."""
    unknown = set(kinds or ()) - set(KINDS)
    if unknown:
        raise typer.BadParameter(
            f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}"
        )
    import asyncio

    from processors.monitoring import logs

    logs.configure()
    with _settings() as settings:
        from processors.worker.process import run as run_worker

        asyncio.run(run_worker(settings, kinds or list(KINDS)))


@app.command()
def migrate() -> None:
    """Bring the database up to this version."""
    from processors.database.migrator import migrate as apply_migrations

    with _settings() as settings:
        applied = apply_migrations(settings.database_url.get_secret_value())
    typer.echo("\n".join(f"applied {name}" for name in applied) or "the database is up to date")


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
    from processors.kafka import broker_topics

    with _settings() as settings:
        created = broker_topics.create_topics(settings)
        widened = []
        if partitions is not None:
            from processors.operator.partitions import widen

            widened = widen(settings, partitions)
    typer.echo(
        "\n".join(
            [
                *(f"created {name}" for name in created),
                *(f"{name} has {partitions} partitions" for name in widened),
            ]
        )
        or "all topics are there"
    )


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

    with _settings() as settings, settings.registry() as registry:
        for topic in TOPICS:
            if topic.record is None:
                continue
            subject = f"{settings.topic_prefix}{topic.name}-value"
            try:
                schema_id = registry.register(subject, load(topic.record))
            except IncompatibleSchemaError as error:
                typer.echo(f"foxstream-worker: not BACKWARD compatible: {error}", err=True)
                raise typer.Exit(2) from None
            typer.echo(f"{subject} has id {schema_id}")


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
    with _settings() as settings:
        found = row_trace.trace(settings, key, import_type)
    if not found:
        typer.echo(f"foxstream-worker: nothing is known by {key!r}", err=True)
        raise typer.Exit(4)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        typer.echo("\n".join(line for each in found for line in row_trace.lines(each)))


Topic = Annotated[str | None, typer.Option(help="Only of this topic.")]
Code = Annotated[str | None, typer.Option(help="Only with this fault: docs/errors.md.")]
Import = Annotated[str | None, typer.Option("--import", help="Of this import instead.")]
Since = Annotated[datetime | None, typer.Option(help="Only rejected from then on, UTC.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Most rejects.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids of rejects.")]


@rejects_app.command("list")
def list_rejects(
    topic: Topic = None,
    code: Code = None,
    import_id: Import = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List open rejects, the newest first."""
    from processors.operator import upstream_rejects

    with _settings() as settings:
        of = upstream_rejects.identifiers([import_id])[0] if import_id else None
        moment = since and since.replace(tzinfo=UTC)
        found = upstream_rejects.listed(
            settings, upstream_rejects.Wanted(topic, code, of, moment, limit)
        )
    if as_json:
        typer.echo(json.dumps([reject.document() for reject in found], ensure_ascii=False))
    else:
        typer.echo("\n".join(map(upstream_rejects.told, found)) or "no open rejects")


@rejects_app.command("show")
def show_reject(reject_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show all of one reject: its faults, headers, key and value, as one JSON document."""
    from processors.operator import upstream_rejects

    with _settings() as settings, settings.registry() as registry:
        found = upstream_rejects.one(settings, upstream_rejects.identifiers([reject_id])[0])
        record = upstream_rejects.decoded(found, settings.topic_prefix, registry)
    document = {
        **found.document(),
        "headers": [[n, upstream_rejects.readable(v)] for n, v in found.own_headers],
        "record": record,
        "value": found.value and found.value.hex(),
    }
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))


@rejects_app.command("replay")
def replay_rejects(
    ids: Ids = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that `list` shows with the same options.")
    ] = False,
    topic: Topic = None,
    code: Code = None,
    limit: Limit = 50,
    force: Annotated[
        bool, typer.Option("--force", help="Also what came back three times.")
    ] = False,
    rate: Annotated[int, typer.Option(min=1, help="Most rejects a second.")] = 500,
) -> None:
    """Send rejects to their topic again as they were, once what refused them is mended."""
    import threading

    from processors.operator import upstream_rejects

    if bool(ids) == every:
        raise typer.BadParameter("name rejects, or --all")
    if ids and (topic or code):
        raise typer.BadParameter("--topic and --code go with --all")
    with _settings() as settings:
        chosen = upstream_rejects.identifiers(ids or [])
        left = 0
        if every:
            wanted = upstream_rejects.Wanted(topic=topic, code=code, limit=limit)
            found = upstream_rejects.listed(settings, wanted)
            chosen = [r.id for r in found if force or r.attempt < upstream_rejects.MOST_ATTEMPTS]
            left = len(found) - len(chosen)
        pause = threading.Event().wait
        sent = upstream_rejects.replay(settings, chosen, force=force, rate=rate, pause=pause)
    typer.echo(f"{len(sent)} sent again")
    if left:
        typer.echo(f"{left} not: they came back {upstream_rejects.MOST_ATTEMPTS} times (--force)")


@rejects_app.command("discard")
def discard_rejects(
    ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    reason: Annotated[str, typer.Option(help="Why nobody will send them again.")],
) -> None:
    """Give rejects up; their bytes stay until the retention ends."""
    from processors.operator import upstream_rejects

    with _settings() as settings:
        chosen = upstream_rejects.identifiers(ids)
        upstream_rejects.discard(settings, chosen, by=_user(), why=reason)
    typer.echo(f"{len(chosen)} discarded")


def _user() -> str:
    return login_name() or str(os.getuid())


@reference_app.callback()
def reference_commands() -> None:
    """Reference data of the workers."""


@reference_app.command("load")
def load_reference(
    file: Annotated[
        Path | None,
        typer.Argument(help="CSV with naf_code, libelle, sous_categorie. None: the shipped one."),
    ] = None,
) -> None:
    """Load the NAF nomenclature and the sub-category that each activity is."""
    from processors.operator import naf_reference

    with _settings() as settings, settings.registry() as registry:
        activities = naf_reference.read(file or naf_reference.shipped())
        removed = naf_reference.publish(settings, registry, activities)
    typer.echo(f"{len(activities)} activities loaded, {removed} removed")


@app.command()
def job(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(JOBS)}.")],
    batch: Annotated[
        int, typer.Option(min=1, max=10_000, help="Rows, or imports, in a transaction.")
    ] = BATCH,
    as_json: Json = False,
) -> None:
    """Run a job once, now."""
    from processors.jobs.job_run import by_hand
    from processors.monitoring import logs

    if name not in JOBS:
        raise typer.BadParameter(f"unknown: {name}; there are {', '.join(JOBS)}")
    logs.configure()
    with _settings() as settings:
        counts = by_hand(settings, name, batch)
    if as_json:
        typer.echo(json.dumps(counts))
    else:
        typer.echo(", ".join(f"{count} {what}" for what, count in counts.items()))


@app.command("jobs")
def list_jobs(as_json: Json = False) -> None:
    """List the jobs: when each is due, its last run and what became of it, the next."""
    from zoneinfo import ZoneInfo

    from processors.jobs import job_list

    with _settings() as settings:
        found = job_list.listed(settings, datetime.now(UTC))
        zone = ZoneInfo(settings.jobs_time_zone)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        typer.echo("\n".join(job_list.lines(found, zone)))


@app.command()
def pages(
    limit: Annotated[int, typer.Option(min=1, help="Most companies.")] = 50,
    as_json: Json = False,
) -> None:
    """List companies without a page, and what it lacks: naf, sous-categorie or ville."""
    from processors.operator.waiting import unresolved

    with _settings() as settings:
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

    with _settings() as settings:
        found = waiting_rows(settings, import_id, limit)
    _list(found, "no row waits", as_json=as_json)


def _list(found: list[dict[str, object]], nothing: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, default=str))
    else:
        lines = ("  ".join(str(value) for value in row.values()) for row in found)
        typer.echo("\n".join(lines) or nothing)


app.add_typer(enrichment_commands(_settings), name="enrichment")


if __name__ == "__main__":
    app()
