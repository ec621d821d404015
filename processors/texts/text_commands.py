"""`foxstream-worker enrichment`: what became of the texts, and what to ask again."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from schemas.runtime.login import login_name
from schemas.runtime.terminal import say

if TYPE_CHECKING:
    from processors.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


class BudgetKind(Enum):
    """What a budget is of."""

    IMPORT = "import"
    DAY = "day"
    MONTH = "month"


Open = Callable[[], AbstractContextManager["Settings"]]


def commands(settings: Open) -> typer.Typer:
    """The commands; `settings` turns errors into exit codes."""
    app = typer.Typer(
        help="Texts by the language model.", no_args_is_help=True, rich_markup_mode=None
    )

    @app.command("report")
    def report(
        days: Annotated[int, typer.Option(min=1, help="Calls of so many days.")] = 30,
        as_json: Json = False,
    ) -> None:
        """Tell what is asked, failed, spent, and asked more than once."""
        from processors.texts import report

        with settings() as known:
            found = report.report(known, days)
        _print(found, as_json=as_json, lines=report.lines(found))

    @app.command("failed")
    def failed(
        limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most requests.")] = 50,
        as_json: Json = False,
    ) -> None:
        """List requests that failed for good, and why."""
        from processors.texts import report

        with settings() as known:
            found = report.failed(known, limit)
        lines = [f"{f['id']}  {f['kind']}  {f['entity_id']}  {f['code']}: {f['message']}" for f in found]  # fmt: skip
        _print(found, as_json=as_json, lines=lines or ["no failed requests"])

    @app.command("retry")
    def retry(
        ids: Annotated[list[UUID] | None, typer.Argument(metavar="ID...")] = None,
        every: Annotated[bool, typer.Option("--all", help="All that failed or were left.")] = False,
    ) -> None:
        """Ask again for texts that failed or were left."""
        from processors.texts import report

        if bool(ids) == every:
            raise typer.BadParameter("name requests, or --all")
        with settings() as known:
            count = report.retry(known, ids or None)
        say(f"{count} asked again")

    _add_regenerate(app, settings)
    _controls(app, settings)
    return app


def _add_regenerate(app: typer.Typer, settings: Open) -> None:
    @app.command("regenerate")
    def regenerate(
        kind: Annotated[str, typer.Argument(help="A kind of text.")],
        keys: Annotated[list[str], typer.Argument(metavar="ROW...", help="Ids, slugs or SIRENs.")],
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Also what people have edited.")
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask before that.")] = False,
    ) -> None:
        """Have other texts written for rows that have one. The old ones are kept."""
        from processors.texts import regeneration
        from processors.texts.kinds import KINDS

        if kind not in KINDS:
            raise typer.BadParameter(f"{kind} is not one of {', '.join(KINDS)}")
        with settings() as known:
            rows = regeneration.entities(known, kind, keys)
            if unknown := [key for key, ids in rows.items() if not ids]:
                raise typer.BadParameter(f"the site has no {kind} {', '.join(unknown)}")
            if overwrite and not yes:
                typer.confirm("Replace what people have edited?", abort=True)
            ids = [entity_id for found in rows.values() for entity_id in found]
            asked = regeneration.regenerate(known, kind, ids, overwrite=overwrite)
        say(f"{asked.rows} asked anew")
        if asked.edited and not overwrite:
            say(f"{asked.edited} have columns that people edited: they stay (--overwrite)")


def _controls(app: typer.Typer, settings: Open) -> None:
    """The commands that change what all workers do, at once."""

    @app.command("pause")
    def pause(
        reason: Annotated[str | None, typer.Argument(help="Shown to users and operators.")] = None,
    ) -> None:
        """Ask the model nothing more, until `resume`."""
        from processors.texts import control

        with settings() as known:
            control.pause(known, login_name(), reason)
        say("paused")

    @app.command("resume")
    def resume() -> None:
        """Ask the model again, after `pause` or after what has halted the texts."""
        from processors.texts import control

        with settings() as known:
            control.resume(known)
        say("resumed")

    @app.command("budget")
    def budget(
        kind: Annotated[BudgetKind, typer.Argument(help="Of one import, of a day or of a month.")],
        amount: Annotated[
            str,
            typer.Argument(metavar="USD|none|setting", help="setting: as FOX_AI_BUDGET_… says."),
        ],
    ) -> None:
        """Set a budget for all workers at once, in place of the setting."""
        from processors.texts import control

        with settings() as known:
            if amount == "setting":
                control.reset_budget(known, kind.value)
            else:
                control.set_budget(known, kind.value, _dollars(amount))
            limit = control.budgets(known)[kind.value]
        say(f"{kind.value}: {'no limit' if limit is None else f'{limit:f} USD'}")


def _dollars(text: str) -> Decimal | None:
    """An amount; None for "none"."""
    if text == "none":
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not (amount.is_finite() and 0 <= amount < 10**6):
        raise typer.BadParameter("an amount in US dollars, none, or setting")
    return amount


def _print(document: object, *, as_json: bool, lines: list[str]) -> None:
    say(*[json.dumps(document, ensure_ascii=False)] if as_json else lines)
