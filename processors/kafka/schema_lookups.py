"""Questions to the schema registry, beside the event loop.

In threads of their own: while the registry hangs each question takes its whole timeout, and what else
uses threads, as a seek does, must not wait for it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from processors.kafka.batch import Batch
from schemas.codec.framing import AnyDecoder

Args = ParamSpec("Args")
Result = TypeVar("Result")

_THREADS = ThreadPoolExecutor(4, thread_name_prefix="schema-registry")


async def looked_up(
    work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs
) -> Result:
    """The result of `work`, which may ask the registry."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, lambda: work(*args, **kwargs))


async def decoded(decoder: AnyDecoder, work: Callable[[Batch], Result], batch: Batch) -> Result:
    """The result of `work`, which decodes the batch with `decoder`.

    In the event loop if the registry need not be asked: threads that compete for the interpreter cost
    a fifth more.
    """
    if decoder.knows(record.value for record in batch.records):
        return work(batch)
    return await looked_up(work, batch)
