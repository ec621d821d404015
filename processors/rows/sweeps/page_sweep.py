"""Creates pages whose missing part has arrived since their company was written."""

import asyncio

import structlog

from processors import metrics
from processors.database.pool import Pool
from processors.rows.accounting.sqlstate import is_transient
from processors.rows.derived import public_pages

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
COUNT_SECONDS = 60.0


async def resolve_pages(pool: Pool) -> None:
    """Resolves due pages until it is cancelled. Several workers share the work."""
    loop = asyncio.get_running_loop()
    count_at = loop.time()
    while True:
        try:
            while (made := await public_pages.resolve_some(pool)) is not None:
                if made.made:
                    log.info("pages are resolved", action="pages_resolved", pages=made.made)
            if loop.time() >= count_at:
                count_at = loop.time() + COUNT_SECONDS
                counted = await public_pages.counted(pool)
                for reason in public_pages.REASONS:
                    metrics.PAGES_UNRESOLVED.labels(reason).set(counted.get(reason, 0))
        except Exception as error:  # must not take the writing of rows with it
            if is_transient(error):
                log.warning("pages are late", action="pages_late", reason=repr(error))
            else:
                log.exception("pages are not resolved", action="pages_failed")
        await asyncio.sleep(LOOK_SECONDS)
