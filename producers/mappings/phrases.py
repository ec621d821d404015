"""What is shown of a remembered mapping."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.records import GatewayMapping


def shown(mapping: GatewayMapping | None) -> dict[str, Any] | None:
    """Whose it is and when it was chosen, for a check and for the state of an import."""
    if mapping is None:
        return None
    at = f"{mapping['at']:%Y-%m-%dT%H:%M:%SZ}"
    return {"id": mapping["id"], "account": mapping["account"], "at": at}


def owner(account: str | None) -> str:
    """In French, who chose a mapping."""
    return account or "la ligne de commande"


def phrase(found: Mapping[str, Any]) -> str:
    """In French, of what `shown` returns."""
    at = datetime.fromisoformat(found["at"])
    return f"colonnes comme retenues de {owner(found['account'])}, le {at:%d/%m/%Y}"
