"""Who did what, on the topic gateway.audit and in the log."""

from datetime import UTC, datetime

import structlog
from fastapi import Request

from producers.gateway.access.accounts import Account
from producers.gateway.access.record_sender import RecordSender
from schemas.records import GatewayAudit
from schemas.topics import GATEWAY_AUDIT

_LOGGER = structlog.get_logger(__name__)


class Audit:
    """Writes without waiting."""

    def __init__(self, sender: RecordSender) -> None:
        self._sender = sender

    def write(
        self,
        request: Request,
        account: Account | None,
        action: str,
        import_id: str | None = None,
        detail: str | None = None,
    ) -> None:
        """One line."""
        record: GatewayAudit = {
            "at": datetime.now(UTC),
            "account": account.name if account else "",
            "token_id": account.token_id if account else None,
            "action": action,
            "import_id": import_id,
            "detail": detail,
            "address": request.client.host if request.client else None,
        }
        _LOGGER.info("audit", **{key: value for key, value in record.items() if key != "at"})
        self._sender.send(GATEWAY_AUDIT, record["account"], record)
