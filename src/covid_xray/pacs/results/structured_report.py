"""Make a Comprehensive 3D SR (TID 1500): finding, probabilities, prediction set, reasons, image, picture and region."""

from collections.abc import Mapping
from typing import Any

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.pacs.results import codes as concepts
from covid_xray.pacs.results.region import region_label
from covid_xray.pacs.results.result_context import MANUFACTURER, ResultContext, algorithm_parameters, device_uid


def report(result: ResultContext, others: Mapping[str, Dataset]) -> Dataset:
    """Make the structured report; `others` are the objects by kind, of which it refers to `sc` and `seg`."""
    region, picture = others.get("seg"), others.get("sc")
    groups = [_finding_group(result, picture)] + ([_region_group(result, region)] if region is not None else [])
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer_context(result)),
        procedure_reported=concepts.PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    made = sr.Comprehensive3DSR(
        evidence=[result.reference, *(one for one in (region, picture) if one is not None)],
        content=_empty_content(),
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **result.common("sr"),
    )
    made.update(content[0])  # highdicom would copy and search all of it, for half of the time that a report takes
    return made


def _empty_content() -> Dataset:
    item = sr.ContainerContentItem(name=codes.DCM.ImagingMeasurementReport)
    item.ContentSequence = sr.ContentSequence()
    return item


def observer_context(result: ResultContext) -> sr.ObserverContext:
    """Make the observer: the device with its network."""
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid(result.finding.model.sha256),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=result.model,
        serial_number=result.finding.model.sha256,
    )
    return sr.ObserverContext(codes.DCM.Device, device)


def _finding_group(result: ResultContext, picture: Dataset | None) -> Any:
    """Make the measurement group of the whole image: TID 1501."""
    reference = result.reference
    member = concepts.private_code("prediction-set", meaning="Member of the prediction set")
    group = sr.MeasurementsAndQualitativeEvaluations(
        finding_type=result.code(result.finding.label if result.has_answer else result.label),
        measurements=[
            sr.Measurement(concepts.probability_code(name), value=value, unit=concepts.RATIO)
            for name, value in result.probabilities.items()
        ],
        qualitative_evaluations=[sr.QualitativeEvaluation(member, result.code(name)) for name in result.prediction_set],
        source_images=[sr.SourceImageForMeasurementGroup(reference.SOPClassUID, reference.SOPInstanceUID)],
        **_common(result, "finding"),
    )
    _append_texts(group, result)
    if picture is not None:
        name = concepts.private_code("picture", meaning="Picture of the finding")
        uids = (picture.SOPClassUID, picture.SOPInstanceUID)
        item = sr.ImageContentItem(name, *uids, relationship_type=sr.RelationshipTypeValues.CONTAINS)
        group[0].ContentSequence.append(item)
    return group


def _append_texts(group: Any, result: ResultContext) -> None:
    """Append reasons and remarks as text."""
    reason = concepts.private_code("reason", meaning="Reason why nothing can be said")
    texts = [(reason, text) for text in result.reasons]
    texts += [(codes.DCM.Comment, text) for text in (*result.finding.notes, result.scope, result.site, DISCLAIMER)]
    for name, text in texts:
        item = sr.TextContentItem(name=name, value=text, relationship_type=sr.RelationshipTypeValues.CONTAINS)
        group[0].ContentSequence.append(item)


def _region_group(result: ResultContext, region: Dataset) -> Any:
    """Make the measurement group of the region: TID 1410."""
    reference = result.reference
    region_of = concepts.private_code("region-of", meaning=region_label(result))
    source = sr.SourceImageForSegmentation(reference.SOPClassUID, reference.SOPInstanceUID)
    frame = sr.ReferencedSegmentationFrame(region.SOPClassUID, region.SOPInstanceUID, 1, 1, source)
    for item in frame:
        for image in item.get("ReferencedSOPSequence", []):
            image.pop("ReferencedFrameNumber", None)  # not beside a segment number (PS3.3 table 10-3)
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=frame,
        finding_type=codes.DCM.SelectedRegion,
        qualitative_evaluations=[sr.QualitativeEvaluation(region_of, result.code(result.shown))],
        **_common(result, "region"),
    )


def _common(result: ResultContext, name: str) -> dict[str, Any]:
    model, uid = result.finding.model, result.tracking_uid(name)
    return {
        "tracking_identifier": sr.TrackingIdentifier(uid=uid, identifier=f"covid-xray {name} {uid[-6:]}"),
        "algorithm_id": sr.AlgorithmIdentification(
            name=model.name, version=model.version, parameters=algorithm_parameters(result), manufacturer=MANUFACTURER
        ),
        "finding_sites": [sr.FindingSite(codes.SCT.Chest)],
    }
