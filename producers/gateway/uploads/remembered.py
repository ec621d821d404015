"""Remembered mappings of columns: which of them an account is offered, and what they say of its uploads.

Those of an account are offered to it, to its group and to administrators, who may also forget them;
those of the command line are offered to all accounts.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from producers.gateway.access.accounts import Account
from producers.gateway.processes import tasks
from producers.gateway.shared import Gateway
from producers.gateway.spool.spool import SpooledFile
from producers.gateway.uploads.first_look import looked_at
from producers.gateway.uploads.form import Form
from producers.mappings.phrases import shown
from producers.mappings.recall import with_mapping
from schemas.records import GatewayMapping

_MOST = 1000


def offered(gateway: Gateway, account: Account, types: Collection[str]) -> list[GatewayMapping]:
    """Those of these types, the newest first."""
    found = [
        mapping
        for mapping in gateway.mappings.values()
        if mapping["import_type"] in types
        and (mapping["account"] is None or gateway.access.acts_on(account, mapping["account"]))
    ]
    return sorted(found, key=lambda mapping: mapping["at"], reverse=True)[:_MOST]


async def with_remembered(
    gateway: Gateway, account: Account, spooled: SpooledFile, path: Path, form: Form
) -> SpooledFile:
    """The upload, its columns as they are remembered unless the form says what they are."""
    types = [spooled.import_type]
    mappings = offered(gateway, account, types) if form.recalls else []
    if not mappings:
        return spooled
    mapping = await looked_at(
        gateway, account, tasks.recall, path, types, form.options_json(), mappings
    )
    options = replace(form, options=with_mapping(form.options, mapping)).options_json()
    return replace(spooled, options=options, remembered=shown(mapping))
