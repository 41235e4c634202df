"""Describe a stored study for its page: bars, warnings and input checks; and advise on refused files."""

from collections.abc import Mapping
from dataclasses import dataclass

from covid_xray.bundle.contents import Contents, TrainingData
from covid_xray.inference.finding import NOT_CHECKED, ModelIdentity
from covid_xray.inference.gate import FRONTAL
from covid_xray.inference.thresholds import POINTS
from covid_xray.serving.views.languages import gettext, mark
from covid_xray.serving.views.phrases import site_words, words
from covid_xray.serving.views.rendering import capital, sentence
from covid_xray.store.records import Study

# Sources whose "virus" images are nearly all of children: docs/how-to/public-datasets.md.
PUBLIC = frozenset({"kermany", "ieee8023", "cxnet", "hannover", "darkcovidnet"})
ADULT = 18.0  # years
CHECKS = {
    "modality": mark("Plain radiograph (stated in the file)"),
    "view": mark("Frontal view (stated in the file)"),
    "contrast": mark("Not blank"),
    "extremes": mark("No drawing, text or mask"),
    "aspect": mark("Proportions of a chest X-ray"),
    "polarity": mark("Not inverted"),
    "orientation": mark("Upright"),
    "layout": mark("Layout of a frontal chest"),
    "likeness": mark("Similar to the training images"),
    "part": mark("Whole chest, no cropped part"),
}
_ANOTHER = mark("Export it again as PNG, JPEG or DICOM.")
ADVICE = {
    "not-an-image": (
        mark("This is no image file."),
        _ANOTHER,
    ),
    "empty": (mark("The file is empty."), mark("Export or copy it again.")),
    "truncated": (mark("The file is incomplete."), mark("Copy it again; the transfer was probably interrupted.")),
    "damaged": (mark("The file is damaged."), mark("Export or copy it again.")),
    "checksum": (mark("The file is damaged: its checksum is wrong."), mark("Copy it again.")),
    "too-large": (mark("The file is too large."), mark("Send single images below the limit, or several archives.")),
    "too-many-pixels": (
        mark("The picture has too many pixels."),
        mark("Export it smaller; 3,000 pixels per side are enough."),
    ),
    "too-many": (mark("The archive has too many files."), mark("Split it.")),
    "too-complex": (mark("The file is too complex to read."), _ANOTHER),
    "for-processing": (
        mark("These are raw values of the detector, not a picture to look at."),
        mark("Send the processed image (for presentation)."),
    ),
    "several-frames": (mark("The file has several frames."), mark("Export a single radiograph.")),
    "no-pixels": (
        mark("The DICOM file has no picture."),
        mark("Choose the image file, not a report or directory file."),
    ),
    "bad-zip": (mark("The archive cannot be read."), mark("Pack it again as a plain zip without a password.")),
    "bad-tar": (mark("The archive cannot be read."), mark("Pack it again as a plain tar or zip.")),
    "zip-limits": (mark("The archive is too large or packed too strongly."), mark("Split it.")),
    "no-images": (mark("The archive has no image."), mark("Pack the image files themselves.")),
    "decode-timeout": (mark("The file takes too long to read."), _ANOTHER),
    "decode-memory": (mark("The file needs too much memory to read."), _ANOTHER),
    "decoder-failed": (mark("The file cannot be decoded."), _ANOTHER),
    "decode-crashed": (mark("The decoder crashed on this file."), _ANOTHER),
    "missing-decoder": (mark("This compression of DICOM cannot be read here."), mark("Export it uncompressed.")),
    "unsupported-transfer-syntax": (
        mark("This compression of DICOM is not supported."),
        mark("Export it uncompressed."),
    ),
    "unsupported-photometric": (
        mark("The colours of this DICOM file are not supported."),
        mark("Export it in greyscale."),
    ),
    "unsupported-bits": (mark("The bit depth of the picture is not supported."), mark("Export it with 8 to 16 bits.")),
    "unreadable-file": (mark("The file could not be read."), mark("Send it again.")),
    "too-slow": (mark("The file did not arrive in time."), mark("Send it again, over a faster connection.")),
    "cut-off": (mark("The upload was interrupted."), mark("Send it again.")),
    "too-often": (mark("Too many requests."), mark("Wait a minute, then send it again.")),
    "queue-full": (mark("The server is busy."), mark("Wait a moment, then send it again.")),
    "busy": (mark("The server is busy."), mark("Wait a moment, then send it again.")),
    "stopping": (mark("The server is shutting down."), mark("Send it again when it is back.")),
    "store-full": (
        mark("The store is full; nothing was kept."),
        mark("Delete studies, or ask an admin for more space."),
    ),
    "not-logged-in": (mark("Your session has ended."), mark("Log in again.")),
    "cross-site": (mark("The page is out of date."), mark("Reload it, then send the file again.")),
    "offline": (mark("The server does not answer."), mark("Check that it runs, then send the file again.")),
    "failed": (
        mark("The server failed on this file."),
        mark("Send it again; if that does not help, look into its log."),
    ),
}
# Refusals that may pass by themselves, for which sending the same file again is worth a try.
AGAIN = frozenset({"too-slow", "cut-off", "too-often", "queue-full", "busy", "stopping", "offline", "failed"})
AGAIN |= {"not-logged-in", "cross-site", "store-full", "store-unavailable", "unreadable-file"}
POINT_TITLES = {
    "rule-out": mark("Rule-out threshold"),
    "balanced": mark("Balanced threshold"),
    "rule-in": mark("Rule-in threshold"),
}
# Name of a point to what it says of a class below it and from it on.
POINT_VERDICTS = {
    "rule-out": (mark("ruled out"), mark("not ruled out")),
    "balanced": (mark("below"), mark("above")),
    "rule-in": (mark("not ruled in"), mark("ruled in")),
}


@dataclass(frozen=True)
class Mark:
    """One operating point of a class, and whether the probability reaches its threshold."""

    name: str
    threshold: float
    reached: bool

    @property
    def title(self) -> str:
        """Return the name of the threshold."""
        return gettext(POINT_TITLES[self.name]) if self.name in POINT_TITLES else self.name

    @property
    def verdict(self) -> str:
        """Say what the probability means at this threshold: ruled out or not, ruled in or not."""
        below, above = POINT_VERDICTS.get(self.name, POINT_VERDICTS["balanced"])
        return gettext(above if self.reached else below)

    @property
    def settles(self) -> bool:
        """Say whether it rules the class out or in."""
        return (self.name == "rule-out" and not self.reached) or (self.name == "rule-in" and self.reached)


@dataclass(frozen=True)
class Bar:
    """One class and its calibrated probability."""

    name: str
    probability: float | None  # 0..1; `None` when the network gave no number
    marks: tuple[Mark, ...]  # rule-out, balanced, rule-in
    kept: bool | None  # in the prediction set; `None` without one
    leads: bool  # the most probable class


@dataclass(frozen=True)
class StudyWarning:
    """A warning that a reader should see with the answer."""

    title: str
    text: str


@dataclass(frozen=True)
class Check:
    """One input check; `text` says why it failed."""

    name: str
    passed: bool
    text: str


def bars(study: Study) -> list[Bar]:
    """Describe the classes, in the order of the network."""
    thresholds, kept = study.finding.get("thresholds") or {}, study.finding["prediction_set"]
    reached = study.finding["operating_points"] or {}
    probabilities = study.probabilities
    top = max((value for value in probabilities.values() if value is not None), default=None)
    return [
        Bar(
            name=name,
            probability=value,
            marks=_marks(thresholds.get(name, {}), reached.get(name, {})),
            kept=None if kept is None else name in kept,
            leads=value is not None and value == top,
        )
        for name, value in probabilities.items()
    ]


def checks(study: Study) -> list[Check]:
    """List the input checks, failed ones first."""
    found = [
        Check(gettext(CHECKS.get(name, name)), bool(verdict["ok"]), words(str(verdict["words"])))
        for name, verdict in (study.finding["gate"] or {}).items()
    ]
    return sorted(found, key=lambda check: check.passed)


def warnings(study: Study, *, contents: Contents, now: ModelIdentity) -> list[StudyWarning]:
    """List the warnings to show with the answer.

    Args:
        study: as stored.
        facts: facts of the loaded bundle.
        now: the loaded network.
    """
    found = [_site(study), _lateral(study), _children(study, contents.training_data), _lungs(study)]
    found += [_unchecked(study), _uncalibrated(study)]
    if study.model.sha256 != now.sha256:
        name = f"{now.name} {now.version}"
        text = gettext("The loaded network is %(name)s. Send the image again for its answer.", name=name)
        found.append(StudyWarning(gettext("Classified by another network"), text))
    return [warning for warning in found if warning]


def _marks(thresholds: Mapping[str, float], reached: Mapping[str, bool]) -> tuple[Mark, ...]:
    known = sorted(thresholds, key=lambda name: (POINTS.index(name) if name in POINTS else len(POINTS), name))
    return tuple(Mark(name, thresholds[name], reached[name]) for name in known if name in reached)


def _site(study: Study) -> StudyWarning | None:
    """Warn where the network was not checked at this hospital, or no longer."""
    site = study.finding.get("site")
    if site is None:
        text = gettext(
            "How often the network is wrong here is unknown: at some hospitals it called most healthy people ill. An "
            "administrator can check it with `covid-xray commission`."
        )
        return StudyWarning(capital(gettext(NOT_CHECKED)), text)
    if not site.get("ended"):
        return None
    text = " ".join((sentence(site_words(site)), gettext("Check it again.")))
    return StudyWarning(gettext("The check of this hospital has ended"), text)


def _lateral(study: Study) -> StudyWarning | None:
    if study.view is None or study.view in FRONTAL or "view" in (study.finding["gate"] or {}):
        return None
    text = gettext(
        "The view of the file is %(view)s. The network was trained on frontal views (PA, AP) only.", view=study.view
    )
    return StudyWarning(gettext("Not a frontal view"), text)


def _children(study: Study, data: TrainingData | None) -> StudyWarning | None:
    """Warn of "virus" for adults: in the public datasets nearly all such images are of small children."""
    sources = set(data.source) if data else set()
    considered = {study.label, *(study.finding["prediction_set"] or ())}
    if "virus" not in considered or (sources and not sources & PUBLIC):
        return None
    text = gettext(
        "Nearly all viral images of the training data are of small children; for adults “viral pneumonia” says little."
    )
    age = ((study.finding.get("joint") or {}).get("known") or {}).get("age")
    if age is not None and age < ADULT:
        return None
    title = gettext("Is this a child?") if age is None else gettext("The patient is %(age)s years old", age=f"{age:g}")
    return StudyWarning(title, text)


def _lungs(study: Study) -> StudyWarning | None:
    lungs = study.finding.get("lungs")
    if not lungs or not lungs["words"]:
        return None
    title = gettext("Lungs") if lungs["plausible"] else gettext("Lungs not found")
    return StudyWarning(title, sentence(words(lungs["words"])))


def _unchecked(study: Study) -> StudyWarning | None:
    if study.finding["gate"] is not None:
        return None
    text = gettext("This network does not check its input: it classifies any picture, even one that is no chest X-ray.")
    return StudyWarning(gettext("Input not checked"), text)


def _uncalibrated(study: Study) -> StudyWarning | None:
    if study.finding["prediction_set"] is not None or study.finding["operating_points"]:
        return None
    text = gettext("The probabilities were not calibrated on held-out images. Read them as scores.")
    return StudyWarning(gettext("Not calibrated"), text)
