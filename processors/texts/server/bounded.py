"""Answers of the provider are read as far as they may reasonably go, and no further."""

from collections.abc import AsyncIterator

import httpx2

MOST_BYTES = 4 << 20
"""Of an answer to a call: a text has some kilobytes, and thoughts some hundred."""

MOST_FILE_BYTES = 256 << 20
"""Of the file with a batch's answers."""


class TooLargeError(httpx2.TransportError):
    """The provider sends more than any answer has."""


async def bound(response: httpx2.Response) -> None:
    """Has a response fail once it is too large, unpacked. For a client's hooks, before it is read."""
    coded = httpx2.Response(
        response.status_code,
        headers=response.headers,
        stream=response.stream,
        request=response.request,
    )
    response.headers.pop("content-encoding", None)
    is_file = response.request.url.path.endswith("/content")
    response.stream = _Bounded(coded, MOST_FILE_BYTES if is_file else MOST_BYTES)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, response: httpx2.Response, most: int) -> None:
        self._response = response
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._response.aiter_bytes():
            size += len(part)
            if size > self._most:
                raise TooLargeError(f"more than {self._most} bytes")
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()
