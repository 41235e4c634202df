"""Make the result objects of a DICOM file: Secondary Capture, structured report, segmentation and presentation state.

All lie in the study of the original, each in a series of its own.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from covid_xray.errors import BadImage, MissingPackage, UsageError
from covid_xray.files import read_bounded, replacing
from covid_xray.inference.finding import Finding
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.close_call import settle
from covid_xray.inference.view import View
from covid_xray.pacs.phi_safe_logging import suppress_phi
from covid_xray.pacs.results.probability import supported_step
from covid_xray.pacs.results.references import Withdrawal
from covid_xray.pacs.results.result_context import DEFAULT_SHARE, ResultContext, ResultSettings
from covid_xray.pacs.settings import suffix_of
from covid_xray.pacs.source_object import (
    NOT_A_CHEST_PICTURE,
    NoResult,
    Original,
    Tags,
    read_tags,
    require_frontal_chest,
)

KINDS = ("sc", "sr", "seg", "gsps", "pdf")
REPORT_KINDS = ("fhir4", "fhir5", "hl7")  # for systems other than archives
DEFAULT_KINDS = ("sc", "sr", "seg")
# Gate checks that say "no frontal chest radiograph"; the others say "a chest radiograph, but ...".
_WRONG_PICTURE = ("modality", "view", "contrast", "extremes", "aspect", "layout")


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """A radiograph that was decoded and preprocessed; `refusal` of one whose tags name no frontal chest radiograph."""

    original: Original
    view: View
    refusal: NoResult | None = None


@dataclass(frozen=True, eq=False)
class ResultObjects:
    """The finding of one radiograph, and its objects by kind as the bytes of files.

    `refusal` says why the picture was not analysed; its objects then say so too.
    """

    original: Original
    finding: Finding
    objects: Mapping[str, bytes]
    refusal: NoResult | None = None


class ResultBuilder:
    """Make results of some of `KINDS` and `REPORT_KINDS`. Thread-safe.

    The region is the heat map above `share` of its maximum.

    Raises:
        UsageError: an unknown kind, or a share outside 0..1.
        MissingPackage: highdicom is not installed, or fhir.resources where a kind needs it.
    """

    def __init__(
        self, predictor: Predictor, *, kinds: Sequence[str] = DEFAULT_KINDS, share: float = DEFAULT_SHARE
    ) -> None:
        known = (*KINDS, *REPORT_KINDS)
        if not kinds or not set(kinds) <= set(known):
            raise UsageError(f"Unknown kind of results: {', '.join(kinds) or 'none'}. Choose from {', '.join(known)}.")
        if not 0 < share < 1:
            raise UsageError(f"The share is {share:g}. Give a number between 0 and 1.")
        require_packages(kinds)
        bundle = predictor.bundle
        self.predictor, self.kinds = predictor, tuple(kind for kind in known if kind in kinds)
        self._settings = ResultSettings(share, self.kinds, bundle.answers_sha256, supported_step(bundle.facts))

    def build(self, source: Path | bytes) -> ResultObjects:
        """Make the results of one DICOM file.

        Raises:
            BadImage: it cannot be read.
            NoResult: its tags say that it is no frontal chest radiograph.
        """
        image = self.load(source)
        finding = settle(self.predictor.answers([""], [image.view], class_maps=True)[0])
        return self.build_objects(image, finding)

    def load(self, source: Path | bytes | Original, *, sha256: str = "", withdraws: bool = False) -> LoadedImage:
        """Decode and preprocess a DICOM file, of the `sha256` of `Original` where it is known. Raises as `build`.

        With `withdraws` an object that is no frontal chest radiograph is read anyway, to withdraw the results of
        its earlier version.
        """
        original = source if isinstance(source, Original) else self._decode(source, sha256, withdraws=withdraws)
        refusal = _refusal(original.tags)
        if refusal and not withdraws:
            raise refusal
        return LoadedImage(original, self.predictor.view(original.radiograph), refusal)

    def _decode(self, source: Path | bytes, sha256: str, *, withdraws: bool) -> Original:
        data = source if isinstance(source, bytes) else _read(source, self.predictor)
        tags = read_tags(data)
        if not withdraws:
            require_frontal_chest(tags)
        radiograph = open_source(data, limits=self.predictor.limits, untrusted=self.predictor.untrusted)
        return Original(tags, radiograph, sha256)

    def build_objects(
        self, image: LoadedImage, finding: Finding, *, withdrawal: Withdrawal | None = None
    ) -> ResultObjects:
        """Make the objects of an image and its finding with class maps. Raises `BadImage`.

        A picture that the gate refuses has a Secondary Capture and a report that say why, and a `refusal`. With a
        `withdrawal` of the results of an earlier version of the image there is a rejection note, of kind `ko`; where
        the tags say that it is no frontal chest radiograph, there is nothing else.
        """
        refusal = image.refusal or gate_refusal(finding)
        shown = max(finding.probabilities, key=lambda name: finding.probabilities[name])
        words = refusal.message if refusal else ""
        result = ResultContext(image.original, finding, image.view.lungs, self._settings, shown, words)
        with suppress_phi("No result can be made with the tags of this object"):
            kinds = () if image.refusal else self.kinds
            return ResultObjects(image.original, finding, _make_objects(result, kinds, withdrawal), refusal)


def _make_objects(result: ResultContext, kinds: Sequence[str], withdrawal: Withdrawal | None) -> dict[str, bytes]:
    from covid_xray.pacs.results import (
        capture,
        encapsulated_pdf,
        presentation,
        region,
        rejection,
        structured_report,
    )

    mask = region.region_mask(result) if result.may_have_region else None
    made: dict[str, Dataset] = {}
    if "sc" in kinds:
        made["sc"] = capture.secondary_capture(result)
    if mask is not None and "seg" in kinds:
        made["seg"] = region.segmentation(result, mask)
    if "sr" in kinds:
        made["sr"] = structured_report.report(result, made)
    grey = result.original.tags.text("SamplesPerPixel") == "1"  # a grayscale presentation state needs one channel
    if grey and "gsps" in kinds and not result.refusal:
        made["gsps"] = presentation.presentation_state(result, mask)
    if "pdf" in kinds:
        made["pdf"] = encapsulated_pdf.encapsulated_pdf(result)
    if withdrawal:
        made["ko"] = rejection.rejection_note(result, withdrawal, anew=bool(kinds))
    for dataset in made.values():
        result.stamp(dataset)
    reports = {kind: _render_report(kind, result) for kind in REPORT_KINDS if kind in kinds}
    return {kind: to_bytes(made[kind]) for kind in ("ko", *KINDS) if kind in made} | reports


def _render_report(kind: str, result: ResultContext) -> bytes:
    from covid_xray.pacs.results import fhir, hl7

    return hl7.message(result) if kind == "hl7" else fhir.bundle(result, release=f"R{kind[-1]}")


def _refusal(tags: Tags) -> NoResult | None:
    try:
        require_frontal_chest(tags)
    except NoResult as refusal:
        return refusal
    return None


def gate_refusal(finding: Finding) -> NoResult | None:
    """Return why the picture is no frontal chest radiograph by the input gate; `None` when it may be one."""
    verdicts = finding.gate or {}
    words = [str(verdicts[name]["words"]) for name in _WRONG_PICTURE if name in verdicts and not verdicts[name]["ok"]]
    if not words:
        return None
    return NoResult(f"Not a frontal chest radiograph: the picture {words[0]}.", code=NOT_A_CHEST_PICTURE)


def to_bytes(dataset: Dataset) -> bytes:
    """Encode a data set as a DICOM file."""
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def require_packages(kinds: Sequence[str] = ()) -> None:
    """Raise `MissingPackage` without highdicom, or without fhir.resources where one of the `kinds` needs it."""
    try:
        import highdicom  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackage('highdicom is not installed. Run: pip install "covid-xray[pacs]"') from None
    if find_spec("fhir") is None and any(kind.startswith("fhir") for kind in kinds):
        raise MissingPackage('fhir.resources is not installed. Run: pip install "covid-xray[reports]"')


def _read(path: Path, predictor: Predictor) -> bytes:
    if not path.is_file():
        raise BadImage("No such file, or not a regular file.", code="unreadable-file")
    return read_bounded(path, limit=predictor.limits.upload_bytes)


def write_results(results: ResultObjects, folder: Path) -> dict[str, Path]:
    """Write the objects as files and return their paths by kind.

    A file is named after the digest of its original, never after a tag.
    """
    paths = {}
    for kind, data in results.objects.items():
        paths[kind] = folder / f"{results.original.sha256[:16]}-{kind}.{suffix_of(kind)}"
        with replacing(paths[kind]) as temporary:
            temporary.write_bytes(data)
    return paths
