"""A DICOM file in, its result objects out, or the reason why it gets none.

`Maker` opens, asks the network, and makes Secondary Capture, structured report, segmentation and presentation state,
all in the study of the original, each in a series of its own.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from covid_xray.errors import BadImage, MissingPackage, UsageError
from covid_xray.files import read_bounded, replacing
from covid_xray.inference.finding import Finding
from covid_xray.inference.io.inputs import open_source
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.view import View
from covid_xray.pacs.phi_safe_logging import quietly
from covid_xray.pacs.results.region import SHARE
from covid_xray.pacs.results.result_context import Result
from covid_xray.pacs.source_object import NoResult, Original, check_kind, read_tags

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

KINDS = ("sc", "sr", "seg", "gsps")
USUAL = ("sc", "sr", "seg")
# Checks of the gate that say "no frontal chest radiograph"; the others say "a chest, but ...".
_OTHER_PICTURE = ("modality", "view", "contrast", "extremes", "aspect", "layout")


@dataclass(frozen=True, eq=False)
class Seen:
    """A radiograph that was opened and looked at, before the network."""

    original: Original
    view: View


@dataclass(frozen=True, eq=False)
class Results:
    """The answer to one radiograph, and its objects by kind as the bytes of DICOM files."""

    original: Original
    finding: Finding
    objects: Mapping[str, bytes]


class Maker:
    """Makes result objects. Thread-safe.

    Args:
        predictor: answers.
        kinds: of `KINDS`.
        share: of the heat map's maximum above which it is part of the region, 0..1.

    Raises:
        UsageError: a kind or share that is none.
        MissingPackage: highdicom is not installed.
    """

    def __init__(self, predictor: Predictor, *, kinds: Sequence[str] = USUAL, share: float = SHARE) -> None:
        if not kinds or not set(kinds) <= set(KINDS):
            raise UsageError(f"expected results of {', '.join(KINDS)}. Received: {', '.join(kinds) or 'none'}")
        if not 0 < share < 1:
            raise UsageError(f"expected a share between 0 and 1. Received: {share:g}")
        require_packages()
        self.predictor, self.kinds, self.share = predictor, tuple(kinds), share

    def make(self, source: Path | bytes) -> Results:
        """The results of one DICOM file.

        Raises:
            BadImage: it cannot be read.
            NoResult: it is no frontal chest radiograph.
        """
        seen = self.see(source)
        finding = self.predictor.answers([""], [seen.view], class_maps=True)[0]
        return self.results(seen, finding)

    def see(self, source: Path | bytes) -> Seen:
        """Open a DICOM file and look at it. Raises as `make`."""
        data = source if isinstance(source, bytes) else _read(source, self.predictor)
        tags = read_tags(data)
        check_kind(tags)
        radiograph = open_source(data, limits=self.predictor.limits, untrusted=self.predictor.untrusted)
        return Seen(Original(tags, radiograph), self.predictor.view(radiograph))

    def results(self, seen: Seen, finding: Finding) -> Results:
        """The objects of what was seen and answered (with class maps). Raises `NoResult`, `BadImage`."""
        check_picture(finding)
        shown = max(finding.probabilities, key=lambda name: finding.probabilities[name])
        result = Result(seen.original, finding, seen.view.lungs, self.share, shown)
        with quietly("tags that results can carry"):
            return Results(seen.original, finding, self._objects(result))

    def _objects(self, result: Result) -> dict[str, bytes]:
        from covid_xray.pacs.results import capture, presentation, region, structured_report

        mask = region.mask_of(result)
        made: dict[str, Dataset] = {}
        segments = region.segmentation(result, mask) if mask is not None and "seg" in self.kinds else None
        if "sc" in self.kinds:
            made["sc"] = capture.secondary_capture(result)
        if "sr" in self.kinds:
            made["sr"] = structured_report.report(result, segments)
        if segments is not None:
            made["seg"] = segments
        grey = result.original.tags.text("SamplesPerPixel") == "1"  # what a grayscale presentation state may refer to
        if mask is not None and grey and "gsps" in self.kinds:
            made["gsps"] = presentation.outline(result, mask)
        return {kind: written(dataset) for kind, dataset in made.items()}


def check_picture(finding: Finding) -> None:
    """Raises `NoResult` when the input gate says that the picture is no frontal chest radiograph."""
    verdicts = finding.gate or {}
    words = [str(verdicts[name]["words"]) for name in _OTHER_PICTURE if name in verdicts and not verdicts[name]["ok"]]
    if words:
        raise NoResult(
            f"expected a frontal chest radiograph. Received: one that {words[0]}", code="not-a-chest-picture"
        )


def written(dataset: "Dataset") -> bytes:
    """The bytes of a DICOM file."""
    import pydicom

    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def require_packages() -> None:
    """Raises `MissingPackage` without highdicom."""
    try:
        import highdicom  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackage('expected highdicom to be installed: pip install "covid-xray[pacs]"') from None


def _read(path: Path, predictor: Predictor) -> bytes:
    if not path.is_file():
        raise BadImage("expected a regular file that exists. Received: none", code="unreadable-file")
    return read_bounded(path, limit=predictor.limits.upload_bytes)


def write_results(results: Results, folder: Path) -> dict[str, Path]:
    """Write the objects as files, whole or not at all; returns them by kind.

    A file is named after the SHA-256 of its original, never after a tag: the same original gives the same names.
    """
    paths = {}
    for kind, data in results.objects.items():
        paths[kind] = folder / f"{results.original.tags.sha256[:16]}-{kind}.dcm"
        with replacing(paths[kind]) as temporary:
            temporary.write_bytes(data)
    return paths
