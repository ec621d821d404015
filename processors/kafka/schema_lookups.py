"""Questions to the schema registry, beside the event loop.

In threads of their own: while the registry hangs each question takes its whole timeout, and what else
uses threads, as a seek does, must not wait for it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Args = ParamSpec("Args")
Result = TypeVar("Result")

_THREADS = ThreadPoolExecutor(4, thread_name_prefix="schema-registry")


async def looked_up(
    work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs
) -> Result:
    """The result of `work`, which may ask the registry."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, lambda: work(*args, **kwargs))
