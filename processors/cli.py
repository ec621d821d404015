"""`foxstream-worker`: runs the agents and prepares what they need."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from pydantic import ValidationError

from processors import cluster, logs
from processors.app import KINDS
from processors.database.migrate import migrate as apply_migrations
from processors.errors import WorkerError
from processors.running import run as run_worker
from processors.settings import Settings
from processors.widening import widen
from schemas.codec import load
from schemas.registry import IncompatibleSchemaError, Registry, RegistryUnavailableError
from schemas.topics import TOPICS

app = typer.Typer(
    help="Workers of foxstream: Kafka to PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
schemas_app = typer.Typer(invoke_without_command=True)
app.add_typer(schemas_app, name="schemas")


@contextmanager
def _settings() -> Iterator[Settings]:
    """The settings; a WorkerError in the block becomes one line and its exit code."""
    try:
        yield Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"FOX_{'.'.join(map(str, told['loc'])).upper()}: {told['msg']}"
            for told in error.errors()
        )
        typer.echo(f"foxstream-worker: {wrong}", err=True)
        raise typer.Exit(2) from None
    except WorkerError as error:
        typer.echo(f"foxstream-worker: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except RegistryUnavailableError as error:
        typer.echo(f"foxstream-worker: {error}", err=True)
        raise typer.Exit(5) from None


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
    logs.configure()
    with _settings() as settings:
        asyncio.run(run_worker(settings, kinds or list(KINDS)))


@app.command()
def migrate() -> None:
    """Bring the database up to this version."""
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
    with _settings() as settings:
        created = cluster.create_topics(settings.kafka_bootstrap, settings.topic_prefix)
        widened = [] if partitions is None else widen(settings, partitions)
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
    with _settings() as settings, Registry(settings.schema_registry_url) as registry:
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


if __name__ == "__main__":
    app()
