"""Describe a stored study for its page: bars, warnings and input checks; and advise on refused files."""

from collections.abc import Mapping
from dataclasses import dataclass

from covid_xray.bundle.contents import Contents, TrainingData
from covid_xray.inference.finding import NOT_CHECKED, ModelIdentity, site_in_words
from covid_xray.inference.gate import FRONTAL
from covid_xray.inference.thresholds import POINTS
from covid_xray.serving.views.rendering import capital, sentence
from covid_xray.store.records import Study

# Sources whose "virus" images are nearly all of children: docs/how-to/public-datasets.md.
PUBLIC = frozenset({"kermany", "ieee8023", "cxnet", "hannover", "darkcovidnet"})
ADULT = 18.0  # years
CHECKS = {
    "modality": "Plain radiograph (stated in the file)",
    "view": "Frontal view (stated in the file)",
    "contrast": "Not blank",
    "extremes": "No drawing, text or mask",
    "aspect": "Proportions of a chest X-ray",
    "polarity": "Not inverted",
    "orientation": "Upright",
    "layout": "Layout of a frontal chest",
    "likeness": "Similar to the training images",
    "part": "Whole chest, no cropped part",
}
_ANOTHER = "Export it again as PNG, JPEG or DICOM."
ADVICE = {
    "not-an-image": ("This is no PNG, JPEG or DICOM file.", "Export the radiograph in one of these formats."),
    "empty": ("The file is empty.", "Export or copy it again."),
    "truncated": ("The file is incomplete.", "Copy it again; the transfer was probably interrupted."),
    "damaged": ("The file is damaged.", "Export or copy it again."),
    "checksum": ("The file is damaged: its checksum is wrong.", "Copy it again."),
    "too-large": ("The file is too large.", "Send single images below the limit, or several archives."),
    "too-many-pixels": ("The picture has too many pixels.", "Export it smaller; 3,000 pixels per side are enough."),
    "too-many": ("The archive has too many files.", "Split it."),
    "too-complex": ("The file is too complex to read.", _ANOTHER),
    "several-frames": ("The file has several frames.", "Export a single radiograph."),
    "no-pixels": ("The DICOM file has no picture.", "Choose the image file, not a report or directory file."),
    "bad-zip": ("The archive cannot be read.", "Pack it again as a plain zip without a password."),
    "no-images": ("The archive has no image.", "Pack the image files themselves."),
    "decode-timeout": ("The file takes too long to read.", _ANOTHER),
    "decode-memory": ("The file needs too much memory to read.", _ANOTHER),
    "decoder-failed": ("The file cannot be decoded.", _ANOTHER),
    "decode-crashed": ("The decoder crashed on this file.", _ANOTHER),
    "missing-decoder": ("This compression of DICOM cannot be read here.", "Export it uncompressed."),
    "unsupported-transfer-syntax": ("This compression of DICOM is not supported.", "Export it uncompressed."),
    "unsupported-photometric": ("The colours of this DICOM file are not supported.", "Export it in greyscale."),
    "unsupported-bits": ("The bit depth of the picture is not supported.", "Export it with 8 to 16 bits."),
    "unreadable-file": ("The file could not be read.", "Send it again."),
    "too-slow": ("The file did not arrive in time.", "Send it again, over a faster connection."),
    "cut-off": ("The upload was interrupted.", "Send it again."),
    "too-often": ("Too many requests.", "Wait a minute, then send it again."),
    "queue-full": ("The server is busy.", "Wait a moment, then send it again."),
    "busy": ("The server is busy.", "Wait a moment, then send it again."),
    "stopping": ("The server is shutting down.", "Send it again when it is back."),
    "store-full": ("The store is full; nothing was kept.", "Delete studies, or ask an admin for more space."),
    "not-logged-in": ("Your session has ended.", "Log in again."),
    "cross-site": ("The page is out of date.", "Reload it, then send the file again."),
    "offline": ("The server does not answer.", "Check that it runs, then send the file again."),
    "failed": ("The server failed on this file.", "Send it again; if that does not help, look into its log."),
}


@dataclass(frozen=True)
class Mark:
    """One operating point of a class, and whether the probability reaches its threshold."""

    name: str
    threshold: float
    reached: bool


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
        Check(CHECKS.get(name, name), bool(verdict["ok"]), str(verdict["words"]))
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
        text = f"The loaded network is {now.name} {now.version}. Send the image again for its answer."
        found.append(StudyWarning("Classified by another network", text))
    return [warning for warning in found if warning]


def _marks(thresholds: Mapping[str, float], reached: Mapping[str, bool]) -> tuple[Mark, ...]:
    known = sorted(thresholds, key=lambda name: (POINTS.index(name) if name in POINTS else len(POINTS), name))
    return tuple(Mark(name, thresholds[name], reached[name]) for name in known if name in reached)


def _site(study: Study) -> StudyWarning | None:
    """Warn where the network was not checked at this hospital, or no longer."""
    site = study.finding.get("site")
    if site is None:
        text = (
            "How often the network is wrong here is unknown: at some hospitals it called most healthy people ill. An "
            "administrator can check it with `covid-xray commission`."
        )
        return StudyWarning(capital(NOT_CHECKED), text)
    if not site.get("ended"):
        return None
    return StudyWarning("The check of this hospital has ended", f"{sentence(site_in_words(site))} Check it again.")


def _lateral(study: Study) -> StudyWarning | None:
    if study.view is None or study.view in FRONTAL or "view" in (study.finding["gate"] or {}):
        return None
    return StudyWarning(
        "Not a frontal view",
        f"The view of the file is {study.view}. The network was trained on frontal views (PA, AP) only.",
    )


def _children(study: Study, data: TrainingData | None) -> StudyWarning | None:
    """Warn of "virus" for adults: in the public datasets nearly all such images are of small children."""
    sources = set(data.source) if data else set()
    considered = {study.label, *(study.finding["prediction_set"] or ())}
    if "virus" not in considered or (sources and not sources & PUBLIC):
        return None
    text = (
        "Nearly all viral images of the training data are of small children; for adults “viral pneumonia” says little."
    )
    age = ((study.finding.get("joint") or {}).get("known") or {}).get("age")
    if age is not None and age < ADULT:
        return None
    return StudyWarning("Is this a child?" if age is None else f"The patient is {age:g} years old", text)


def _lungs(study: Study) -> StudyWarning | None:
    lungs = study.finding.get("lungs")
    if not lungs or not lungs["words"]:
        return None
    return StudyWarning("Lungs" if lungs["plausible"] else "Lungs not found", sentence(lungs["words"]))


def _unchecked(study: Study) -> StudyWarning | None:
    if study.finding["gate"] is not None:
        return None
    text = "This network does not check its input: it classifies any picture, even one that is no chest X-ray."
    return StudyWarning("Input not checked", text)


def _uncalibrated(study: Study) -> StudyWarning | None:
    if study.finding["prediction_set"] is not None or study.finding["operating_points"]:
        return None
    return StudyWarning(
        "Not calibrated", "The probabilities were not calibrated on held-out images. Read them as scores."
    )
