"""`foxstream-worker rejects`: lists, shows, sends again and discards rejects of upstream systems."""

import json
import os
from datetime import UTC, datetime
from typing import Annotated

import typer

from processors.worker.operator_settings import operator_settings
from schemas.runtime.login import login_name
from schemas.runtime.terminal import say

rejects_app = typer.Typer(
    help="Rejects of upstream systems: look, send again, give up.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
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

    with operator_settings() as settings:
        of = upstream_rejects.identifiers([import_id])[0] if import_id else None
        moment = since and since.replace(tzinfo=UTC)
        found = upstream_rejects.listed(
            settings, upstream_rejects.Wanted(topic, code, of, moment, limit)
        )
    if as_json:
        say(json.dumps([reject.document() for reject in found], ensure_ascii=False))
    else:
        say(*[upstream_rejects.line(reject) for reject in found] or ["no open rejects"])


@rejects_app.command("show")
def show_reject(reject_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show all of one reject: its faults, headers, key and value, as one JSON document."""
    from processors.operator import upstream_rejects

    with operator_settings() as settings, settings.registry() as registry:
        found = upstream_rejects.one(settings, upstream_rejects.identifiers([reject_id])[0])
        record = upstream_rejects.decoded(found, settings.topic_prefix, registry)
    document = {
        **found.document(),
        "headers": [
            [n, None if v is None else upstream_rejects.readable(v)] for n, v in found.own_headers
        ],
        "record": record,
        "value": found.value and found.value.hex(),
    }
    say(*json.dumps(document, ensure_ascii=False, indent=2, default=str).split("\n"))


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
    """Send rejects to their topic again, unchanged, after the cause is fixed."""
    import threading

    from processors.operator import upstream_rejects

    if bool(ids) == every:
        raise typer.BadParameter("name rejects, or --all")
    if ids and (topic or code):
        raise typer.BadParameter("--topic and --code go with --all")
    with operator_settings() as settings:
        chosen = upstream_rejects.identifiers(ids or [])
        left = 0
        if every:
            wanted = upstream_rejects.Wanted(topic=topic, code=code, limit=limit)
            found = upstream_rejects.listed(settings, wanted)
            chosen = [r.id for r in found if force or r.attempt < upstream_rejects.MOST_ATTEMPTS]
            left = len(found) - len(chosen)
        pause = threading.Event().wait
        sent = upstream_rejects.replay(settings, chosen, force=force, rate=rate, pause=pause)
    say(f"{len(sent)} sent again")
    if left:
        say(f"{left} not: they came back {upstream_rejects.MOST_ATTEMPTS} times (--force)")


@rejects_app.command("discard")
def discard_rejects(
    ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    reason: Annotated[str, typer.Option(help="Why nobody will send them again.")],
) -> None:
    """Give rejects up; their bytes stay until the retention ends."""
    from processors.operator import upstream_rejects

    with operator_settings() as settings:
        chosen = upstream_rejects.identifiers(ids)
        upstream_rejects.discard(settings, chosen, by=login_name() or str(os.getuid()), why=reason)
    say(f"{len(chosen)} discarded")
