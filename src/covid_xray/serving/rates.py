"""Limit how often one client may do something, with one token bucket per client."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from covid_xray.errors import TooOften

_MOST_CLIENTS = 10_000  # beyond this the client that was quiet longest is forgotten


class RateLimit:
    """Allow each client `per_minute` events, all of them at once if it likes. Thread-safe.

    Args:
        per_minute: 0 for no limit.
        clock: returns seconds; replaced in tests.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> events left, at which time

    def spend(self, client: str) -> None:
        """Count an event. Raises `TooOften`, with `retry_after`, when none is left; then nothing is counted."""
        self._take(client, count=1)

    def check(self, client: str) -> None:
        """Raise what `spend` would raise, without counting."""
        self._take(client, count=0)

    def _take(self, client: str, *, count: int) -> None:
        if not self.per_minute:
            return
        with self._lock:
            left = self._left(client)
            if left >= 1:
                self._buckets[client] = (left - count, self._clock())
                self._buckets.move_to_end(client)
                if len(self._buckets) > _MOST_CLIENTS:
                    self._buckets.popitem(last=False)
                return
        seconds = math.ceil((1 - left) * 60 / self.per_minute)
        message = f"Too many requests: at most {self.per_minute:,} per minute. Try again in {seconds} s."
        raise TooOften(message, retry_after=seconds)

    def _left(self, client: str) -> float:
        left, since = self._buckets.get(client, (float(self.per_minute), self._clock()))
        return min(float(self.per_minute), left + (self._clock() - since) * self.per_minute / 60)
