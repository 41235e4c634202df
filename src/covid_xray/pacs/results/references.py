"""Name result objects by their UIDs, and those that a corrected original withdraws."""

from dataclasses import dataclass

from pydicom.dataset import Dataset


@dataclass(frozen=True)
class ObjectReference:
    """The UIDs of one object."""

    study: str
    series: str
    sop_class: str
    sop: str

    @classmethod
    def to(cls, dataset: Dataset) -> "ObjectReference":
        """Refer to a data set."""
        keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
        return cls(*(str(dataset[keyword].value) for keyword in keywords))


@dataclass(frozen=True)
class Withdrawal:
    """Results of an earlier version of an original.

    Args:
        objects: the results.
        patient_changed: whether the patient is another, as after a merge of patients; else pixels or other tags are.
    """

    objects: tuple[ObjectReference, ...]
    patient_changed: bool


def evidence(references: list[ObjectReference]) -> list[Dataset]:
    """Make the items of an evidence sequence or of Predecessor Documents: by study and series, in their order."""
    studies: dict[str, dict[str, list[ObjectReference]]] = {}
    for one in references:
        studies.setdefault(one.study, {}).setdefault(one.series, []).append(one)
    made = []
    for study, series in studies.items():
        item = Dataset()
        item.ReferencedSeriesSequence = [_series_item(uid, objects) for uid, objects in series.items()]
        item.StudyInstanceUID = study
        made.append(item)
    return made


def read_evidence(items: list[Dataset]) -> list[ObjectReference]:
    """Return the objects in the items of an evidence sequence."""
    return [
        ObjectReference(
            str(study.StudyInstanceUID),
            str(series.SeriesInstanceUID),
            str(one.ReferencedSOPClassUID),
            str(one.ReferencedSOPInstanceUID),
        )
        for study in items
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]


def _series_item(uid: str, objects: list[ObjectReference]) -> Dataset:
    item = Dataset()
    item.ReferencedSOPSequence = [_sop_item(one) for one in objects]
    item.SeriesInstanceUID = uid
    return item


def _sop_item(one: ObjectReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class, one.sop
    return item
