"""Define the result for one image as plain data: a `Finding`, or a `Failure` with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.images.appearance import Appearance
from covid_xray.images.dicom_file import WARNINGS
from covid_xray.inference.lungs import WHOLE, Box

if TYPE_CHECKING:
    from PIL import Image

CANNOT_SAY = "cannot say"
NOT_CHECKED = "not checked at this hospital"
NOT_FIT = "not-fit"


@dataclass(frozen=True)
class ModelIdentity:
    """The network that was used: its name, version and the SHA-256 of `model.onnx`.

    For an ensemble these are those of its `members`, joined; a single network has none.
    """

    name: str
    version: str
    sha256: str
    members: tuple["ModelIdentity", ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The identity as JSON; `members` is there only for an ensemble."""
        facts: dict[str, Any] = {"name": self.name, "version": self.version, "sha256": self.sha256}
        return facts | ({"members": [member.as_dict() for member in self.members]} if self.members else {})


@dataclass(frozen=True)
class SiteCheck:
    """At which hospital the network was checked, by the `site.json` of `covid-xray commission`.

    Args:
        name: of the hospital.
        verdict: `fit`, `fit-with-site-threshold` or `not-fit`.
        sha256: of the site file's content.
        ended: the last day of the check, where that is over.
    """

    name: str
    verdict: str
    sha256: str
    ended: str | None = None

    def as_dict(self) -> dict[str, str]:
        """The check as JSON; `ended` is there only where it has ended."""
        facts = {"name": self.name, "verdict": self.verdict, "sha256": self.sha256}
        return facts | ({"ended": self.ended} if self.ended else {})


def site_in_words(site: SiteCheck | Mapping[str, str] | None) -> str:
    """Say at which hospital the network was checked, and how that ended; also from what `SiteCheck.as_dict` gave."""
    if site is None:
        return NOT_CHECKED
    if not isinstance(site, SiteCheck):
        site = SiteCheck(**site)
    verdicts = {"fit": "fit", "fit-with-site-threshold": "fit with the threshold of this hospital"}
    known = f"checked at {site.name}: {verdicts.get(site.verdict, 'not fit')}"
    return f"{known}; that check ended on {site.ended}" if site.ended else known


@dataclass(frozen=True)
class LungFacts:
    """Facts about the lungs of one image.

    Args:
        plausible: whether the found region can be a pair of lungs; without it the other facts are empty.
        box: top, left, bottom, right of the lungs with a margin, in shares of the picture.
        area: share of the picture that they cover.
        heat_inside: share of the heat map of the most probable class that lies inside them, 0..1; `None` without
            evidence for that class.
        opaque: roughly the share of them that is opaque, 0..1, by brightness: an indicator and no measurement; `None`
            where it is not known.
        words: a remark for the reader, such as that the lungs were not found; or empty.
    """

    plausible: bool
    box: Box = WHOLE
    area: float | None = None
    heat_inside: float | None = None
    opaque: float | None = None
    words: str = ""


@dataclass(frozen=True)
class Joint:
    """The prediction from the image and clinical values together, beside that from the image alone.

    Args:
        probabilities: class to probability, in the bundle's class order; they sum to 1.
        label: the most probable class, or `CANNOT_SAY` when there are `reasons`.
        reasons: why the answer is "cannot say"; empty otherwise.
        prediction_set: as in `Finding`, at the coverage fitted for joint predictions; `None` where none was.
        known: the clinical values that were given.
        unused: those of them that cannot change this answer, and why.
        contributions: field -> class -> how far the field moved its probability (Shapley values, -1..1); over the
            fields they sum to the joint probability minus the image's.
        remarks: questions about doubtful values.
    """

    probabilities: dict[str, float]
    label: str
    reasons: tuple[str, ...]
    prediction_set: tuple[str, ...] | None
    known: dict[str, float]
    unused: dict[str, str]
    contributions: dict[str, dict[str, float]]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Finding:
    """The prediction for one image.

    Args:
        image: the path or name as it was given, unchanged.
        probabilities: class to calibrated probability, in the bundle's class order; they sum to 1.
        label: the most probable class, or `CANNOT_SAY` when there are `reasons`.
        reasons: why the answer is "cannot say"; empty otherwise.
        prediction_set: the classes that conformal prediction keeps at the bundle's coverage, of an ensemble those of
            all its members; `None` when a bundle was not calibrated for it.
        gate: verdicts of the input checks by name; `None` when the bundle has none.
        model: the network that was used.
        class_maps: C x h x w float32 over the whole picture, Grad-CAM of each class, zero or more, not normalised;
            zero outside `region`; `None` unless asked for.
        operating_points: class -> name of the operating point (rule-out, balanced, rule-in) -> whether the class's
            probability reaches it; `None` when the bundle has none.
        embedding: D float32, the network's last hidden features; `None` unless asked for.
        region: the part of the picture that the network saw: top, left, bottom, right in shares of it.
        lungs: facts about the lungs; `None` when the bundle has no lung network.
        joint: the prediction with clinical values; `None` unless they were given (`Predictor.join`).
        ill: probability that the lungs are ill at all, 0..1, for a network that decides in two steps; else `None`.
        known: share of `ill` for the illnesses that the network knows, 0..1; `None` without such an output.
        site: the hospital at which the network was checked; `None` where it was not checked.
        appearance: figures of the picture as it came, for drift monitoring; `None` for bare network inputs.
        draw: draws the heat map of a class; `None` without class maps.
        warnings: codes of faults of the file that did not stop it from being read (`images.dicom_file.WARNINGS`).
        spread: class to standard deviation of its probability over the members of an ensemble, 0..0.5; else `None`.
    """

    image: str
    probabilities: dict[str, float]
    label: str
    reasons: tuple[str, ...]
    prediction_set: tuple[str, ...] | None
    gate: dict[str, Any] | None
    model: ModelIdentity
    class_maps: NDArray[np.float32] | None = None
    embedding: NDArray[np.float32] | None = None
    operating_points: dict[str, dict[str, bool]] | None = None
    region: Box = WHOLE
    lungs: LungFacts | None = None
    joint: Joint | None = None
    ill: float | None = None
    known: float | None = None
    site: SiteCheck | None = None
    appearance: Appearance | None = None
    draw: "Callable[[Finding, str | None], Image.Image] | None" = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    spread: dict[str, float] | None = None

    def overlay(self, shown: str | None = None) -> "Image.Image":
        """Draw the heat map of a class, by default the most probable one, over the radiograph.

        Returns:
            A Pillow RGB image with colour bar and caption. A heat map is not a localisation.

        Raises:
            ValueError: the image was predicted without `class_maps=True`, or there is no such class.
            BadImage: the file is gone.
        """
        if self.draw is None:
            raise ValueError("No heat map: predict with class_maps=True.")
        return self.draw(self, shown)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what a reader should know beside the answer: about the lungs, and about the file."""
        lungs = (self.lungs.words,) if self.lungs and self.lungs.words else ()
        return (*lungs, *(WARNINGS[code] for code in self.warnings))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the reasons and the notes."""
        return (*self.reasons, *self.notes)


@dataclass(frozen=True)
class Failure:
    """An image that could not be classified: the stable `code` and safe `message` of the error."""

    image: str
    code: str
    message: str
