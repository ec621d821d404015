"""The client of the model's server: calls, batches, files, and the list of models.

Any server that speaks OpenAI's chat completions will do (OPENAI_BASE_URL). The client's own retries
are off: what failed is tried again by processors/texts/model/answer_handling.py alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import structlog

from processors.texts.server.dialect import Body, Dialect
from processors.texts.server.failures import CallError, Trouble, of_status, passing
from processors.texts.server.replies import Reply, json_of, reply_of, word
from processors.texts.server.waits import exhausted

log = structlog.get_logger(__name__)

LIST_SECONDS = 5.0
"""The longest wait for a list of models, which is nice to have."""


Key = Callable[[], str]


_MARK = "foxstream"
"""In a batch's metadata: our id of it."""


class Provider:
    """The client of one server. `timeout`: seconds that one call may take, from the first byte sent.

    `key` returns the key for the next call; "" is none. `tls` replaces the system's authorities.
    """

    def __init__(
        self,
        key: Key,
        base_url: str | None,
        timeout: float,
        tls: SSLContext | None = None,
    ) -> None:
        # A second of imports that no command but the worker needs.
        import openai

        from processors.texts.server.bounded import bound

        self._openai = openai
        self._timeout = timeout
        self._unkept = unkept(base_url)
        # It opens up to 1,000 connections by default, the largest value of FOX_AI_CONCURRENCY.
        client = openai.DefaultAsyncHttpxClient(
            timeout=timeout,
            verify=tls or True,
            follow_redirects=False,  # what is asked goes to the address that was set
            event_hooks={"response": [bound]},
        )

        async def current() -> str:
            return key() or "none"

        self._client = openai.AsyncOpenAI(
            api_key=current, base_url=base_url, max_retries=0, timeout=timeout, http_client=client
        )
        self._dialect = Dialect()

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """The model's reply. Raises CallError."""
        sent = self.spoken(body)
        try:
            return await self._ask(sent)
        except CallError as error:
            raise self.judged(error, sent) from None

    async def _ask(self, sent: Body) -> Reply:
        others = {name: value for name, value in sent.items() if name not in ("model", "messages")}
        async with self._told():
            raw = await self._client.chat.completions.with_raw_response.create(
                model=sent["model"], messages=sent["messages"], extra_body=others
            )
            found = json_of(raw.http_response.content)
        reply = reply_of(found)
        request_id = word(raw.headers.get("x-request-id")) or reply.request_id
        return replace(reply, wait=exhausted(raw.headers), request_id=request_id)

    def spoken(self, body: Body) -> Body:
        """A body as the server takes it, so far as that is known; OpenAI is not to keep the answer."""
        return self._dialect.spoken({**body, **self._unkept})

    def judged(self, error: CallError, sent: Body) -> CallError:
        """A failed call as it is to be judged: if the server has refused parameters that can be asked
        for otherwise, that is remembered, and the request is not to blame."""
        known = self._dialect.after(error.refused, sent)
        if known is None:
            return error
        if known != self._dialect:
            new = sorted(known.refused - self._dialect.refused)
            log.warning("parameters are refused", action="ai_refused", names=new, reason=str(error))
            self._dialect = known
        return CallError(Trouble.DIALECT, "parameter", str(error))

    async def models(self) -> Sequence[Mapping[str, Any]]:
        """The server's list of models. Raises CallError; of a server without one, too."""
        async with asyncio.timeout(LIST_SECONDS), self._told():
            raw = await self._client.models.with_raw_response.list(timeout=LIST_SECONDS)
            found = json_of(raw.http_response.content)
        data = found.get("data") if isinstance(found, Mapping) else found
        return (
            [each for each in data if isinstance(each, Mapping)] if isinstance(data, list) else []
        )

    async def send_batch(self, content: bytes, mark: str) -> str:
        """Has the requests of a JSONL file answered within a day; the batch's id. Raises CallError."""
        async with self._told():
            file = await self._client.files.create(file=(f"{mark}.jsonl", content), purpose="batch")
        try:
            return await self._make_batch(file.id, mark)
        except CallError as error:
            if error.trouble is Trouble.REFUSED:  # else there may be a batch all the same
                with suppress(CallError):
                    await self.delete(file.id)
            raise

    async def _make_batch(self, file_id: str, mark: str) -> str:
        async with self._told():
            batch = await self._client.batches.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_MARK: mark},
            )
        return batch.id

    async def find_batch(self, mark: str) -> str | None:
        """The id of a batch that carries this mark, among the last hundred. Raises CallError."""
        async with self._told():
            page = await self._client.batches.list(limit=100)
        found = (b.id for b in page.data if (b.metadata or {}).get(_MARK) == mark)
        return next(found, None)

    async def batch(self, batch_id: str) -> Mapping[str, Any]:
        """A batch as the provider describes it. Raises CallError."""
        async with self._told():
            return (await self._client.batches.retrieve(batch_id)).model_dump()

    async def content(self, file_id: str) -> bytes:
        """A file of the provider's. Raises CallError."""
        async with self._told():
            return (await self._client.files.content(file_id)).content

    async def delete(self, file_id: str) -> None:
        """Deletes a file of the provider's. Raises CallError."""
        async with self._told():
            await self._client.files.delete(file_id)

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """What fails in the block is a CallError."""
        openai = self._openai
        try:
            # httpx counts its time-out anew with each byte: a server that drips holds a call for ever.
            async with asyncio.timeout(self._timeout):
                yield
        except openai.APIStatusError as error:
            raise of_status(error.status_code, error.body, error.response.headers) from None
        except (openai.APITimeoutError, TimeoutError):
            raise passing("timeout", "the model did not answer in time", unsure=True) from None
        except openai.APIConnectionError as error:
            cause = type(error.__cause__ or error).__name__
            if cause in _UNREADABLE:
                raise passing("garbage", cause, unsure=True) from None
            raise passing("network", cause, unsure=not cause.startswith("Connect")) from None
        except (openai.OpenAIError, ValueError, RecursionError) as error:
            raise passing("garbage", type(error).__name__, unsure=True) from None


_UNREADABLE = ("DecodingError", "TooLargeError")
"""What is wrong with an answer that came."""


def unkept(base_url: str | None) -> Mapping[str, Any]:
    """What keeps the provider from storing answers: OpenAI alone takes `store`."""
    return {"store": False} if is_openai(base_url) else {}


def is_openai(base_url: str | None) -> bool:
    """Whether OpenAI itself is asked, and no server that has its models, or names of them."""
    host = "api.openai.com" if base_url is None else urlsplit(base_url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")
