"""foxstream-gateway: the HTTP API and the admin pages, and the tokens that open them.

What takes time to load is loaded where it is used: child processes load this module again.
"""

import gc
import os
from datetime import UTC, datetime, timedelta
from getpass import getuser
from socket import gethostname
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producers.terminal.exits import USAGE, explained, fail
from schemas.runtime.terminal import say
from schemas.runtime.termination import end_at_once

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from producers.settings import GatewaySettings

app = typer.Typer(
    name="foxstream-gateway",
    help="L'API HTTP et les pages d'administration de foxstream.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
token = typer.Typer(help="Les jetons d'accès.", no_args_is_help=True)
app.add_typer(token, name="token")


@app.callback()
def main(context: typer.Context) -> None:
    """Sans commande : « run »."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run() -> None:
    """Sert jusqu'à Ctrl-C ou SIGTERM."""
    end_at_once()
    import uvicorn

    from producers.gateway.application import create_app
    from producers.settings import gateway_settings, settings

    gc.set_threshold(50_000, 20, 50)
    with explained():
        from producers.gateway.processes.client_connections import most_connections

        limits = gateway_settings()
        connections = most_connections(limits.connections)
        limits = limits.model_copy(update={"connections": connections})
        _configure_sentry()
        application = create_app(settings(), limits)
        from producers.gateway.processes.server_process import serve
        from producers.gateway.processes.spool_publisher import configure_retries
        from schemas.runtime import logs

        logs.configure()
        configure_retries()
        serve(uvicorn.Server(_configuration(application, limits)), application)


def _configuration(application: "FastAPI", limits: "GatewaySettings") -> "uvicorn.Config":
    import uvicorn

    from producers.gateway.processes.client_connections import BACKLOG, ClientConnections

    connections = ClientConnections(limits.connections, limits.head_seconds, limits.idle_seconds)
    protocol: Any = connections.protocol  # uvicorn calls it as it calls a class
    return uvicorn.Config(
        application,
        host=limits.host,
        port=limits.port,
        access_log=False,
        server_header=False,
        log_config=None,
        proxy_headers=True,
        forwarded_allow_ips=limits.trusted_proxies,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        http=protocol,
        ws="none",
        backlog=BACKLOG,
    )


def _configure_sentry() -> None:
    from producers.settings import SettingsError, settings
    from schemas.runtime import error_reports

    try:
        error_reports.begin(settings().sentry_dsn, "gateway")
    except ValueError as error:
        raise SettingsError(f"FOX_SENTRY_DSN n'est pas un DSN : {error}.") from error


@token.command()
def create(
    name: Annotated[str, typer.Option(help="À qui est le jeton ; nomme l'auteur des imports.")],
    scope: Annotated[str, typer.Option(help="read, import ou admin.")] = "import",
    days: Annotated[
        int | None, typer.Option(min=1, help="Durée de validité ; sans elle, sans fin.")
    ] = 365,
    group: Annotated[
        str | None, typer.Option(help="Les comptes d'un groupe agissent sur les mêmes imports.")
    ] = None,
) -> None:
    """Crée un jeton et l'affiche, cette fois seulement."""
    from producers.gateway.access.accounts import SCOPES, new_token

    with explained():
        if scope not in SCOPES:
            fail(USAGE, "usage", f"--scope {scope} : {', '.join(SCOPES)}.")
        if not 1 <= len(name.strip()) <= 100:
            fail(USAGE, "usage", "--name : de 1 à 100 caractères.")
        ends = None if days is None else datetime.now(UTC) + timedelta(days=days)
        text, record = new_token(name.strip(), scope, ends, group)
        _publish(record, "token-created")
        say(text)


@token.command("list")
def list_() -> None:
    """Liste les jetons, sans leur texte."""
    with explained():
        for record in sorted(_tokens().values(), key=lambda record: record["created_at"]):
            ends = f"{record['expires_at']:%Y-%m-%d}" if record["expires_at"] else "sans fin"
            state = "révoqué" if record["revoked_at"] else f"jusqu'au {ends}"
            say(f"{record['id']}  {record['scope']:<7}{state:<24}{record['name']}")


@token.command()
def revoke(token_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Révoque un jeton et ses sessions, aussitôt."""
    with explained():
        record = _tokens().get(token_id)
        if record is None:
            fail(USAGE, "unknown-token", f"Aucun jeton n'a l'identifiant {token_id}.")
        _publish({**record, "revoked_at": datetime.now(UTC)}, "token-revoked")
        say(f"Jeton {token_id} révoqué.")


def _tokens() -> dict[str, dict[str, Any]]:
    from producers.gateway.followed_topics import tokens
    from producers.settings import settings
    from schemas.runtime import logs

    logs.configure()
    with (
        settings().registry() as registry,
        tokens(settings(), registry) as log,
    ):
        log.start()
        return log.read()


def _operator() -> str:
    """Who runs this command; a container's user may have no name."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _publish(record: dict[str, Any], action: str) -> None:
    """The token, and who did it: the account of this machine."""
    from producers.imports.connections import Connections
    from producers.settings import settings
    from schemas.topics import GATEWAY_AUDIT, GATEWAY_TOKENS

    account = _operator()
    done = {
        "at": datetime.now(UTC),
        "account": account,
        "token_id": record["id"],
        "action": action,
        "import_id": None,
        "detail": f"{record['scope']} {record['name']}",
        "address": gethostname(),
    }
    records = ((GATEWAY_TOKENS, record["id"], record), (GATEWAY_AUDIT, account, done))
    with Connections(settings()) as connections:
        connections.partition_counts(GATEWAY_TOKENS, GATEWAY_AUDIT)
        encoders = {topic: connections.encoder(topic, str(topic.record)) for topic, *_ in records}
        for topic, key, value in records:
            connections.publisher.publish(topic.name, [(key, encoders[topic].encode(value))])
        connections.publisher.flush()


if __name__ == "__main__":
    app()
