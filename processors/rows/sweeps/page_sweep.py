"""Pages that could not be made when their company came, made when what they lacked has come."""

import asyncio

import structlog

from processors import metrics
from processors.database.pool import Pool
from processors.rows.accounting.sqlstate import passes
from processors.rows.derived import public_pages

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
COUNT_SECONDS = 60.0


async def resolve(pool: Pool) -> None:
    """Resolves what is due until it is cancelled. Several workers share the work."""
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
            if passes(error):
                log.warning("pages are late", action="pages_late", reason=repr(error))
            else:
                log.exception("pages are not resolved", action="pages_failed")
        await asyncio.sleep(LOOK_SECONDS)
