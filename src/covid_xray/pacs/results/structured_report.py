"""Make a Comprehensive SR (TID 1500): finding, probabilities, prediction set, reasons, image and region."""

from typing import TYPE_CHECKING, Any

from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.pacs.results import codes as concepts
from covid_xray.pacs.results.region import region_label
from covid_xray.pacs.results.result_context import MANUFACTURER, ResultContext, algorithm_parameters, derived_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_DIGITS = 6  # of a probability


def report(result: ResultContext, region: "Dataset | None") -> "Dataset":
    """Make the structured report; `region` is the segmentation that it refers to, if there is one."""
    from highdicom.sr import ComprehensiveSR, MeasurementReport
    from pydicom.sr.codedict import codes
    from pydicom.uid import ExplicitVRLittleEndian

    reference = result.reference
    groups = [_finding_group(result)] + ([_region_group(result, region)] if region is not None else [])
    content = MeasurementReport(
        observation_context=_observer(result),
        procedure_reported=concepts.procedure_code(),
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


def _observer(result: ResultContext) -> Any:
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", result.finding.model.sha256),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=result.model,
        serial_number=result.finding.model.sha256,
    )
    return ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device))


def _finding_group(result: ResultContext) -> Any:
    """Make the measurement group of the whole image: TID 1501."""
    from highdicom.sr import Measurement, MeasurementsAndQualitativeEvaluations, SourceImageForMeasurementGroup

    finding, reference = result.finding, result.reference
    numbers = [
        Measurement(name=concepts.probability_code(name), value=round(value, _DIGITS), unit=concepts.ratio_unit())
        for name, value in finding.probabilities.items()
    ]
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(result, "finding"),
        finding_type=concepts.finding_code(finding.label),
        algorithm_id=_algorithm(result),
        finding_sites=_site(),
        measurements=numbers,
        qualitative_evaluations=_prediction_set(result),
        source_images=[SourceImageForMeasurementGroup(reference.SOPClassUID, reference.SOPInstanceUID)],
    )
    _append_texts(group, result)
    return group


def _prediction_set(result: ResultContext) -> list[Any]:
    from highdicom.sr import QualitativeEvaluation

    member = concepts.private_code("prediction-set", meaning="Member of the prediction set")
    return [QualitativeEvaluation(member, concepts.finding_code(name)) for name in result.finding.prediction_set or ()]


def _append_texts(group: Any, result: ResultContext) -> None:
    """Append reasons and remarks as text."""
    from highdicom.sr import RelationshipTypeValues, TextContentItem
    from pydicom.sr.codedict import codes

    reason = concepts.private_code("reason", meaning="Reason why nothing can be said")
    texts = [(reason, text) for text in result.finding.reasons]
    lungs = result.finding.lungs
    remarks = [lungs.words] if lungs and lungs.words else []
    texts += [(codes.DCM.Comment, text) for text in (*remarks, DISCLAIMER)]
    for name, text in texts:
        item = TextContentItem(name=name, value=text, relationship_type=RelationshipTypeValues.CONTAINS)
        group[0].ContentSequence.append(item)


def _region_group(result: ResultContext, region: "Dataset") -> Any:
    """Make the measurement group of the region: TID 1410."""
    from highdicom.sr import (
        PlanarROIMeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
        ReferencedSegmentationFrame,
        SourceImageForSegmentation,
    )
    from pydicom.sr.codedict import codes

    reference = result.reference
    region_of = concepts.private_code("region-of", meaning=region_label(result))
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
        qualitative_evaluations=[QualitativeEvaluation(region_of, concepts.finding_code(result.shown))],
    )


def _site() -> list[Any]:
    from highdicom.sr import FindingSite
    from pydicom.sr.codedict import codes

    return [FindingSite(codes.SCT.Chest)]


def _tracking(result: ResultContext, name: str) -> Any:
    from highdicom.sr import TrackingIdentifier

    return TrackingIdentifier(uid=result.uid(name), identifier=f"covid-xray {name} 1")


def _algorithm(result: ResultContext) -> Any:
    from highdicom.sr import AlgorithmIdentification

    model = result.finding.model
    return AlgorithmIdentification(
        name=model.name, version=model.version, parameters=algorithm_parameters(result), manufacturer=MANUFACTURER
    )
