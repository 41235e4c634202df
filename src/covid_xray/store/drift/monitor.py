"""Collect what drift monitoring keeps of each answer, store it in batches, and test it.

An answer never waits for the monitor: images are kept in memory until the next `flush`, which the server and the DICOM
node call every minute and when they stop. A crash loses what came since.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.inference.drift import cusum
from covid_xray.inference.drift.checks import EVERY, Kind, Result, compare, follow, kind_of
from covid_xray.inference.drift.reference import MOST, Observation, Reference, observe
from covid_xray.inference.finding import Failure, Finding
from covid_xray.store.database import Database
from covid_xray.store.drift import rows
from covid_xray.store.drift.rows import Check

COMMISSIONING, FIRST, MONTH = "commissioning", "first images", "last month"
SHOWN_DAYS = 7  # that an alarm stays in force
_MOST_BUFFERED = 20_000
_LOG = logging.getLogger("covid_xray.drift")


@dataclass(frozen=True)
class Status:
    """What monitoring knows now.

    Args:
        reference: what new images are compared with: `commissioning` or `first images`.
        collected: images of that reference; below `MOST` first images are still collected.
        checks: the newest checks, oldest first.
        alarm: the newest check with an alarm in the last `SHOWN_DAYS` days; `None` without one.
    """

    reference: str
    collected: int
    checks: tuple[Check, ...]
    alarm: Check | None

    @property
    def ready(self) -> bool:
        """Whether there is a reference to compare with."""
        return self.reference == COMMISSIONING or self.collected >= MOST

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON, with the newest check's results."""
        newest = self.checks[-1] if self.checks else None
        return {
            "reference": self.reference,
            "ready": self.ready,
            "images": newest.images if newest else 0,
            "alarm": self.alarm.kind if self.alarm else None,
            "words": self.words,
            "newest": [asdict(result) | {"alarm": result.alarm} for result in newest.results] if newest else [],
            "checks": [{"day": str(check.day), "images": check.images, "alarm": check.kind} for check in self.checks],
        }

    @property
    def words(self) -> str:
        """Say in one sentence what was found."""
        if self.alarm:
            return describe(self.alarm)
        if not self.ready:
            return f"The first {MOST} images are being collected to compare with; there are {self.collected}."
        if not self.checks:
            return f"No check yet: the first comes after {EVERY} images."
        return f"No alarm in the last {SHOWN_DAYS} days; {self.checks[-1].images:,} images were watched."


class DriftMonitor:
    """Watch the answers of one network in one store. Thread-safe; several processes may share a database.

    Args:
        database: of the store.
        model_sha256: of the network's `model.onnx`.
        reference: of the commissioning, or its file or folder; without one the first images of the store are the
            reference.

    Raises:
        InputRefused: the file of the reference cannot be read.
        UsageError: the reference is of another network.
    """

    def __init__(self, database: Database, *, model_sha256: str, reference: Reference | Path | None = None) -> None:
        if isinstance(reference, Path):
            reference = Reference.read(reference.expanduser())
        if reference and reference.model_sha256 != model_sha256:
            raise UsageError("The reference of the site was made with another network. Commission the site again.")
        self._database, self._model, self._reference = database, model_sha256, reference
        self._waiting: list[Observation] = []
        self._refused: list[str] = []
        self._buffer, self._flushing = threading.Lock(), threading.Lock()
        self.newest: Check | None = None
        self.alarm: Check | None = None
        self._refresh()

    def note(self, answer: Finding | Failure) -> None:
        """Keep what is needed of an answer for the next `flush`."""
        one = observe(answer)
        with self._buffer:
            if len(self._waiting) < _MOST_BUFFERED:
                self._waiting.append(one)
                self._refused += [answer.code] if isinstance(answer, Failure) else []

    def flush(self) -> list[Check]:
        """Store what was noted, run the checks that are due and log new alarms; return the checks.

        Raises:
            Busy, StoreFull: of the database; what could not be stored is tried again at the next call.
        """
        with self._flushing:
            with self._buffer:
                new, self._waiting = self._waiting, []
                refused, self._refused = self._refused, []
            try:
                if new or refused:
                    rows.add(self._database, new, model_sha256=self._model, refused=refused)
            except CovidXrayError:
                with self._buffer:
                    self._waiting, self._refused = new + self._waiting, refused + self._refused
                raise
            found = self._look() if new else []
            self._refresh()
        return found

    @property
    def images(self) -> int:
        """Return the number of images watched until the newest check."""
        return self.newest.images if self.newest else 0

    def alarms(self, kind: Kind) -> bool:
        """Return whether the newest check found this kind of change."""
        return self.newest is not None and self.newest.kind == kind

    def severity(self, test: str) -> float:
        """Return the largest severity of a test in the newest check; 0 without one."""
        results = self.newest.results if self.newest else ()
        return max((result.severity for result in results if result.test == test), default=0.0)

    def status(self, *, limit: int = rows.MOST_CHECKS) -> Status:
        """Read what is known. Raises `Busy`."""
        return status(self._database, self._model, commissioned=self._reference, limit=limit)

    def _refresh(self) -> None:
        """Read the newest check and alarm, which another process may have stored."""
        self.newest = next(iter(rows.checks(self._database, self._model, limit=1)), None)
        self.alarm = rows.newest_alarm(self._database, self._model, since=_since())

    def _look(self) -> list[Check]:
        found: list[Check] = []
        first = [] if self._reference else rows.first_images(self._database, self._model)
        if not self._reference and len(first) < MOST:
            return found
        begin = first[-1][0] if first else 0
        known = rows.checks(self._database, self._model, limit=1)
        last = known[-1] if known else None
        while len(new := rows.images_after(self._database, self._model, after=last.id if last else begin)) == EVERY:
            check = self._check(last, new, first=[one for _, _, one in first], begin=begin)
            if rows.add_check(self._database, check, model_sha256=self._model):
                found.append(check)
                _log_alarm(last, check)
            last = check
        if found:
            rows.trim(self._database, self._model, seen=found[-1].id)
        return found

    def _check(
        self,
        last: Check | None,
        new: Sequence[tuple[int, date, Observation]],
        *,
        first: Sequence[Observation],
        begin: int,
    ) -> Check:
        identity, day, _ = new[-1]
        against = COMMISSIONING if self._reference else FIRST
        reference = self._reference.observations if self._reference else first
        seen = rows.window(self._database, self._model, after=begin, last=identity)
        recent = [one for _, _, one in seen]
        month = rows.month_before(self._database, self._model, day=day, after=begin, before=seen[0][0])
        state, images = _state(last)
        positives, state = follow(state, [one for _, _, one in new], reference, against=against)
        results = [
            *compare(recent, reference, against=against, seed=identity),
            *compare(recent, [one for _, _, one in month], against=MONTH, seed=identity + 1),
            *([positives] if positives else []),
        ]
        return Check(identity, day, images + len(new), *state, kind_of(results), tuple(results))


def status(
    database: Database, model_sha256: str, *, commissioned: Reference | None = None, limit: int = rows.MOST_CHECKS
) -> Status:
    """Read what is known of one network's answers. Raises `Busy`."""
    checks = rows.checks(database, model_sha256, limit=limit)
    alarm = rows.newest_alarm(database, model_sha256, since=_since())
    named = [result.against for check in checks[-1:] for result in check.results]
    if commissioned or COMMISSIONING in named:
        return Status(COMMISSIONING, len(commissioned.observations) if commissioned else MOST, tuple(checks), alarm)
    return Status(FIRST, len(rows.first_images(database, model_sha256)), tuple(checks), alarm)


def _since() -> date:
    return rows.today() - timedelta(days=SHOWN_DAYS)


def describe(check: Check) -> str:
    """Describe an alarm in one sentence without names of patients or files."""
    tests = ", ".join(dict.fromkeys(f"{result.test} (against {result.against})" for result in check.alarms))
    kind: Kind | None = check.kind
    what = (
        "The appearance of the images has changed"
        if kind == "appearance"
        else "The share of answers has changed, but not what images of one answer look like: prevalence"
    )
    return f"{what}. Tests: {tests}. Noticed on {check.day} after {check.images:,} images."


def _state(last: Check | None) -> tuple[tuple[float, float], int]:
    """Return the sums of the CUSUM and the images until now; the sums begin anew after an alarm and each horizon."""
    if last is None:
        return (0.0, 0.0), 0
    restart = last.images % cusum.HORIZON < EVERY or _alarms(last, "positives")
    return ((0.0, 0.0) if restart else (last.up, last.down)), last.images


def _alarms(check: Check, test: str) -> list[Result]:
    return [result for result in check.alarms if result.test == test]


def _log_alarm(last: Check | None, check: Check) -> None:
    """Log an alarm once: not again while the same tests keep passing their limits."""
    before = {(result.test, result.against) for result in last.alarms} if last else set()
    if {(result.test, result.against) for result in check.alarms} - before:
        _LOG.warning("drift: %s: %s", check.kind, describe(check))
