"""An answer in, a Comprehensive SR of TID 1500 out: finding, probabilities, prediction set, reasons, image and region.

Read back by other programs, so everything that can be is coded or a number; only reasons and remarks are text.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.pacs.results import codes as ours
from covid_xray.pacs.results.region import label
from covid_xray.pacs.results.result_context import MANUFACTURER, Result, algorithm_parameters

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_DIGITS = 6  # of a probability


def report(result: Result, region: "Dataset | None") -> "Dataset":
    """The structured report.

    Args:
        result: what it reports.
        region: the segmentation that it refers to, where there is one.
    """
    from highdicom.sr import ComprehensiveSR, MeasurementReport
    from pydicom.sr.codedict import codes
    from pydicom.uid import ExplicitVRLittleEndian

    reference = result.reference()
    groups = [_answer(result)] + ([_region(result, region)] if region is not None else [])
    content = MeasurementReport(
        observation_context=_observer(result),
        procedure_reported=ours.plain_chest_radiograph(),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    return ComprehensiveSR(
        evidence=[reference] + ([region] if region is not None else []),
        content=content,
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **result.common("sr"),
    )


def _observer(result: Result) -> Any:
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes

    from covid_xray.pacs.results.result_context import derived_uid

    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", result.finding.model.sha256),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=result.model,
        serial_number=result.finding.model.sha256,
    )
    return ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device))


def _answer(result: Result) -> Any:
    """The measurement group of the whole image: TID 1501."""
    from highdicom.sr import Measurement, MeasurementsAndQualitativeEvaluations, SourceImageForMeasurementGroup

    finding, reference = result.finding, result.reference()
    numbers = [
        Measurement(name=ours.probability(name), value=round(value, _DIGITS), unit=ours.ratio())
        for name, value in finding.probabilities.items()
    ]
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(result, "finding"),
        finding_type=ours.finding(finding.label),
        algorithm_id=_algorithm(result),
        finding_sites=_site(),
        measurements=numbers,
        qualitative_evaluations=list(_evaluations(result)),
        source_images=[SourceImageForMeasurementGroup(reference.SOPClassUID, reference.SOPInstanceUID)],
    )
    _append_texts(group, result)
    return group


def _evaluations(result: Result) -> Iterator[Any]:
    from highdicom.sr import QualitativeEvaluation

    for name in result.finding.prediction_set or ():
        member = ours.own("prediction-set", meaning="Member of the prediction set")
        yield QualitativeEvaluation(member, ours.finding(name))


def _append_texts(group: Any, result: Result) -> None:
    """Reasons and remarks as text, inside the group."""
    from highdicom.sr import RelationshipTypeValues, TextContentItem
    from pydicom.sr.codedict import codes

    reason = ours.own("reason", meaning="Reason why nothing can be said")
    texts = [(reason, text) for text in result.finding.reasons]
    texts += [(codes.DCM.Comment, text) for text in (*_remarks(result), DISCLAIMER)]
    for name, text in texts:
        item = TextContentItem(name=name, value=text, relationship_type=RelationshipTypeValues.CONTAINS)
        group[0].ContentSequence.append(item)


def _remarks(result: Result) -> tuple[str, ...]:
    lungs = result.finding.lungs
    return (lungs.words,) if lungs and lungs.words else ()


def _region(result: Result, region: "Dataset") -> Any:
    """The measurement group of the region: TID 1410."""
    from highdicom.sr import (
        PlanarROIMeasurementsAndQualitativeEvaluations,
        ReferencedSegmentationFrame,
        SourceImageForSegmentation,
    )
    from pydicom.sr.codedict import codes

    reference = result.reference()
    source = SourceImageForSegmentation(reference.SOPClassUID, reference.SOPInstanceUID)
    frame = ReferencedSegmentationFrame(region.SOPClassUID, region.SOPInstanceUID, 1, 1, source)
    for item in frame:
        for image in item.get("ReferencedSOPSequence", []):
            image.pop("ReferencedFrameNumber", None)  # not beside a segment number (PS3.3 table 10-3)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(result, "region"),
        referenced_segment=frame,
        finding_type=codes.DCM.SelectedRegion,
        algorithm_id=_algorithm(result),
        finding_sites=_site(),
        qualitative_evaluations=[_about(result)],
    )


def _about(result: Result) -> Any:
    from highdicom.sr import QualitativeEvaluation

    return QualitativeEvaluation(ours.own("region-of", meaning=label(result)), ours.finding(result.shown))


def _site() -> list[Any]:
    from highdicom.sr import FindingSite
    from pydicom.sr.codedict import codes

    return [FindingSite(codes.SCT.Chest)]


def _tracking(result: Result, what: str) -> Any:
    from highdicom.sr import TrackingIdentifier

    return TrackingIdentifier(uid=result.uid(what), identifier=f"covid-xray {what} 1")


def _algorithm(result: Result) -> Any:
    from highdicom.sr import AlgorithmIdentification

    model = result.finding.model
    return AlgorithmIdentification(
        name=model.name, version=model.version, parameters=algorithm_parameters(result), manufacturer=MANUFACTURER
    )
