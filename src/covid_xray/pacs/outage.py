"""Log a failure once while it lasts, and wait longer after each one."""

import logging
import time
from collections.abc import Callable

_FIRST_SECONDS, _LONGEST_SECONDS = 1.0, 30.0  # between two tries
_LOG_SECONDS = 900.0  # between two lines about the same failure
_LOG = logging.getLogger("covid_xray.pacs")


class Outage:
    """The failures of one part of the node, called `what` in the log. For one thread."""

    def __init__(
        self, what: str, *, longest: float = _LONGEST_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._longest, self._clock = what, min(longest, _LONGEST_SECONDS), clock
        self._code, self._count, self._logged = "", 0, 0.0

    def failed(self, code: str) -> float:
        """Note a failure; return the seconds to wait before the next try."""
        moment = self._clock()
        if code != self._code or moment - self._logged >= _LOG_SECONDS:
            _LOG.warning("%s: %s; trying again until it works", self._what, code)
            self._logged = moment
        self._code, self._count = code, self._count + 1
        return float(min(self._longest, _FIRST_SECONDS * 2.0 ** min(self._count - 1, 10)))

    def over(self) -> None:
        """Note that it works (again)."""
        if self._count:
            _LOG.info("%s: works again after %d tries (%s)", self._what, self._count, self._code)
        self._code, self._count = "", 0
