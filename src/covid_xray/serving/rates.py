"""Token buckets: how often one client may ask. A client's name in, `TooOften` out when its bucket is empty."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from covid_xray.errors import TooOften

_MOST_CLIENTS = 10_000  # whoever has been quiet longest is forgotten first


class Rate:
    """At most `per_minute` events for each client, a minute's worth at once. Thread-safe.

    Args:
        per_minute: 0 for any number.
        clock: seconds; for tests.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> what is left, when

    def spend(self, client: str) -> None:
        """Count an event. Raises `TooOften` (`retry_after` says when there is room again); then nothing is counted."""
        self._event(client, count=1)

    def check(self, client: str) -> None:
        """As `spend`, without counting."""
        self._event(client, count=0)

    def _event(self, client: str, *, count: int) -> None:
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
        raise TooOften(
            f"expected at most {self.per_minute:,} in a minute. Received: more",
            retry_after=math.ceil((1 - left) * 60 / self.per_minute),
        )

    def _left(self, client: str) -> float:
        if client not in self._buckets:
            return float(self.per_minute)
        left, since = self._buckets[client]
        return min(float(self.per_minute), left + (self._clock() - since) * self.per_minute / 60)
