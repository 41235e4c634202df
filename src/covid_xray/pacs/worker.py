"""Arrivals in, studies in the worklist and result objects in the spool out, a few at a time, again after a crash.

The order of writing: image file, study, results, and last what became of the arrival. A crash between them
leaves an arrival that still waits; the next try finds its study and makes the same results with the same identifiers.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from covid_xray.errors import Busy, CovidXrayError, InputRefused, StoreFull
from covid_xray.inference.finding import Finding
from covid_xray.pacs.results.result_objects import Maker, Seen
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.source_object import NoResult
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.work_queue import ANSWERED, FAILED, NO_RESULT, Arrival, Arrivals, Outcome
from covid_xray.store.records import NewStudy
from covid_xray.store.store import Store

MOST_TRIES = 30  # of one arrival, at which the process died each time; a process is killed for other reasons too
_LOG = logging.getLogger("covid_xray.pacs")


@dataclass(frozen=True, eq=False)
class _Answered:
    arrival: Arrival
    seen: Seen
    finding: Finding


class Answerer:
    """Answers arrivals.

    Args:
        settings: of the node.
        arrivals, spool, store: where things are kept.
        maker: makes the results.
        thresholds: of the bundle's operating points, for the worklist.
    """

    def __init__(
        self,
        settings: Pacs,
        arrivals: Arrivals,
        spool: Spool,
        store: Store,
        maker: Maker,
        *,
        thresholds: dict[str, dict[str, float]] | None = None,
    ) -> None:
        self._settings, self._arrivals, self._spool, self._store = settings, arrivals, spool, store
        self._maker, self._thresholds = maker, thresholds

    def work(self) -> int:
        """Answer some of those that wait; returns how many.

        Raises:
            Busy, StoreFull: the store does not take them now; they wait on.
        """
        waiting = self._arrivals.begin(limit=self._settings.batch)
        if not waiting:
            return 0
        try:
            self._work_off(waiting)
        except (Busy, StoreFull):
            self._arrivals.give_back(waiting)
            raise
        return len(waiting)

    def _work_off(self, waiting: Sequence[Arrival]) -> None:
        outcomes = [Outcome(one.id, FAILED, "gave-up") for one in waiting if one.tries >= MOST_TRIES]
        seen = self._see([one for one in waiting if one.tries < MOST_TRIES], outcomes)
        answered = self._answer(seen, outcomes)
        self._shelve(answered)
        outcomes += [self._result(one) for one in answered]
        self._spool.sync()
        self._arrivals.finish(outcomes, peers=self._settings.send_to)
        self._spool.remove(*(self._spool.original(one.id) for one in waiting))
        for outcome in outcomes:
            _LOG.info("arrival %s: %s%s", outcome.id, outcome.state, f" ({outcome.code})" if outcome.code else "")

    def _see(self, waiting: Sequence[Arrival], outcomes: list[Outcome]) -> list[tuple[Arrival, Seen]]:
        found = []
        for one in waiting:
            try:
                found.append((one, self._maker.see(self._spool.original(one.id))))
            except InputRefused as error:
                outcomes.append(_refused(one, error))
        return found

    def _answer(self, seen: Sequence[tuple[Arrival, Seen]], outcomes: list[Outcome]) -> list[_Answered]:
        if not seen:
            return []
        views = [one.view for _, one in seen]
        findings = self._maker.predictor.answers([""] * len(views), views, class_maps=True)
        return [_Answered(arrival, one, finding) for (arrival, one), finding in zip(seen, findings, strict=True)]

    def _result(self, one: _Answered) -> Outcome:
        try:
            made = self._maker.results(one.seen, one.finding)
        except (NoResult, InputRefused) as error:
            return _refused(one.arrival, error)
        if not self._settings.send_to:
            return Outcome(one.arrival.id, ANSWERED)
        for kind, data in made.objects.items():
            self._spool.write(one.arrival.id, kind, data)
        return Outcome(one.arrival.id, ANSWERED, kinds=tuple(made.objects))

    def _shelve(self, answered: Sequence[_Answered]) -> None:
        """Into the worklist, each once."""
        known = self._store.studies([one.arrival.id for one in answered])
        with self._store.images.write_lock():
            new = [self._new(one) for one in answered if one.arrival.id not in known]
            if new:
                for stored in self._store.add_many(new):
                    if isinstance(stored, CovidXrayError):
                        raise stored

    def _new(self, one: _Answered) -> NewStudy:
        arrival, radiograph, tags = one.arrival, one.seen.original.radiograph, one.seen.original.tags
        self._store.images.remove(arrival.id)  # of a try before a crash
        return NewStudy(
            id=arrival.id,
            name=_shown_as(tags.text("PatientID"), tags.text("StudyDate"), tags.text("AccessionNumber")),
            uploader=arrival.origin,
            upload_sha256=arrival.sha256,
            bytes=self._store.images.put(arrival.id, radiograph),
            shape=one.seen.original.radiograph.pixels.shape,
            bits=radiograph.bits,
            source=radiograph.source,
            finding=one.finding,
            thresholds=self._thresholds,
            study_uid=arrival.study_uid,
            sop_uid=arrival.sop_uid,
            origin=arrival.origin,
        )


def _shown_as(*parts: str) -> str:
    """What the worklist calls a study: patient, date and accession number, as far as the object says them."""
    return " ".join(part for part in parts if part) or "DICOM"


def _refused(arrival: Arrival, error: CovidXrayError) -> Outcome:
    if isinstance(error, Busy | StoreFull):
        raise error
    return Outcome(arrival.id, NO_RESULT if isinstance(error, NoResult) else FAILED, error.code)
