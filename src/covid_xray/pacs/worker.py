"""Classify received objects in batches: store a study in the worklist and result objects in the spool for each.

The image is written first, then the study, the results and the outcome. After a crash in between, the object still
waits; the next try finds its study and makes the same results with the same UIDs. The report of a study is made when no
image of it has come for some seconds.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from covid_xray.errors import Busy, CovidXrayError, InputRefused, StoreFull
from covid_xray.inference.finding import Failure, Finding
from covid_xray.inference.site.close_call import settle
from covid_xray.pacs.decoded_images import DecodedImages
from covid_xray.pacs.results.made_results import MadeResults, image_record
from covid_xray.pacs.results.result_objects import LoadedImage, ResultBuilder, to_bytes
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.source_object import NoResult
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.work_queue import ANSWERED, FAILED, NO_RESULT, TEST, WAITING, Arrival, Outcome, WorkQueue
from covid_xray.store import refusals
from covid_xray.store.drift.monitor import DriftMonitor
from covid_xray.store.patient_key import patient_key
from covid_xray.store.records import NewStudy
from covid_xray.store.store import Store

MAX_TRIES = 30  # of one object before it is given up: the process died each time, perhaps for another reason
_LOG = logging.getLogger("covid_xray.pacs")


@dataclass(frozen=True, eq=False)
class _Classified:
    arrival: Arrival
    image: LoadedImage
    finding: Finding


class InferenceWorker:
    """Classify the objects of a work queue.

    `drift` watches the answers; `thresholds` are those of the bundle's operating points; `decoded` holds images that
    need not be decoded again.
    """

    def __init__(
        self,
        settings: Pacs,
        queue: WorkQueue,
        spool: Spool,
        store: Store,
        builder: ResultBuilder,
        drift: DriftMonitor,
        *,
        thresholds: dict[str, dict[str, float]] | None = None,
        decoded: DecodedImages | None = None,
    ) -> None:
        self._decoded = decoded or DecodedImages()
        self._settings, self._queue, self._spool, self._store = settings, queue, spool, store
        self._builder, self._drift, self._thresholds = builder, drift, thresholds
        self.made = MadeResults(settings.store.expanduser() / "results")
        self._peers = settings.send_to or (("none",) if settings.test_mode else ())

    def process_batch(self) -> int:
        """Classify up to `batch` waiting objects; return how many.

        Raises:
            Busy, StoreFull: of the store; the objects keep waiting.
        """
        waiting = self._queue.claim(limit=self._settings.batch)
        if not waiting:
            return 0
        try:
            self._process(waiting)
        except (Busy, StoreFull):
            self._queue.release(waiting)
            raise
        return len(waiting)

    def _process(self, waiting: Sequence[Arrival]) -> None:
        outcomes = [Outcome(one.id, FAILED, "gave-up") for one in waiting if one.tries >= MAX_TRIES]
        images = self._load([one for one in waiting if one.tries < MAX_TRIES], outcomes)
        classified = self._classify(images)
        self._store_studies(classified)
        outcomes += [self._build_results(one) for one in classified]
        self._spool.sync()
        self._record(outcomes)
        self._spool.remove(*(self._spool.original_path(one.id) for one in waiting))
        for outcome in outcomes:
            _LOG.info("arrival %s: %s%s", outcome.id, outcome.state, f" ({outcome.code})" if outcome.code else "")

    def close_studies(self, *, quiet_seconds: float | None = None) -> int:
        """Queue the report of each study without a new image for `quiet_seconds`; return how many. Default: settings.

        Raises `Busy`, `StoreFull`; the reports are made at the next call.
        """
        seconds = self._settings.study_quiet_seconds if quiet_seconds is None else quiet_seconds
        if not self.made.has_open_studies():
            return 0
        due = self.made.due_reports(quiet_seconds=seconds, busy=self._queue.waiting_studies())
        for report in due:
            image = report.image
            self._spool.store_result(image.arrival, "sr", to_bytes(report.data))
            self._spool.sync()
            try:
                self._record([Outcome(image.arrival, image.state, image.code, kinds=("sr",))])
            except CovidXrayError as error:
                if error.code != "store-failed":  # else it was queued before a crash
                    raise
            self.made.mark_reported(report)
        return len(due)

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        state = TEST if self._settings.test_mode else WAITING
        self._queue.record(outcomes, peers=self._peers, takes=self._settings.takes, state=state)

    def _load(self, waiting: Sequence[Arrival], outcomes: list[Outcome]) -> list[tuple[Arrival, LoadedImage]]:
        found = []
        for one in waiting:
            try:
                path, known = self._spool.original_path(one.id), self._decoded.take(one.id)
                source = known if known and path.is_file() else path
                withdraws = bool(self._peers) and self.made.has_results(one.sop_uid)
                found.append((one, self._builder.load(source, sha256=one.sha256, withdraws=withdraws)))
            except InputRefused as error:
                outcomes.append(_outcome_of(one, error))
                self._drift.note(Failure("", error.code, ""))
                if not isinstance(error, NoResult):  # it raises this for an object of another program
                    about = {"name": "DICOM", "uploader": one.origin, "origin": one.origin}
                    refusals.add(self._store.database, error, sha256=one.sha256, **about)
        return found

    def _classify(self, images: Sequence[tuple[Arrival, LoadedImage]]) -> list[_Classified]:
        if not images:
            return []
        views = [image.view for _, image in images]
        findings = self._builder.predictor.answers([""] * len(views), views, class_maps=True)
        return [_Classified(*pair, settle(finding)) for pair, finding in zip(images, findings, strict=True)]

    def _build_results(self, one: _Classified) -> Outcome:
        original, withdrawal = one.image.original, None
        try:
            withdrawal = self.made.withdrawal(original) if self._peers else None
            made = self._builder.build_objects(one.image, one.finding, withdrawal=withdrawal)
        except (NoResult, InputRefused) as error:
            return _outcome_of(one.arrival, error)
        state, code = (NO_RESULT, made.refusal.code) if made.refusal else (ANSWERED, None)
        if not self._peers:
            return Outcome(one.arrival.id, state, code)
        kinds = tuple(kind for kind in made.objects if kind != "sr")
        for kind in kinds:
            self._spool.store_result(one.arrival.id, kind, made.objects[kind])
        record = image_record(original, made.objects, arrival=one.arrival.id, outcome=(state, code))
        self.made.add(replace(record, withdraws=withdrawal), original, made.objects.get("sr"))
        return Outcome(one.arrival.id, state, code, kinds=kinds)

    def _store_studies(self, classified: Sequence[_Classified]) -> None:
        """Add each object to the worklist once."""
        classified = [one for one in classified if not one.image.refusal]
        known = self._store.studies([one.arrival.id for one in classified])
        with self._store.images.write_lock():
            new = [one for one in classified if one.arrival.id not in known]
            for stored in self._store.add_many([self._new_study(one) for one in new]) if new else ():
                if isinstance(stored, CovidXrayError):
                    raise stored
        for one in new:
            self._drift.note(one.finding)

    def _new_study(self, one: _Classified) -> NewStudy:
        arrival, radiograph, tags = one.arrival, one.image.original.radiograph, one.image.original.tags
        self._store.images.remove(arrival.id)  # left by a try before a crash
        shown = [tags.text(keyword) for keyword in ("PatientID", "StudyDate", "AccessionNumber")]
        return NewStudy(
            id=arrival.id,
            name=" ".join(part for part in shown if part) or "DICOM",
            uploader=arrival.origin,
            upload_sha256=arrival.sha256,
            bytes=self._store.images.put(arrival.id, radiograph),
            shape=radiograph.pixels.shape,
            bits=radiograph.bits,
            source=radiograph.source,
            finding=one.finding,
            thresholds=self._thresholds,
            study_uid=arrival.study_uid,
            sop_uid=arrival.sop_uid,
            origin=arrival.origin,
            patient_key=patient_key(self._settings.store.expanduser(), radiograph.source),
        )


def _outcome_of(arrival: Arrival, error: CovidXrayError) -> Outcome:
    if isinstance(error, Busy | StoreFull):
        raise error
    return Outcome(arrival.id, NO_RESULT if isinstance(error, NoResult) else FAILED, error.code)
