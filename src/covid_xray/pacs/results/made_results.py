"""Remember which results were made of which image, for the report of its study and for its corrections.

Private files in the folder of the store, written durably: a record and a report for each image, a record for each
study, and a marker for each study that has had no report since its last image. One process at a time (the node's lock).
"""

import contextlib
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pydicom

from covid_xray.files import replacing, sha256_bytes
from covid_xray.pacs.results.references import ObjectReference, Withdrawal
from covid_xray.pacs.results.study_report import join_reports
from covid_xray.pacs.settings import suffix_of
from covid_xray.pacs.source_object import Original, Tags

_PATIENT = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")


@dataclass(frozen=True)
class ImageRecord:
    """The newest results of one image: `digest` is of the original, `withdraws` what they replaced."""

    study: str
    arrival: str
    state: str
    code: str | None
    digest: str
    patient: str
    objects: tuple[ObjectReference, ...]
    withdraws: Withdrawal | None = None


@dataclass(frozen=True)
class _StudyRecord:
    """Images by the key of their SOP Instance UID, in order, and the last report with the images' digests."""

    images: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    report: ObjectReference | None = None


@dataclass(frozen=True)
class StudyReport:
    """The report of a study that is to be sent; it travels with the results of the study's last image."""

    study: str
    image: ImageRecord
    data: pydicom.Dataset
    digests: tuple[str, ...]


class MadeResults:
    """The records in `folder`, which is created for its owner only."""

    def __init__(self, folder: Path) -> None:
        self._images, self._studies, self._open = (folder / name for name in ("images", "studies", "open"))
        for path in (folder, self._images, self._studies, self._open):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def has_results(self, sop_uid: str) -> bool:
        """Return whether results of this image were made."""
        known = self._image(_key(sop_uid))
        return known is not None and bool(known.objects or known.withdraws)

    def withdrawal(self, original: Original) -> Withdrawal | None:
        """Return what the results of this original replace: those of an earlier version; `None` for the first one."""
        known = self._image(_key(original.tags.sop_uid))
        if known is None:
            return None
        if known.digest == original.sha256:  # a try before a crash
            return known.withdraws
        report = self._study(_key(known.study)).report
        objects = known.objects + ((report,) if report else ())
        return Withdrawal(objects, known.patient != _patient(original.tags)) if objects else None

    def add(self, record: ImageRecord, original: Original, report: bytes | None) -> None:
        """Remember the results of an image, whose study then waits for a report if there is a `report` of the image."""
        key, study = _key(original.tags.sop_uid), _key(record.study)
        if report is not None:
            _write(self._images / f"{key}.dcm", report)
        else:
            (self._images / f"{key}.dcm").unlink(missing_ok=True)  # of an earlier version
        before = self._image(key)
        _write_json(self._images / f"{key}.json", asdict(record))
        known = self._study(study)
        if record.withdraws and before and before.digest != record.digest:
            old = _key(before.study)
            _write_json(self._studies / f"{old}.json", asdict(replace(self._study(old), report=None, reported=())))
            (self._open / old).touch()  # the images left in it need another report
            known = self._study(study)
        images = tuple(dict.fromkeys((*known.images, key)))
        _write_json(self._studies / f"{study}.json", asdict(replace(known, images=images)))
        if report is not None:
            (self._open / study).touch()

    def has_open_studies(self) -> bool:
        """Return whether a study has had no report since its last image."""
        return any(self._open.iterdir())

    def due_reports(self, *, quiet_seconds: float, busy: Collection[str] = ()) -> list[StudyReport]:
        """Make the reports of studies whose last image came at least `quiet_seconds` ago, and that are not `busy`."""
        before, waiting = time.time() - quiet_seconds, {_key(uid) for uid in busy}
        due = [path.name for path in sorted(self._open.iterdir()) if path.stat().st_mtime <= before]
        return [made for study in due if study not in waiting and (made := self._report(study))]

    def mark_reported(self, made: StudyReport) -> None:
        """Remember that the report of a study is queued."""
        report = ObjectReference.to(made.data)
        known = replace(self._study(made.study), reported=made.digests, report=report)
        _write_json(self._studies / f"{made.study}.json", asdict(known))
        (self._open / made.study).unlink(missing_ok=True)

    def expire(self, *, hours: float) -> None:
        """Forget what is older than `hours`; 0 forgets nothing."""
        before = time.time() - hours * 3600
        for folder in (self._images, self._studies) if hours else ():
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < before:
                        path.unlink()

    def _report(self, study: str) -> StudyReport | None:
        known = self._study(study)
        found = [(key, record) for key in known.images if (record := self._image(key)) and _key(record.study) == study]
        parts = [(path, record) for key, record in found if (path := self._images / f"{key}.dcm").is_file()]
        digests = tuple(record.digest for _, record in parts)
        if not parts or digests == known.reported:
            (self._open / study).unlink(missing_ok=True)
            return None
        joined = join_reports([path.read_bytes() for path, _ in parts], predecessor=known.report)
        newest = max(parts, key=lambda part: part[0].stat().st_mtime_ns)[1]
        return StudyReport(study, newest, joined, digests)

    def _image(self, key: str) -> ImageRecord | None:
        facts = _read_json(self._images / f"{key}.json")
        if not facts:
            return None
        withdraws = facts.pop("withdraws")
        if withdraws:
            withdraws = Withdrawal(_references(withdraws["objects"]), withdraws["patient_changed"])
        return ImageRecord(**facts | {"objects": _references(facts["objects"]), "withdraws": withdraws})

    def _study(self, key: str) -> _StudyRecord:
        facts = _read_json(self._studies / f"{key}.json")
        if not facts:
            return _StudyRecord()
        report = ObjectReference(**facts["report"]) if facts["report"] else None
        return _StudyRecord(tuple(facts["images"]), tuple(facts["reported"]), report)


def image_record(
    original: Original, objects: Mapping[str, bytes], *, arrival: str, outcome: tuple[str, str | None]
) -> ImageRecord:
    """Make the record of an image; its own report and a rejection note are no results that could be withdrawn."""
    references = tuple(
        ObjectReference.to(pydicom.dcmread(pydicom.filebase.DicomBytesIO(data), stop_before_pixels=True))
        for kind, data in objects.items()
        if kind not in ("sr", "ko") and suffix_of(kind) == "dcm"
    )
    tags = original.tags
    return ImageRecord(tags.study_uid, arrival, *outcome, original.sha256, _patient(tags), references)


def _patient(tags: Tags) -> str:
    return sha256_bytes("|".join(tags.text(keyword) for keyword in _PATIENT).encode())


def _key(uid: str) -> str:
    return sha256_bytes(uid.encode())[:32]


def _references(facts: list[dict[str, str]]) -> tuple[ObjectReference, ...]:
    return tuple(ObjectReference(**one) for one in facts)


def _write_json(path: Path, facts: Mapping[str, object]) -> None:
    _write(path, json.dumps(facts).encode())


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.touch()
        temporary.chmod(0o600)
        temporary.write_bytes(data)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return facts
