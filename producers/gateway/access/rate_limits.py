"""How much an account may request: a bucket of tokens for each account and kind of request.

A bucket holds a minute's worth and fills evenly. Buckets are this gateway's own: behind a balancer
the limits are per gateway.
"""

import math
from collections.abc import Mapping
from time import monotonic
from typing import NamedTuple

from fastapi import Request

from producers.gateway.problems import Problem

_MOST = 10_000


class Bucket(NamedTuple):
    """`left` as of `at` (monotonic seconds)."""

    left: float
    at: float


class Limits:
    """`per_minute` by kind of request."""

    def __init__(self, per_minute: Mapping[str, int]) -> None:
        self._per_minute = per_minute
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def spend(self, request: Request, kind: str, account: str) -> None:
        """Takes one from the account's bucket and notes it for the RateLimit headers.

        Raises Problem if it is empty.
        """
        limit = self._per_minute[kind]
        now = monotonic()
        key = (kind, account)
        bucket = self._buckets.pop(key, None) or Bucket(limit, now)
        left = min(float(limit), bucket.left + (now - bucket.at) * limit / 60)
        enough = left >= 1
        left -= enough
        self._buckets[key] = Bucket(left, now)
        if len(self._buckets) > _MOST:
            # The one that was used longest ago is full again, or nearly.
            del self._buckets[next(iter(self._buckets))]
        request.state.rate_limit = {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(int(left)),
            "RateLimit-Reset": str(math.ceil((limit - left) * 60 / limit)),
        }
        if not enough:
            seconds = math.ceil((1 - left) * 60 / limit)
            raise Problem(
                429,
                "too-many-requests",
                f"La limite de {limit} demandes par minute est atteinte : recommencez dans "
                f"{seconds} s.",
                headers={"Retry-After": str(seconds)},
            )
