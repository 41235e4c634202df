"""Record who viewed or changed what; repeated views of the same object within a minute are recorded once."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from covid_xray.store.accounts import Principal
from covid_xray.store.store import Store

_REPEAT_SECONDS = 60.0
_MOST_REMEMBERED = 10_000
_VIEWS = frozenset({"view", "list"})


class AuditLog:
    """Writes the audit log of a store. Thread-safe."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()
        self._recent: OrderedDict[tuple[str, str, str | None], float] = OrderedDict()

    def record(self, who: Principal, action: str, what: str | None = None) -> None:
        """Write an entry about the study, job or user with this id; it is on disk on return.

        Raises:
            Busy, StoreFull: the database cannot take it.
        """
        event = (who.name, action, what)
        if action in _VIEWS and self._is_repeated(event):
            return
        self._store.record(who.name, action, what)
        with self._lock:
            self._recent[event] = self._clock()
            self._recent.move_to_end(event)
            if len(self._recent) > _MOST_REMEMBERED:
                self._recent.popitem(last=False)

    def _is_repeated(self, event: tuple[str, str, str | None]) -> bool:
        with self._lock:
            return self._clock() - self._recent.get(event, -_REPEAT_SECONDS) < _REPEAT_SECONDS
