"""Who saw or did what, into the store's audit log; looking at the same study again within a minute is one look."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from covid_xray.store.accounts import Principal
from covid_xray.store.store import Store

_SECONDS = 60.0
_MOST = 10_000
_LOOKS = frozenset({"view", "list"})


class Audit:
    """Writes the log. Thread-safe; when `record` returns, the line is on disk."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()
        self._looks: OrderedDict[tuple[str, str, str | None], float] = OrderedDict()

    def record(self, who: Principal, action: str, what: str | None = None) -> None:
        """Who did what to the study, job or user of this id. Raises `Busy`, `StoreFull`."""
        look = (who.name, action, what)
        if action in _LOOKS and self._was_just_seen(look):
            return
        self._store.record(who.name, action, what)
        with self._lock:
            self._looks[look] = self._clock()
            self._looks.move_to_end(look)
            if len(self._looks) > _MOST:
                self._looks.popitem(last=False)

    def _was_just_seen(self, look: tuple[str, str, str | None]) -> bool:
        with self._lock:
            return self._clock() - self._looks.get(look, -_SECONDS) < _SECONDS
