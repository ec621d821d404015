"""What both sides report to Sentry if a DSN is set: logged errors and crashes, without row data.

An event holds the kind of an exception, the first line of what it says (PostgreSQL's further lines quote
rows) and the places in the code; no variables, no requests, no lines of the log before it.
"""

import sys
from importlib.metadata import version
from typing import Any

from pydantic import SecretStr

Event = Any
"""As Sentry documents it ("Event Payloads"); its own types are for its own use."""


def begin(dsn: SecretStr | None, process: str) -> None:
    """Reports to Sentry from now on; does nothing without a DSN. Raises ValueError for a malformed one."""
    if not dsn:
        return
    # Loaded where it is wanted only.
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration
    from sentry_sdk.integrations.threading import ThreadingIntegration

    sentry_sdk.init(
        dsn=dsn.get_secret_value(),
        release=f"foxstream@{version('foxstream')}",
        # Those that would come by themselves record requests, prompts and statements.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, sentry_logs_level=None),
            ExcepthookIntegration(),
            ThreadingIntegration(),
            DedupeIntegration(),
            AtexitIntegration(callback=lambda pending, timeout: None),
        ],
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        before_send=_bare,
    )
    sentry_sdk.set_tag("process", process)


def _bare(event: Event, hint: dict[str, Any]) -> Event:
    """The event without what may quote a row."""
    record = hint.get("log_record")
    if record is not None:
        # structlog hands its fields over as the message, the exception among them.
        said = record.msg if isinstance(record.msg, dict) else {"event": record.msg}
        event["logentry"] = {"message": _first_line(str(said.get("event")))}
        event.setdefault("tags", {}).update(action=str(said.get("action", "")))
        if said.get("exc_info"):
            event["exception"] = _raised(said["exc_info"])
    for found in event.get("exception", {}).get("values", ()):
        found["value"] = _first_line(found.get("value"))
    for name in ("extra", "breadcrumbs", "request", "user"):
        event.pop(name, None)
    return event


def _raised(exc_info: Any) -> Event:
    """As Sentry writes exceptions. `exc_info`: True, an exception or a tuple, as structlog takes it."""
    from sentry_sdk import get_client
    from sentry_sdk.utils import event_from_exception

    given = sys.exc_info() if exc_info is True else exc_info
    event, _ = event_from_exception(given, client_options=get_client().options)
    return event.get("exception", {})


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
